"""Many pods with rules about each other: each takes a fresh node that is open, or the first new one that takes it."""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from clues.policy.costs import Costs, Mix
from clues.policy.pack import Group, Packing, fill, note
from clues.policy.simulation import Simulation
from clues.policy.template import fresh_node

__all__ = ["grow"]


def grow(
    simulation: Simulation, groups: Sequence[Group], costs: Costs, names: Iterator[int], others: NDArray[np.int64]
) -> tuple[Mix, Packing]:
    """Place groups, in order of priority, on nodes that are opened as they are needed. The simulation holds the result.

    Pods with rules come first among equals: the others fit around them. What looks at other pods may find them placed
    the second time.
    """
    work = _Growing(simulation, costs, names, others)
    order = sorted(groups, key=lambda item: (-item.priority, simulation.is_plain(item.kind), -item.size))
    for _again in (1, 2):
        order = [group for group in order if not work.place(group)]
        if all(simulation.is_plain(group.kind) for group in order):
            break
    return tuple(work.counts), work.packing


class _Growing:
    def __init__(self, simulation: Simulation, costs: Costs, names: Iterator[int], others: NDArray[np.int64]) -> None:
        self._simulation, self._costs, self._names = simulation, costs, names
        self._open = others
        self.counts = [0] * len(costs.pools)
        self.packing = Packing()

    def place(self, group: Group) -> bool:
        """Place what can be of a group; return whether all of it has a place."""
        left = len(group.pods) - self.packing.placed.get(group.kind, 0)
        order = self._costs.order([group])
        while left:
            found = fill(self._simulation, group.kind, left, self._open)
            note(self.packing, group.kind, found)
            left -= sum(found.values())
            if not left or not self._add(group, left, order):
                break
        return left == 0

    def _add(self, group: Group, left: int, order: Sequence[int]) -> bool:
        """Open nodes of the first pool whose fresh node takes such a pod now; return whether there is one."""
        simulation, costs = self._simulation, self._costs
        for position in order:
            pool = costs.pools[position]
            most = costs.most_of(position, self.counts)
            if pool.name not in group.pools or most <= 0:
                continue
            mark = simulation.mark()
            index = simulation.add_node(fresh_node(pool, f"fresh-{pool.name}-{next(self._names)}"))
            each = simulation.room_on(group.kind, index)
            if each <= 0:
                simulation.undo(mark)
                continue
            added = [index]
            if simulation.is_local(group.kind):
                for _ in range(min(-(-left // each), most) - 1):
                    node = fresh_node(pool, f"fresh-{pool.name}-{next(self._names)}")
                    added.append(simulation.add_node(node))
            self._open = np.append(self._open, np.array(added, np.int64))
            self.counts[position] += len(added)
            self.packing.nodes += [(pool.name, index) for index in added]
            return True
        return False
