"""Replacing several nodes by one new node that costs less than all of them together.

What saves most an hour is sought, ties to fewer nodes. A group must save more than its members would if each were
replaced by itself. Few candidates: every group in the order of what it saves, so that the first that fits is the best;
many: groups that grow node by node, for every pool. The work of one pass is bounded, in steps and not in time, so that
equal pictures have equal answers.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clues.decision import PowerOn
from clues.model import Pod
from clues.options import Pool
from clues.policy.consolidate import Swap
from clues.policy.moving import Mover
from clues.policy.simulation import Simulation
from clues.policy.template import fresh_node

__all__ = ["Group", "GroupSearch", "Member"]

_ALL: Final = 10
"""Up to so many candidates every group of them is looked at."""
_WORK: Final = 3_000_000
"""Node looks of one pass, with 1,000 for each look at a kind of pods: about a tenth of a second."""
_LEAST: Final = 1e-9
"""Savings below it are errors of rounding."""


@dataclass(frozen=True, slots=True)
class Member:
    """A node that could go in a group."""

    name: str
    price: float
    index: int
    """In the simulation."""
    pods: tuple[Pod, ...]
    """Those that need another place."""
    alone: float
    """What replacing it by itself saves an hour; 0 where that cannot be."""


@dataclass(frozen=True, slots=True)
class Group:
    """Nodes that go for one that comes."""

    members: tuple[Member, ...]
    pool: Pool
    """Of the one that comes."""
    swap: Swap


Allowed = Callable[[Sequence[Member]], bool]
"""Whether all limits let nodes go together."""


class GroupSearch:
    """Finds groups in a simulation whose pending pods and removals have their places."""

    def __init__(self, simulation: Simulation, rank: NDArray[np.int64]) -> None:
        self._simulation = simulation
        self._mover = Mover(simulation, rank)
        self._work = _WORK

    def best(
        self, members: Sequence[Member], most: int, allowed: Allowed, orders: Sequence[tuple[Pool, PowerOn]]
    ) -> Group | None:
        """Return the group of up to `most` members that saves most; `orders` are what could come, one node each.

        The simulation is left as it was: see `place`.
        """
        members = [member for member in members if member.price > 0]
        if most < 2 or len(members) < 2 or not orders:
            return None
        ordered = sorted(orders, key=lambda item: (item[0].price, item[0].tier, item[0].name))
        asked = _Sums(self._simulation, members, [pool for pool, _ in ordered])
        found = self._grown(members, most, allowed, ordered, asked)
        if len(members) <= _ALL:
            found = self._searched(members, most, allowed, ordered, asked, found) or found
        if found is None:
            return None
        chosen, (pool, order) = found
        moved = self._moved(chosen, pool)
        if moved is None:  # its search found no end this time
            return None
        return Group(tuple(chosen), pool, Swap(order, moved[0], _saved(chosen, pool), moved[1]))

    def place(self, group: Group) -> None:
        """Carry a group out in the simulation, which is as it was when the group was found.

        Its nodes are out then, their pods in their new places, and the new node takes nothing else.
        """
        simulation = self._simulation
        simulation.remove_nodes([member.index for member in group.members])
        fresh = simulation.add_node(fresh_node(group.pool, group.swap.fresh))
        for member in group.members:
            for pod in member.pods:
                place = group.swap.moves[f"{pod.namespace}/{pod.name}"]
                simulation.place(simulation.kind_of(pod), simulation.index[place])
        simulation.close_node(fresh)

    def _searched(  # noqa: PLR0917
        self,
        members: Sequence[Member],
        most: int,
        allowed: Allowed,
        orders: Sequence[tuple[Pool, PowerOn]],
        asked: "_Sums",
        known: "_Found | None",
    ) -> "_Found | None":
        """Return the first group that fits of those that save more than what is known, the best ones first."""
        floor = _value(*known) if known is not None else None
        options = []
        for size in range(2, min(most, len(members)) + 1):
            for at in combinations(range(len(members)), size):
                chosen = [members[position] for position in at]
                for number, order in enumerate(orders):
                    if _is_worth_it(chosen, order[0]) and asked.could_fit(at, number):
                        value = _value(chosen, order)
                        if floor is None or value < floor:
                            options.append((value, number, at))
        options.sort()
        refused: dict[tuple[int, ...], bool] = {}
        for _, number, at in options:
            chosen = [members[position] for position in at]
            if at not in refused:
                refused[at] = not allowed(chosen)
            if refused[at]:
                continue
            if self._work <= 0:
                return None
            if self._moved(chosen, orders[number][0]) is not None:
                return chosen, orders[number]
        return None

    def _grown(
        self,
        members: Sequence[Member],
        most: int,
        allowed: Allowed,
        orders: Sequence[tuple[Pool, PowerOn]],
        asked: "_Sums",
    ) -> "_Found | None":
        """Return the best of groups that take in one member after the other as long as all pods have a place."""
        best: _Found | None = None
        for number, order in enumerate(orders):
            for turn in asked.turns():
                chosen: list[Member] = []
                taken: tuple[int, ...] = ()
                for position in turn:
                    more = [*chosen, members[position]]
                    if len(more) > most or not asked.could_fit((*taken, position), number) or not allowed(more):
                        continue
                    if self._work <= 0:
                        return best
                    if self._moved(more, order[0]) is not None:
                        chosen, taken = more, (*taken, position)
                if len(chosen) > 1 and _is_worth_it(chosen, order[0]):
                    chosen.sort(key=members.index)
                    if best is None or _value(chosen, order) < _value(*best):
                        best = (chosen, order)
        return best

    def _moved(self, members: Sequence[Member], pool: Pool) -> tuple[dict[str, str], str] | None:
        """Try the pods of all these nodes with a fresh one there; return where they would go, and its name."""
        simulation = self._simulation
        start = simulation.mark()
        pods = [pod for member in members for pod in member.pods]
        simulation.remove_nodes([member.index for member in members])
        name = f"{pool.name} (new {len(simulation.names)})"
        simulation.add_node(fresh_node(pool, name))
        self._work -= len(simulation.kinds(pods)) * (1000 + len(simulation.names))
        moves = self._mover.move(pods)
        simulation.undo(start)
        return (moves, name) if moves is not None else None


_Found = tuple[list[Member], tuple[Pool, PowerOn]]


def _saved(members: Sequence[Member], pool: Pool) -> float:
    return round(sum(member.price for member in members) - pool.price, 9)


def _is_worth_it(members: Sequence[Member], pool: Pool) -> bool:
    return _saved(members, pool) > sum(member.alone for member in members) + _LEAST


def _value(members: Sequence[Member], order: tuple[Pool, PowerOn]) -> tuple[float, int, tuple[str, ...], str]:
    """Order groups, the best first."""
    return -_saved(members, order[0]), len(members), tuple(member.name for member in members), order[0].name


class _Sums:
    """Sums of what is asked for and of what is free: they rule most groups out without a trial."""

    def __init__(self, simulation: Simulation, members: Sequence[Member], pools: Sequence[Pool]) -> None:
        self._members = members
        fresh = []
        for pool in pools:
            mark = simulation.mark()
            index = simulation.add_node(fresh_node(pool, f"look-{pool.name}"))
            fresh.append(simulation.free()[index])
            simulation.undo(mark)
        free = np.maximum(simulation.free(), 0)
        rows = len(simulation.resources)
        opened = simulation.open
        self._free = free[opened].sum(axis=0)
        self._fresh = [np.append(one, np.zeros(rows - len(one), np.int64)) for one in fresh]
        self._own = [free[member.index] * int(opened[member.index]) for member in members]
        self._asked = []
        for member in members:
            need = np.zeros(rows, np.int64)
            for kind, pods in simulation.kinds(member.pods).items():
                for row, amount in simulation.charges(kind):
                    need[row] += amount * len(pods)
            self._asked.append(need)

    def could_fit(self, at: Sequence[int], number: int) -> bool:
        """Whether the sums allow the pods of these members, with a fresh node of that pool."""
        left = self._free + self._fresh[number]
        for position in at:
            left = left - self._own[position] - self._asked[position]
        return bool((left >= 0).all())

    def turns(self) -> Iterator[Sequence[int]]:
        """Yield orders in which members are taken in; in the second half only those that cannot go by themselves."""
        members = self._members
        every = range(len(members))
        dearest = sorted(every, key=lambda at: (-members[at].price, int(self._asked[at][0]), members[at].name))
        whole = np.maximum(self._free.astype(np.float64), 1.0)
        lightest = sorted(
            every, key=lambda at: (float((self._asked[at] / whole).max()) / members[at].price, members[at].name)
        )
        turns = [dearest, lightest]
        if any(member.alone for member in members):
            turns += [[at for at in turn if not members[at].alone] for turn in (dearest, lightest)]
        yield from turns
