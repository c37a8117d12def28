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
_WORK: Final = 1_000_000
"""Node looks of one pass, with 1,000 for each look at a kind of pods: about a twentieth of a second."""
_SEARCH: Final = 100_000
"""Steps of the exhaustive search for places in one pass: filling in order of size mostly does."""
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
        self._mover = Mover(simulation, rank, steps=_SEARCH)
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
        subsets = [
            at for size in range(2, min(most, len(members)) + 1) for at in combinations(range(len(members)), size)
        ]
        options = []
        for number, order in enumerate(orders):
            for position in asked.worth_trying(subsets, number, order[0].price):
                at = subsets[position]
                value = _value([members[one] for one in at], order)
                if known is None or value < _value(*known):
                    options.append((value, number, at))
        refused: dict[tuple[int, ...], bool] = {}
        for _, number, at in sorted(options):
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
        dearest = sum(sorted((member.price for member in members), reverse=True)[:most])
        for number, order in enumerate(orders):
            for turn in asked.turns():
                if self._work <= 0 or (best is not None and dearest - order[0].price <= -_value(*best)[0]):
                    return best  # no later one can be better: the cheapest pool comes first

                def could_go(at: Sequence[int], number: int = number) -> bool:
                    return len(at) <= most and asked.could_fit(at, number) and allowed([members[one] for one in at])

                at = self._grown_by(turn, could_go, members, order[0])
                chosen = [members[one] for one in sorted(at)]
                if len(chosen) < 2 or not _is_worth_it(chosen, order[0]):
                    continue
                if best is None or _value(chosen, order) < _value(*best):
                    best = (chosen, order)
        return best

    def _grown_by(
        self, turn: Sequence[int], could_go: Callable[[Sequence[int]], bool], members: Sequence[Member], pool: Pool
    ) -> list[int]:
        """Return the most of the members, in turn, that go together: by halves, then one by one."""
        most: list[int] = []
        for one in turn:
            if could_go([*most, one]):
                most.append(one)
        least, length = 0, len(most)
        while least < length and self._work > 0:
            middle = length if not least and length == len(most) else (least + length + 1) // 2
            if self._moved([members[one] for one in most[:middle]], pool) is not None:
                least = middle
            else:
                length = middle - 1
        chosen = most[:least]
        for one in turn if least < len(most) else ():
            if self._work <= 0:
                break
            if one in most[: least + 1] or not could_go([*chosen, one]):
                continue
            if self._moved([members[at] for at in [*chosen, one]], pool) is not None:
                chosen.append(one)
        return chosen

    def _moved(self, members: Sequence[Member], pool: Pool) -> tuple[dict[str, str], str] | None:
        """Try the pods of all these nodes with a fresh one there; return where they would go, and its name."""
        simulation = self._simulation
        start = simulation.mark()
        pods = [pod for member in members for pod in member.pods]
        for member in members:  # they are there, and empty zones count, as long as their pods leave
            for pod in member.pods:
                simulation.take(simulation.kind_of(pod), member.index)
            simulation.close_node(member.index)
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

    def worth_trying(self, subsets: Sequence[Sequence[int]], number: int, price: float) -> list[int]:
        """Return the positions of subsets that would save enough and that the sums allow, with that fresh node."""
        inside = np.zeros((len(subsets), len(self._members)), np.int64)
        for row, at in enumerate(subsets):
            inside[row, list(at)] = 1
        needs = inside @ (np.array(self._own) + np.array(self._asked))
        enough = (needs <= self._free + self._fresh[number]).all(axis=1)
        margin = inside @ np.array([member.price - member.alone for member in self._members])
        return [int(row) for row in np.flatnonzero(enough & (margin - price > _LEAST))]

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
