"""Which fresh nodes are ordered: the mix of pools that helps most and costs least by the expander.

Few pods: mixes are tried in the order of their cost until one helps everybody who can be helped. Many pods: first fit,
with new nodes from the pool that costs least for what it takes; what the last node of a pool holds is then tried on
cheaper ones. Pods that no rule ties to others are counted in runs of nodes that are alike, all others are simulated
node by node, those that spread over zones which have no node yet as `clues.policy.domains` says.
"""

import heapq
import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from clues.options import Expander, Policy, Pool
from clues.policy.bins import Piece, Placed, first_fit, number_of, own_orders
from clues.policy.costs import Costs, Mix
from clues.policy.grow import grow
from clues.policy.kinds import Kind
from clues.policy.pack import SEARCHED_PODS, Group, Packing, pack
from clues.policy.simulation import Simulation
from clues.policy.supply import Supply

__all__ = ["Choice", "balanced", "choose", "few", "many"]

_FEW_PODS = 64
_MOST_MIXES = 400
_REFINED_PODS = 2000
"""Up to so many pods one node less is worth looking for."""


@dataclass(slots=True)
class Choice:
    """What is to be ordered, and who is helped by it."""

    counts: dict[str, int] = field(default_factory=dict)
    placed: Placed = field(default_factory=dict)
    beside: dict[Kind, dict[int, int]] = field(default_factory=dict)
    """Kind -> index of one of the other nodes -> pods of it that find their place there once fresh nodes have come."""

    def helped(self, kind: Kind) -> int:
        """Return how many pods of a kind have a place."""
        return number_of(self.placed, kind) + sum(self.beside.get(kind, {}).values())

    def total(self) -> int:
        return sum(self.helped(kind) for kind in self.placed.keys() | self.beside.keys())


def choose(  # noqa: PLR0917
    simulation: Simulation,
    groups: Sequence[Group],
    pools: Sequence[Pool],
    supply: Supply,
    policy: Policy,
    others: NDArray[np.int64],
) -> Choice:
    """Choose fresh nodes for pods that have no place; `others` are nodes that they may use besides.

    The simulation is left as it was.
    """
    groups = [group for group in groups if group.pools]
    useful = [pool for pool in pools if supply.room[pool.name] > 0 and any(pool.name in g.pools for g in groups)]
    if not groups or not useful:
        return Choice()
    costs = Costs(groups, useful, supply, policy)
    if policy.expander is Expander.MOST_PODS and len(useful) > 1:
        costs.alone = {
            pool.name: many(simulation, Costs(groups, [pool], supply, policy), others, refine=False).total()
            for pool in useful
        }
    pods = sum(len(group.pods) for group in groups)
    return few(simulation, costs, others) if pods <= _FEW_PODS else many(simulation, costs, others)


def few(simulation: Simulation, costs: Costs, others: NDArray[np.int64]) -> Choice:
    """Try mixes in the order of their cost."""
    search = _Search(simulation, costs, others, count())
    mix = search.mix()
    mark = simulation.mark()
    packing = search.packed(mix)
    choice = _choice(costs, packing)
    simulation.undo(mark)
    pods = sum(len(group.pods) for group in costs.groups)
    if pods > SEARCHED_PODS and costs.policy.expander is not Expander.LEAST_WASTE:
        other = many(simulation, costs, others, refine=False)
        ranked = [(_ranked(costs, one), position) for position, one in enumerate((other, choice))]
        choice = (other, choice)[max(ranked)[1]]
    return choice


def many(simulation: Simulation, costs: Costs, others: NDArray[np.int64], *, refine: bool = True) -> Choice:
    """Fill fresh nodes one after the other; with `refine`, look whether few pods can do with less than the last one."""
    groups = sorted(costs.groups, key=lambda item: (-item.priority, -item.size))
    if not all(simulation.is_plain(group.kind) for group in groups):
        mark = simulation.mark()
        _, packing = grow(simulation, groups, costs, count(), others)
        choice = _choice(costs, packing)
        simulation.undo(mark)
        return choice
    pods = sum(len(group.pods) for group in groups)
    orders = [groups]
    if refine and pods <= _REFINED_PODS:
        orders += [sorted(groups, key=partial(_turn, costs, weights)) for weights in ((1, 1), (1, 0), (0, 1))]
    tried = [first_fit(simulation, order, costs) for order in orders]
    own = own_orders(groups, costs) if len(costs.pools) > 1 else None
    if own is not None:
        tried += [first_fit(simulation, order, costs, own=own) for order in orders]
    least_waste = costs.policy.expander is Expander.LEAST_WASTE
    if least_waste and len(costs.pools) > 1:
        most = tuple(costs.most_of(position, [0] * len(costs.pools)) for position in range(len(costs.pools)))
        for position, number in enumerate(most):
            only = tuple(number if p == position else 0 for p in range(len(most)))
            tried.append(first_fit(simulation, groups, costs, most=only))

    def value(mix: Mix, placed: Placed) -> tuple[object, ...]:
        wasted = costs.waste(mix) if least_waste else 0.0
        return (_helped(groups, placed), -wasted, _negative(costs.of(mix)))

    mix, placed = max(tried, key=lambda one: value(*one))
    choice = Choice(_counts(costs, mix), placed)
    if refine and not least_waste and pods <= _REFINED_PODS and choice.total() == pods:
        choice = _refined(simulation, groups, costs, mix, choice)
    return choice


def _turn(costs: Costs, weights: tuple[int, int], group: Group) -> tuple[float, ...]:
    """Order groups by falling priority, then by their weighted shares of cpu and memory of the largest pool."""
    asked = dict(group.kind.spec.requests)
    share = 0.0
    for name, weight in zip(("cpu", "memory"), weights, strict=True):
        largest = max(pool.allocatable.get(name, 0) for pool in costs.pools)
        share += weight * asked.get(name, 0) / largest if largest else 0.0
    return (-group.priority, -share, -group.size)


def _ranked(costs: Costs, choice: Choice) -> tuple[tuple[int, ...], tuple[float, ...]]:
    """Order choices: whom they help by falling priority, then what they cost."""
    mix = tuple(choice.counts.get(pool.name, 0) for pool in costs.pools)
    helped: dict[int, int] = {}
    for group in costs.groups:
        helped[group.priority] = helped.get(group.priority, 0) + choice.helped(group.kind)
    return tuple(helped[priority] for priority in sorted(helped, reverse=True)), _negative(costs.of(mix))


def _negative(cost: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(-part for part in cost)


def _counts(costs: Costs, mix: Mix) -> dict[str, int]:
    return {pool.name: number for pool, number in zip(costs.pools, mix, strict=True) if number}


def _helped(groups: Sequence[Group], placed: Placed) -> tuple[int, ...]:
    """Return the pods that have a place, by falling priority."""
    by_priority: dict[int, int] = {}
    for group in groups:
        there = number_of(placed, group.kind)
        by_priority[group.priority] = by_priority.get(group.priority, 0) + there
    return tuple(by_priority[priority] for priority in sorted(by_priority, reverse=True))


def _choice(costs: Costs, packing: Packing) -> Choice:
    """Sum a packing up by pool, without nodes that hold nothing."""
    used = {index for there in packing.places.values() for index in there}
    counts = {pool.name: 0 for pool in costs.pools}
    numbers: dict[int, tuple[str, int]] = {}
    for name, index in packing.nodes:
        if index in used:
            numbers[index] = (name, counts[name])
            counts[name] += 1
    choice = Choice({name: number for name, number in counts.items() if number})
    for kind, there in packing.places.items():
        for index, number in there.items():
            if index in numbers:
                choice.placed.setdefault(kind, []).append(Piece(*numbers[index], 1, number))
            else:
                choice.beside.setdefault(kind, {})[index] = number
    return choice


def _refined(simulation: Simulation, groups: Sequence[Group], costs: Costs, mix: Mix, choice: Choice) -> Choice:
    """Try what one node less of a pool leaves on nodes that cost less."""
    none = np.array([], dtype=np.int64)
    best = (costs.of(mix), choice)
    for position, number in enumerate(mix):
        if not number:
            continue
        less = tuple(n - int(p == position) for p, n in enumerate(mix))
        kept, placed = first_fit(simulation, groups, costs, most=less)
        left = [
            Group(group.kind, group.pods[: len(group.pods) - there], group.size, group.pools)
            for group in groups
            if (there := number_of(placed, group.kind)) < len(group.pods)
        ]
        if sum(len(group.pods) for group in left) > _FEW_PODS:
            continue
        tail = few(simulation, Costs(left, costs.pools, _less(costs, kept), costs.policy), none) if left else Choice()
        if tail.total() < sum(len(group.pods) for group in left):
            continue
        together = tuple(n + tail.counts.get(pool.name, 0) for pool, n in zip(costs.pools, kept, strict=True))
        if costs.of(together) < best[0]:
            before = {pool.name: n for pool, n in zip(costs.pools, kept, strict=True)}
            for kind, pieces in tail.placed.items():
                placed[kind] += [piece._replace(first=piece.first + before[piece.pool]) for piece in pieces]
            best = (costs.of(together), Choice(_counts(costs, together), placed))
    return best[1]


def _less(costs: Costs, mix: Mix) -> Supply:
    """Return what may be ordered beside a mix."""
    supply = costs.supply
    room = dict(supply.room)
    for pool, number in zip(costs.pools, mix, strict=True):
        room[pool.name] -= number

    def left(limit: int | None, name: str) -> int | None:
        taken = sum(pool.allocatable.get(name, 0) * n for pool, n in zip(costs.pools, mix, strict=True))
        return None if limit is None else limit - taken

    return Supply(
        room=room,
        nodes_left=None if supply.nodes_left is None else supply.nodes_left - sum(mix),
        cores_left_m=left(supply.cores_left_m, "cpu"),
        memory_left=left(supply.memory_left, "memory"),
    )


@dataclass(slots=True)
class _Search:
    simulation: Simulation
    costs: Costs
    others: NDArray[np.int64]
    names: Iterator[int]

    def mix(self) -> Mix:
        costs = self.costs
        most = tuple(
            min(
                costs.supply.room[pool.name],
                sum(len(group.pods) for group in costs.groups if pool.name in group.pools),
            )
            for pool in costs.pools
        )
        target = self._try(most) if costs.is_allowed(most) else None
        wanted = self._try(most) if target is None else target
        best: tuple[tuple[int, ...], Mix] | None = None
        tried = 0
        for mix in self._in_order(most):
            if not costs.is_allowed(mix) or (target is not None and not self._could_hold(mix, wanted)):
                continue
            tried += 1
            if tried > _MOST_MIXES:
                break
            value = self._try(mix)
            if best is None or value > best[0]:
                best = (value, mix)
            if value >= wanted:
                return self._less_waste(mix, most, wanted)
        if best is None:
            return tuple(0 for _ in costs.pools)
        greedy = self._greedy() if tried > _MOST_MIXES else best[1]
        return greedy if self._try(greedy) > best[0] else self._needed(best[1], best[0])

    def packed(self, mix: Mix) -> Packing:
        """Pack onto the nodes of a mix; the simulation holds the result."""
        return pack(
            self.simulation,
            self.costs.groups,
            list(zip(self.costs.pools, mix, strict=True)),
            self.names,
            others=self.others,
            wanted=sum(len(group.pods) for group in self.costs.groups),
        )

    def _greedy(self) -> Mix:
        chosen = many(self.simulation, self.costs, self.others, refine=False)
        return tuple(chosen.counts.get(pool.name, 0) for pool in self.costs.pools)

    def _less_waste(self, mix: Mix, most: Mix, wanted: tuple[int, ...]) -> Mix:
        if self.costs.policy.expander is not Expander.LEAST_WASTE:
            return mix
        best = self._wasteful(mix)
        mixes = itertools.islice(self._in_order(most), _MOST_MIXES)
        for other in dict.fromkeys(itertools.chain(mixes, _of_one_pool(most))):
            if not self.costs.is_allowed(other) or not self._could_hold(other, wanted) or self._try(other) < wanted:
                continue
            if self._needed(other, wanted) == other:
                best = min(best, self._wasteful(other))
        return best[3]

    def _wasteful(self, mix: Mix) -> tuple[float, int, tuple[float, ...], Mix]:
        """Order mixes by what they waste, then by the number of pools: an expander that never mixes takes one."""
        return self._waste(mix), sum(1 for number in mix if number), self.costs.of(mix), mix

    def _try(self, mix: Mix) -> tuple[int, ...]:
        """Return the pods that a mix helps, by falling priority."""
        mark = self.simulation.mark()
        packing = self.packed(mix)
        self.simulation.undo(mark)
        helped: dict[int, int] = {}
        for group in self.costs.groups:
            helped[group.priority] = helped.get(group.priority, 0) + packing.placed.get(group.kind, 0)
        return tuple(helped[priority] for priority in sorted(helped, reverse=True))

    def _needed(self, mix: Mix, wanted: tuple[int, ...]) -> Mix:
        """Take back nodes, dearest first, as long as nobody loses its place."""
        changed = True
        while changed:
            changed = False
            for position in sorted(range(len(mix)), key=self.costs.single, reverse=True):
                if mix[position]:
                    less = (*mix[:position], mix[position] - 1, *mix[position + 1 :])
                    if self._could_hold(less, wanted) and self._try(less) >= wanted:
                        mix, changed = less, True
                        break
        return mix

    def _in_order(self, most: Mix) -> Iterator[Mix]:
        """Yield mixes within the limits by rising cost."""
        start = tuple(0 for _ in most)
        heap = [(self.costs.of(start), start)]
        seen = {start}
        yielded = 0
        while heap and yielded < 60_000:
            _, mix = heapq.heappop(heap)
            yielded += 1
            yield mix
            for position in range(len(mix)):
                if mix[position] < most[position]:
                    more = (*mix[:position], mix[position] + 1, *mix[position + 1 :])
                    if more not in seen:
                        seen.add(more)
                        heapq.heappush(heap, (self.costs.of(more), more))

    def _waste(self, mix: Mix) -> float:
        """Return the unused share of all new nodes' cpu and that of their memory, added, as cluster-autoscaler does."""
        mark = self.simulation.mark()
        packing = self.packed(mix)
        free = self.simulation.free()
        rows = {name: position for position, name in enumerate(self.simulation.resources)}
        by_name = {pool.name: pool for pool in self.costs.pools}
        wasted = 0.0
        for name in ("cpu", "memory"):
            have = sum(by_name[pool_name].allocatable.get(name, 0) for pool_name, _ in packing.nodes)
            if have:
                wasted += sum(float(free[index][rows[name]]) for _, index in packing.nodes) / have
        self.simulation.undo(mark)
        return round(wasted, 9)

    def _could_hold(self, mix: Mix, wanted: Sequence[int]) -> bool:
        """Whether the sums of what is wanted allow it at all; only where nothing else has room."""
        if len(self.others):
            return True
        total = sum(wanted)
        if total and not sum(mix):
            return False
        everybody = sum(len(group.pods) for group in self.costs.groups)
        return total < everybody or self.costs.could_hold(mix)


def _of_one_pool(most: Mix) -> Iterator[Mix]:
    """Yield the mixes of one pool, up to as many nodes as there may be."""
    for position, number in enumerate(most):
        for nodes in range(1, number + 1):
            yield tuple(nodes if p == position else 0 for p in range(len(most)))


def balanced(
    counts: Mapping[str, int],
    pools: Sequence[Pool],
    supply: Supply,
    takers: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> dict[str, int]:
    """Share what is ordered among pools that are alike, the smallest first, each within its own limit.

    `takers` says per pool which pools would take all pods that its new nodes are for: only these share its order.
    """
    result = dict(counts)
    done: set[str] = set()
    for pool in pools:
        if pool.name in done or not counts.get(pool.name):
            continue
        alike = [
            other
            for other in pools
            if _look(other) == _look(pool)
            and supply.room[other.name] > 0
            and other.name in takers.get(pool.name, (other.name,))
        ]
        done.update(other.name for other in alike)
        total = sum(counts.get(other.name, 0) for other in alike)
        shares = {other.name: 0 for other in alike}
        for _ in range(total):
            open_pools = [other for other in alike if shares[other.name] < supply.room[other.name]]
            if not open_pools:
                break
            smallest = min(open_pools, key=lambda other: (supply.sizes[other.name] + shares[other.name], other.name))
            shares[smallest.name] += 1
        result.update(shares)
    return {name: number for name, number in result.items() if number}


_PLACE_LABELS = frozenset(
    {"topology.kubernetes.io/zone", "topology.kubernetes.io/region", "pool", "kubernetes.io/hostname"}
)


def _look(pool: Pool) -> tuple[object, ...]:
    labels = tuple(sorted((key, value) for key, value in pool.labels.items() if key not in _PLACE_LABELS))
    return (tuple(sorted(pool.allocatable.items())), labels, pool.taints, pool.powered)
