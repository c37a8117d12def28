"""Many pods with rules about each other: each takes a fresh node that is open, or the first new one that takes it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clues.options import Pool
from clues.policy.costs import Costs, Mix
from clues.policy.dealing import dealt_out
from clues.policy.domains import Shut, opening, spread_rule
from clues.policy.pack import Group, Packing, by_priority, fill, note
from clues.policy.simulation import Kind, Simulation
from clues.policy.template import fresh_node
from clues.policy.topology import SpreadRule

__all__ = ["grow"]

_NONE: Final[frozenset[Shut]] = frozenset()


def grow(
    simulation: Simulation, groups: Sequence[Group], costs: Costs, names: Iterator[int], others: NDArray[np.int64]
) -> tuple[Mix, Packing]:
    """Place groups, in order of priority, on nodes that are opened as they are needed. The simulation holds the result.

    Pods with rules come first among equals: the others fit around them. What looks at other pods may find them placed
    the second time. All nodes come at the same time, so a domain that one group opens is there for all others too:
    where a group had done without it, either all reckon with it, or none opens it in this pass.
    """

    def grown(forced: frozenset[Shut], sealed: frozenset[Shut]) -> _Growing:
        work = _Growing(simulation, costs, names, others, forced, sealed)
        order = sorted(groups, key=lambda item: (-item.priority, simulation.is_plain(item.kind), -item.size))
        for _again in (1, 2):
            order = [group for group in order if not work.place(group)]
            if all(simulation.is_plain(group.kind) for group in order):
                break
        return work

    mark = simulation.mark()
    work = grown(_NONE, _NONE)
    opened = work.opened_though_shut()
    if opened:
        tried = []
        for is_forced in (True, False):
            known = opened
            while True:
                simulation.undo(mark)
                ways = (known, _NONE) if is_forced else (_NONE, known)
                work = grown(*ways)
                more = work.opened_though_shut() - known
                if not more:
                    break
                known |= more
            tried.append((by_priority(work.packing, groups), ways))
        if tried[0][0] >= tried[1][0]:
            simulation.undo(mark)
            work = grown(*tried[0][1])
    return tuple(work.counts), work.packing


class _Growing:
    def __init__(  # noqa: PLR0917
        self,
        simulation: Simulation,
        costs: Costs,
        names: Iterator[int],
        others: NDArray[np.int64],
        forced: frozenset[Shut],
        sealed: frozenset[Shut],
    ) -> None:
        self._simulation, self._costs, self._names = simulation, costs, names
        self._forced, self._sealed = forced, sealed
        self._open = others
        self._shut: dict[Kind, frozenset[Shut]] = {}
        self.counts = [0] * len(costs.pools)
        self.packing = Packing()

    def place(self, group: Group) -> bool:
        """Place what can be of a group; return whether all of it has a place."""
        left = len(group.pods) - self.packing.placed.get(group.kind, 0)
        order = self._costs.order([group])
        rule = spread_rule(self._simulation, group.kind)
        if left and rule is not None and group.kind not in self._shut:
            first = opening(self._simulation, group, self._costs, self.counts, self._open, self._forced, self._sealed)
            self._shut[group.kind] = first.shut
            for position in first.positions:
                self._keep(position, [self._new(position)])
        rates = {position: self._costs.rate(position, group) for position in order} if rule is not None else {}
        there = self._open
        while left:
            if rule is not None:
                found = self._fill_evenly(group.kind, left, rule)
            else:
                found = fill(self._simulation, group.kind, left, there)
            note(self.packing, group.kind, found)
            left -= sum(found.values())
            known = len(self._open)
            if not left or not self._add(group, left, self._in_turn(group, order, rule, rates), rule):
                break
            # What has no room left for such pods gets none by new nodes where no rule looks beyond one node.
            there = self._open[known:] if self._simulation.is_local(group.kind) else self._open
        return left == 0

    def opened_though_shut(self) -> frozenset[Shut]:
        """Return the domains that have a node now and had none when a group chose to do without."""
        found: set[Shut] = set()
        for kind, shut in self._shut.items():
            rule = spread_rule(self._simulation, kind) if shut else None
            levels = rule.levels() if rule is not None else {}
            found |= {(key, value) for key, value in shut if value in levels}
        return frozenset(found)

    def _fill_evenly(self, kind: Kind, count: int, rule: SpreadRule) -> dict[int, int]:
        """Fill open nodes, each pod where its domain has fewest."""
        found: dict[int, int] = {}
        if self._simulation.only_rule(kind) is rule:
            found = dealt_out(self._simulation, kind, count, rule, self._open, evenly=True)
            self._simulation.place_all(kind, found)
            return found
        while count and len(self._open):
            usable = self._simulation.fitting(kind, self._open)
            if not len(usable):
                break
            counter = rule.counter
            index = int(usable[counter.counts[counter.synced()[usable]].argmin()])
            self._simulation.place(kind, index)
            found[index] = found.get(index, 0) + 1
            count -= 1
        return found

    def _in_turn(
        self, group: Group, order: Sequence[int], rule: SpreadRule | None, rates: Mapping[int, tuple[float, ...]]
    ) -> Sequence[int]:
        """Return pools without those of shut domains; of those that cost the same the one whose domain has fewest."""
        if rule is None:
            return order
        key, levels, shut = rule.counter.column.key, rule.levels(), self._shut[group.kind]
        pools = self._costs.pools
        domain = {position: pools[position].labels.get(key, "") for position in order}
        usable = [position for position in order if (key, domain[position]) not in shut]
        return sorted(usable, key=lambda position: (rates[position], levels.get(domain[position], 0)))

    def _add(self, group: Group, left: int, order: Sequence[int], rule: SpreadRule | None) -> bool:
        """Open nodes of the first pool whose fresh node takes such a pod now; return whether there is one."""
        simulation, costs = self._simulation, self._costs
        for position in order:
            pool = costs.pools[position]
            most = costs.most_of(position, self.counts)
            if pool.name not in group.pools or most <= 0 or self._is_sealed(pool):
                continue
            if rule is not None and rule.is_full(pool.labels.get(rule.counter.column.key, "")):
                continue  # a node more of a domain that has one changes nothing for it
            mark = simulation.mark()
            index = self._new(position)
            each = simulation.room_on(group.kind, index)
            if each <= 0:
                simulation.undo(mark)
                continue
            added = [index]
            if simulation.is_local(group.kind):
                added += [self._new(position) for _ in range(min(-(-left // each), most) - 1)]
            self._keep(position, added)
            return True
        return False

    def _is_sealed(self, pool: Pool) -> bool:
        return any(pool.labels.get(key) == value for key, value in self._sealed)

    def _new(self, position: int) -> int:
        pool = self._costs.pools[position]
        return self._simulation.add_node(fresh_node(pool, f"fresh-{pool.name}-{next(self._names)}"))

    def _keep(self, position: int, added: Sequence[int]) -> None:
        self._open = np.append(self._open, np.array(added, np.int64))
        self.counts[position] += len(added)
        self.packing.nodes += [(self._costs.pools[position].name, index) for index in added]
