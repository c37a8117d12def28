"""First fit of many pods that no rule ties to each other, counted in runs of fresh nodes that are alike.

10,000 nodes that hold the same are one run: two numbers and a vector of what is free. Placing a thousand pods of one
kind touches as many runs as it fills, not as many nodes.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clues.options import Pool
from clues.policy.costs import Costs, Mix
from clues.policy.kinds import Kind
from clues.policy.pack import Group
from clues.policy.simulation import Simulation
from clues.policy.template import fresh_node

__all__ = ["Bins", "Piece", "Placed", "first_fit", "number_of", "own_orders"]


class Piece(NamedTuple):
    """Pods of a kind on some fresh nodes of a pool, equally many on each."""

    pool: str
    first: int
    """Fresh nodes of a pool are numbered from 0."""
    nodes: int
    each: int


Placed = dict[Kind, list[Piece]]
"""Who is on which fresh node."""


def number_of(placed: Placed, kind: Kind) -> int:
    """Return how many pods of a kind are placed."""
    return sum(piece.nodes * piece.each for piece in placed.get(kind, ()))


class Bins:
    """The fresh nodes of one pool."""

    def __init__(self, simulation: Simulation, pool: Pool, kinds: Sequence[Kind]) -> None:
        self.pool = pool.name
        self._template = pool
        self._simulation = simulation
        self._kinds = kinds
        self._whole: NDArray[np.int64] = np.zeros(0, np.int64)
        self._each: dict[Kind, int] = {}
        self._free: NDArray[np.int64] = np.zeros((0, 64), np.int64)
        """[resource, run]."""
        self._numbers: NDArray[np.int64] = np.zeros(64, np.int64)
        self._firsts: NDArray[np.int64] = np.zeros(64, np.int64)
        self._runs = 0
        self.total = 0

    def _look(self) -> None:
        """Ask the simulation once what is free on a fresh node, and how many pods of each kind it takes."""
        simulation = self._simulation
        mark = simulation.mark()
        index = simulation.add_node(fresh_node(self._template, f"bin-{self.pool}"))
        self._whole = simulation.free()[index]
        self._each = {kind: simulation.room_on(kind, index) for kind in self._kinds}
        simulation.undo(mark)
        self._free = np.zeros((len(self._whole), 64), np.int64)

    def fill(self, kind: Kind, charges: Sequence[tuple[int, int]], count: int, pieces: list[Piece]) -> int:
        """Put pods into nodes that have room; return how many found it, and add where to `pieces`."""
        runs = self._runs
        if not runs or not self._each[kind]:
            return 0
        good = np.ones(runs, np.bool_)
        for row, amount in charges:
            good &= self._free[row, :runs] >= amount
        at = np.flatnonzero(good)
        if not len(at):
            return 0
        fits = np.full(len(at), count, np.int64)
        for row, amount in charges:
            np.minimum(fits, self._free[row, at] // amount, out=fits)
        reached = np.cumsum(fits * self._numbers[at])
        full = int(np.searchsorted(reached, count, side="right"))
        for row, amount in charges:
            self._free[row, at[:full]] -= amount * fits[:full]
        firsts, numbers = self._firsts[at[:full]].tolist(), self._numbers[at[:full]].tolist()
        for first, number, each in zip(firsts, numbers, fits[:full].tolist(), strict=True):
            pieces.append(Piece(self.pool, first, number, each))
        placed = int(reached[full - 1]) if full else 0
        if full < len(at) and placed < count:
            self._split(int(at[full]), charges, int(fits[full]), count - placed, pieces)
            return count
        return placed

    def open(self, kind: Kind, charges: Sequence[tuple[int, int]], count: int, most: int, pieces: list[Piece]) -> int:
        """Put pods on up to `most` new nodes; return how many found a place, and add where to `pieces`."""
        if most <= 0:
            return 0
        if not self._each:
            self._look()
        each = self._each[kind]
        number = min(-(-count // each), most) if each > 0 else 0
        if number <= 0:
            return 0
        placed = min(count, number * each)
        run = self._add(self._whole, self.total, number)
        self.total += number
        self._split(run, charges, each, placed, pieces)
        return placed

    def _split(self, run: int, charges: Sequence[tuple[int, int]], fits: int, count: int, pieces: list[Piece]) -> None:
        """Put pods on the nodes of one run, `fits` on each as far as they go."""
        whole, rest = divmod(count, fits)
        before, first, number = self._free[:, run].copy(), int(self._firsts[run]), int(self._numbers[run])
        used = whole + (1 if rest else 0)
        if whole:
            self._numbers[run] = whole
            pieces.append(Piece(self.pool, first, whole, fits))
            for row, amount in charges:
                self._free[row, run] -= amount * fits
        if rest:
            at = self._add(before, first + whole, 1) if whole else run
            self._numbers[at] = 1
            pieces.append(Piece(self.pool, first + whole, 1, rest))
            for row, amount in charges:
                self._free[row, at] = before[row] - amount * rest
        if number > used:
            self._add(before, first + used, number - used)

    def _add(self, free: NDArray[np.int64], first: int, number: int) -> int:
        run = self._runs
        if run == len(self._numbers):
            self._free = np.concatenate([self._free, np.zeros_like(self._free)], axis=1)
            self._numbers = np.concatenate([self._numbers, np.zeros_like(self._numbers)])
            self._firsts = np.concatenate([self._firsts, np.zeros_like(self._firsts)])
        self._free[:, run] = free
        self._numbers[run] = number
        self._firsts[run] = first
        self._runs += 1
        return run


def first_fit(
    simulation: Simulation,
    groups: Sequence[Group],
    costs: Costs,
    *,
    own: Mapping[Kind, Sequence[int]] | None = None,
    most: Mix | None = None,
) -> tuple[Mix, Placed]:
    """Place groups of plain pods, in their order, on fresh nodes; the simulation is left as it was.

    Nodes that were opened are filled first, then new ones are taken from the pool that costs least: for all pods
    together, or for the pods of each group with `own` (`own_orders`). `most` limits the pools beyond what the limits
    do.
    """
    pools = costs.pools
    kinds = [group.kind for group in groups]
    bins = [Bins(simulation, pool, kinds) for pool in pools]
    counts = [0] * len(pools)
    placed: Placed = {}
    common = costs.order(groups)
    for group in groups:
        charges = simulation.charges(group.kind)
        left = len(group.pods)
        pieces = placed.setdefault(group.kind, [])
        usable = [position for position in common if pools[position].name in group.pools]
        for position in usable:
            left -= bins[position].fill(group.kind, charges, left, pieces)
            if not left:
                break
        if not left:
            continue
        for position in usable if own is None else own[group.kind]:
            allowed = costs.most_of(position, counts)
            if most is not None:
                allowed = min(allowed, most[position] - counts[position])
            left -= bins[position].open(group.kind, charges, left, allowed, pieces)
            counts[position] = bins[position].total
            if not left:
                break
    return tuple(counts), placed


def own_orders(groups: Sequence[Group], costs: Costs) -> dict[Kind, list[int]] | None:
    """Return per kind its pools, the one that costs least for it first; None: that is the common order for all."""
    common = costs.order(groups)
    found: dict[Kind, list[int]] = {}
    differ = False
    for group in groups:
        usable = [position for position in common if costs.pools[position].name in group.pools]
        own = [position for position in costs.order([group]) if position in usable] if len(usable) > 1 else usable
        differ = differ or own != usable
        found[group.kind] = own
    return found if differ else None
