"""Putting pods on nodes: on those that are there, and on fresh ones that are added until all have a place."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clues.model import Pod
from clues.options import Pool
from clues.policy.dealing import dealt_out
from clues.policy.kinds import Kind
from clues.policy.simulation import Simulation
from clues.policy.template import fresh_node

__all__ = ["SEARCHED_PODS", "Group", "Packing", "Places", "by_priority", "fill", "note", "pack"]

SEARCHED_PODS = 14
"""Up to so many pods every way of packing them is tried."""
_STEPS = 4000
"""Placements that the exhaustive search of a small packing may try."""


@dataclass(slots=True)
class Group:
    """Pods of one kind that want a place."""

    kind: Kind
    pods: list[Pod]
    size: float = 0.0
    """Largest share of any resource of the largest fresh node that could take one."""
    pools: tuple[str, ...] = ()
    """Whose fresh empty node would take one; for kinds that look at other pods as far as can be told."""

    @property
    def priority(self) -> int:
        return self.kind.spec.priority


Places = dict[Kind, dict[int, int]]
"""Kind -> node index -> pods of it placed there."""


@dataclass(slots=True)
class Packing:
    """Fresh nodes with what was put on them."""

    nodes: list[tuple[str, int]] = field(default_factory=list)
    """(pool, index in the simulation)."""
    placed: dict[Kind, int] = field(default_factory=dict)
    places: Places = field(default_factory=dict)

    def total(self) -> int:
        return sum(self.placed.values())


def fill(simulation: Simulation, kind: Kind, count: int, order: NDArray[np.int64]) -> dict[int, int]:
    """Put up to `count` pods of a kind on the nodes of `order`, first come first filled; return node -> pods."""
    found: dict[int, int] = {}
    if count == 0 or not len(order):
        return found
    if simulation.is_local(kind):
        at, room = simulation.room_among(kind, order)
        for index, most in zip(at.tolist(), room.tolist(), strict=True):
            number = min(most, count)
            found[index] = number
            count -= number
            if count == 0:
                break
        simulation.place_all(kind, found)
        return found
    rule = simulation.only_rule(kind) if count > 1 else None
    if rule is not None:
        found = dealt_out(simulation, kind, count, rule, order, evenly=False)
        simulation.place_all(kind, found)
        return found
    while count:
        at = simulation.fitting(kind, order)
        if not len(at):
            break
        index = int(at[0])
        simulation.place(kind, index)
        found[index] = found.get(index, 0) + 1
        count -= 1
    return found


def note(packing: Packing, kind: Kind, found: Mapping[int, int]) -> None:
    """Add what `fill` has found to a packing."""
    number = sum(found.values())
    if number:
        packing.placed[kind] = packing.placed.get(kind, 0) + number
        there = packing.places.setdefault(kind, {})
        for index, count in found.items():
            there[index] = there.get(index, 0) + count


def add_nodes(simulation: Simulation, mix: Iterable[tuple[Pool, int]], names: Iterator[int]) -> list[tuple[str, int]]:
    """Add fresh nodes to a simulation."""
    added = []
    for pool, count in mix:
        for _ in range(count):
            node = fresh_node(pool, f"fresh-{pool.name}-{next(names)}")
            added.append((pool.name, simulation.add_node(node)))
    return added


def pack(
    simulation: Simulation,
    groups: Sequence[Group],
    mix: Sequence[tuple[Pool, int]],
    names: Iterator[int],
    *,
    others: NDArray[np.int64],
    wanted: int,
) -> Packing:
    """Add the nodes of a mix and pack the pods onto them and onto `others`; keeps the best of several ways.

    Stops at the first way that places `wanted` pods. The simulation holds the result; take it back by its mark.
    """
    added = add_nodes(simulation, mix, names)
    base = simulation.mark()
    fresh = np.array([index for _, index in added], dtype=np.int64)
    ways = _ways(sum(len(group.pods) for group in groups))
    best_way = ways[0]
    best_value: tuple[int, ...] = (-1,)
    for way in ways:
        packing = way(simulation, groups, fresh, others)
        packing.nodes = added
        if packing.total() >= wanted:
            return packing
        value = by_priority(packing, groups)
        if value > best_value:
            best_way, best_value = way, value
        simulation.undo(base)
    again = best_way(simulation, groups, fresh, others)
    again.nodes = added
    return again


def by_priority(packing: Packing, groups: Sequence[Group]) -> tuple[int, ...]:
    """Return how many pods have a place, by falling priority: the larger, the better."""
    placed: dict[int, int] = {}
    for group in groups:
        placed[group.priority] = placed.get(group.priority, 0) + packing.placed.get(group.kind, 0)
    return tuple(placed[priority] for priority in sorted(placed, reverse=True))


_Way = Callable[[Simulation, Sequence[Group], NDArray[np.int64], NDArray[np.int64]], Packing]


def _ways(pods: int) -> list[_Way]:
    def large_first(group: Group) -> tuple[float, ...]:
        return (-group.priority, -group.size)

    def picky_first(group: Group) -> tuple[float, ...]:
        return (-group.priority, len(group.pools), -group.size)

    def free_first(group: Group) -> tuple[float, ...]:
        return (-group.priority, group.size)

    ways: list[_Way] = [_by(picky_first, tight=True), _by(large_first, tight=False), _by(picky_first, tight=False)]
    if pods <= 400:
        ways += [_by(large_first, tight=True), _by(free_first, tight=True), _spread_out]
    if pods <= SEARCHED_PODS:
        ways.append(_exhaustive)
    return ways


def _by(key: Callable[[Group], tuple[float, ...]], *, tight: bool) -> _Way:
    def way(
        simulation: Simulation, groups: Sequence[Group], fresh: NDArray[np.int64], others: NDArray[np.int64]
    ) -> Packing:
        packing = Packing()
        left = []
        for group in sorted(groups, key=key):
            order = _tightest(simulation, fresh) if tight else fresh
            found = fill(simulation, group.kind, len(group.pods), np.concatenate([others, order]))
            note(packing, group.kind, found)
            if sum(found.values()) < len(group.pods):
                left.append(group)
        for group in left:  # what looks at other pods may have its place now
            if not simulation.is_simple(group.kind):
                missing = len(group.pods) - packing.placed.get(group.kind, 0)
                note(packing, group.kind, fill(simulation, group.kind, missing, np.concatenate([others, fresh])))
        return packing

    return way


def _tightest(simulation: Simulation, fresh: NDArray[np.int64]) -> NDArray[np.int64]:
    free = simulation.free()[fresh].astype(np.float64)
    most = free.max(axis=0, initial=1.0)
    most[most <= 0] = 1.0
    return fresh[np.argsort((free / most).sum(axis=1), kind="stable")]


def _spread_out(
    simulation: Simulation, groups: Sequence[Group], fresh: NDArray[np.int64], others: NDArray[np.int64]
) -> Packing:
    """One pod after the other, each on the emptiest node that takes it, as the scheduler's scores have it."""
    packing = Packing()
    for group in sorted(groups, key=lambda item: (-item.priority, len(item.pools), -item.size)):
        for _ in group.pods:
            order = np.concatenate([others, _tightest(simulation, fresh)[::-1]])
            found = fill(simulation, group.kind, 1, order)
            if not found:
                break
            note(packing, group.kind, found)
    return packing


def _exhaustive(
    simulation: Simulation, groups: Sequence[Group], fresh: NDArray[np.int64], others: NDArray[np.int64]
) -> Packing:
    """Every way, for few pods and within a number of steps; what could not be decided counts as not placed."""
    ordered = sorted(groups, key=lambda item: (-item.priority, len(item.pools), -item.size))
    pods = [group.kind for group in ordered for _ in group.pods]
    nodes = [int(index) for index in np.concatenate([others, fresh])]
    steps = _STEPS
    chosen: list[tuple[Kind, int]] = []

    def place(position: int) -> bool:
        nonlocal steps
        if position == len(pods):
            return True
        kind = pods[position]
        mask = simulation.mask(kind)
        free = simulation.free()
        seen: set[tuple[object, ...]] = set()
        for index in nodes:
            looks = (simulation.nodes[index].labels.get("pool"), free[index].tobytes())
            if not mask[index] or (simulation.is_simple(kind) and looks in seen):
                continue
            seen.add(looks)
            steps -= 1
            if steps < 0:
                return False
            mark = simulation.mark()
            simulation.place(kind, index)
            chosen.append((kind, index))
            if place(position + 1):
                return True
            chosen.pop()
            simulation.undo(mark)
        return False

    packing = Packing()
    if place(0):
        for kind, index in chosen:
            note(packing, kind, {index: 1})
    return packing
