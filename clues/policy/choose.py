"""Which fresh nodes are ordered: the mix of pools that helps most and costs least by the expander.

Few pods: mixes are tried in the order of their cost until one helps everybody who can be helped. Many pods: pools are
filled one after the other, the one that costs least for what it takes first, and nodes that turn out superfluous are
taken back.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count

import numpy as np
from numpy.typing import NDArray

from clues.options import Expander, Policy, Pool
from clues.policy.kinds import Kind
from clues.policy.pack import Group, Packing, pack
from clues.policy.simulation import Simulation
from clues.policy.supply import Supply
from clues.policy.template import fresh_node

__all__ = ["Choice", "balanced", "choose"]

_FEW_PODS = 64
_MOST_MIXES = 400
_Mix = tuple[int, ...]


@dataclass(slots=True)
class Choice:
    """What is to be ordered, and who is helped by it. The simulation holds the packing."""

    counts: dict[str, int] = field(default_factory=dict)
    packing: Packing = field(default_factory=Packing)


def choose(  # noqa: PLR0917
    simulation: Simulation,
    groups: Sequence[Group],
    pools: Sequence[Pool],
    supply: Supply,
    policy: Policy,
    others: NDArray[np.int64],
) -> Choice:
    """Choose fresh nodes for pods that have no place; `others` are nodes that they may use besides."""
    open_pools = [pool for pool in pools if supply.room[pool.name] > 0]
    useful = [pool for pool in open_pools if any(pool.name in group.pools for group in groups)]
    groups = [group for group in groups if group.pools]
    if not groups or not useful:
        return Choice()
    names = count()
    pods = sum(len(group.pods) for group in groups)
    search = _Search(simulation, groups, useful, supply, policy, others, names)
    mix = search.few() if pods <= _FEW_PODS else search.many()
    packing = pack(simulation, groups, list(zip(useful, mix, strict=True)), names, others=others, wanted=pods)
    counts = {pool.name: number for pool, number in zip(useful, mix, strict=True) if number}
    return Choice(counts, packing)


@dataclass(slots=True)
class _Search:
    simulation: Simulation
    groups: Sequence[Group]
    pools: Sequence[Pool]
    supply: Supply
    policy: Policy
    others: NDArray[np.int64]
    names: Iterator[int]

    def few(self) -> _Mix:
        most = tuple(
            min(
                self.supply.room[pool.name],
                sum(len(group.pods) for group in self.groups if pool.name in group.pools),
            )
            for pool in self.pools
        )
        target = self._try(most) if self._is_allowed(most) else None
        wanted = self._try(most) if target is None else target
        best: tuple[tuple[int, ...], _Mix] | None = None
        tried = 0
        for mix in self._in_order(most):
            if not self._is_allowed(mix) or (target is not None and not self._could_hold(mix, wanted)):
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
            return tuple(0 for _ in self.pools)
        greedy = self.many() if tried > _MOST_MIXES else best[1]
        return greedy if self._try(greedy) > best[0] else self._needed(best[1], best[0])

    def _less_waste(self, mix: _Mix, most: _Mix, wanted: tuple[int, ...]) -> _Mix:
        if self.policy.expander is not Expander.LEAST_WASTE:
            return mix
        best = (self._waste(mix), self._cost(mix), mix)
        for other in self._in_order(tuple(min(number, sum(mix) + 3) for number in most)):
            if sum(other) > sum(mix) + 3:
                break
            if not self._is_allowed(other) or not self._could_hold(other, wanted) or self._try(other) < wanted:
                continue
            if self._needed(other, wanted) == other:
                best = min(best, (self._waste(other), self._cost(other), other))
        return best[2]

    def _try(self, mix: _Mix) -> tuple[int, ...]:
        """Return the pods that a mix helps, by falling priority."""
        mark = self.simulation.mark()
        pods = sum(len(group.pods) for group in self.groups)
        packing = pack(
            self.simulation,
            self.groups,
            list(zip(self.pools, mix, strict=True)),
            self.names,
            others=self.others,
            wanted=pods,
        )
        self.simulation.undo(mark)
        helped: dict[int, int] = {}
        for group in self.groups:
            helped[group.priority] = helped.get(group.priority, 0) + packing.placed.get(group.kind, 0)
        return tuple(helped[priority] for priority in sorted(helped, reverse=True))

    def _needed(self, mix: _Mix, wanted: tuple[int, ...]) -> _Mix:
        """Take back nodes, dearest first, as long as nobody loses its place."""
        changed = True
        while changed:
            changed = False
            for position in sorted(range(len(mix)), key=self._single_cost, reverse=True):
                if mix[position]:
                    less = (*mix[:position], mix[position] - 1, *mix[position + 1 :])
                    if self._could_hold(less, wanted) and self._try(less) >= wanted:
                        mix, changed = less, True
                        break
        return mix

    def many(self) -> _Mix:
        """Fill the pools one after the other by what they cost for what they take."""
        counts = [0] * len(self.pools)
        left = {group.kind: len(group.pods) for group in self.groups}
        order = sorted(range(len(self.pools)), key=self._efficiency)
        for position in order:
            pool = self.pools[position]
            mine = [group for group in self.groups if pool.name in group.pools and left[group.kind]]
            # pods that a later pool takes too are left to it only where this one is full
            number = self._bins(pool, mine, left, self._most_of(pool, counts))
            counts[position] = number
        return tuple(counts)

    def _most_of(self, pool: Pool, counts: Sequence[int]) -> int:
        most = self.supply.room[pool.name]
        used = list(zip(self.pools, counts, strict=True))
        if self.supply.nodes_left is not None:
            most = min(most, self.supply.nodes_left - sum(counts))
        for amount, limit in (("cpu", self.supply.cores_left_m), ("memory", self.supply.memory_left)):
            each = pool.allocatable.get(amount, 0)
            if limit is not None and each:
                taken = sum(other.allocatable.get(amount, 0) * number for other, number in used)
                most = min(most, (limit - taken) // each)
        return max(0, most)

    def _bins(self, pool: Pool, groups: Sequence[Group], left: dict[Kind, int], most: int) -> int:
        """Return how many nodes of a pool its pods fill, packed onto runs of bins that are alike."""
        simulation = self.simulation
        mark = simulation.mark()
        index = simulation.add_node(fresh_node(pool, f"bin-{pool.name}-{next(self.names)}"))
        free = simulation.free()[index]
        rooms = {group.kind: int(simulation.room(group.kind)[index]) for group in groups}
        rows = {name: position for position, name in enumerate(simulation.resources)}
        simulation.undo(mark)
        bins: list[tuple[NDArray[np.int64], int]] = []
        total = 0
        for group in sorted(groups, key=lambda item: (-item.priority, -item.size)):
            need = np.zeros_like(free)
            for name, amount in group.kind.spec.requests:
                need[rows[name]] = amount
            if "pods" in rows:
                need[rows["pods"]] = 1
            alone = not simulation.is_simple(group.kind) or bool(group.kind.spec.host_ports)
            waiting = left[group.kind]
            asked = need > 0
            for entry in list(bins):
                if not waiting:
                    break
                vector, number = entry
                fits = int((vector[asked] // need[asked]).min()) if asked.any() else waiting
                if alone:
                    fits = min(fits, max(1, rooms[group.kind]))
                if fits <= 0:
                    continue
                whole = min(waiting // fits, number)
                rest = waiting - whole * fits if whole < number else 0
                waiting -= whole * fits + min(rest, fits)
                pieces: list[tuple[NDArray[np.int64], int]] = []
                if whole:
                    pieces.append((vector - need * fits, whole))
                if rest:
                    pieces.append((vector - need * min(rest, fits), 1))
                untouched = number - whole - (1 if rest else 0)
                if untouched:
                    pieces.append((vector, untouched))
                at = next(i for i, item in enumerate(bins) if item is entry)
                bins[at : at + 1] = pieces
            fits = rooms[group.kind]
            if waiting and fits > 0 and total < most:
                number = min(-(-waiting // fits), most - total)
                whole, rest = min(waiting // fits, number), 0
                if whole:
                    bins.append((free - need * fits, whole))
                    waiting -= whole * fits
                if waiting and whole < number:
                    rest = min(waiting, fits)
                    bins.append((free - need * rest, 1))
                    waiting -= rest
                total += number
            left[group.kind] = waiting
        return total

    # costs

    def _in_order(self, most: _Mix) -> Iterator[_Mix]:
        """Yield mixes within the limits by rising cost."""
        start = tuple(0 for _ in most)
        heap = [(self._cost(start), start)]
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
                        heapq.heappush(heap, (self._cost(more), more))

    def _cost(self, mix: _Mix) -> tuple[float, ...]:
        price = round(sum(pool.price * number for pool, number in zip(self.pools, mix, strict=True)), 9)
        nodes = float(sum(mix))
        if self.policy.expander is Expander.LEAST_NODES:
            return (nodes, price, *self._names(mix))
        if self.policy.expander is Expander.TIERS:
            tiers = sorted({pool.tier for pool in self.pools}, reverse=True)
            used = [
                float(sum(n for pool, n in zip(self.pools, mix, strict=True) if pool.tier == tier)) for tier in tiers
            ]
            return (*used[:-1], price, nodes, *self._names(mix))
        if self.policy.expander is Expander.MOST_PODS:
            takes = [self._takes(pool) for pool in self.pools]
            order = sorted(range(len(self.pools)), key=lambda p: takes[p])
            return (*(float(mix[p]) for p in order if takes[p] < max(takes)), nodes, price, *self._names(mix))
        if self.policy.expander is Expander.LEAST_WASTE:
            return (nodes, price, *self._names(mix))
        return (price, nodes, *self._names(mix))

    def _names(self, mix: _Mix) -> tuple[float, ...]:
        """Equal costs: pools in the order of their names."""
        by_name = sorted(range(len(mix)), key=lambda p: self.pools[p].name)
        return tuple(float(-mix[p]) for p in by_name)

    def _single_cost(self, position: int) -> tuple[float, ...]:
        return self._cost(tuple(int(p == position) for p in range(len(self.pools))))

    def _takes(self, pool: Pool) -> int:
        return sum(len(group.pods) for group in self.groups if pool.name in group.pools)

    def _efficiency(self, position: int) -> tuple[float, ...]:
        pool = self.pools[position]
        mine = [group for group in self.groups if pool.name in group.pools]
        shares = 0.0
        for name in ("cpu", "memory"):
            each = pool.allocatable.get(name, 0)
            asked = sum(dict(group.kind.spec.requests).get(name, 0) * len(group.pods) for group in mine)
            shares = max(shares, asked / each if each else 0.0)
        nodes = max(shares, 1e-9)
        pods = max(1, sum(len(group.pods) for group in mine))
        if self.policy.expander is Expander.TIERS:
            return (float(pool.tier), pool.price * nodes / pods)
        if self.policy.expander is Expander.LEAST_NODES:
            return (nodes / pods, pool.price)
        if self.policy.expander is Expander.MOST_PODS:
            return (-float(pods), pool.price)
        return (pool.price * nodes / pods, nodes)

    def _waste(self, mix: _Mix) -> float:
        """Return the unused shares of cpu and memory, added over the nodes."""
        mark = self.simulation.mark()
        pods = sum(len(group.pods) for group in self.groups)
        packing = pack(
            self.simulation,
            self.groups,
            list(zip(self.pools, mix, strict=True)),
            self.names,
            others=self.others,
            wanted=pods,
        )
        free = self.simulation.free()
        rows = {name: position for position, name in enumerate(self.simulation.resources)}
        wasted = 0.0
        for pool_name, index in packing.nodes:
            pool = next(item for item in self.pools if item.name == pool_name)
            for name in ("cpu", "memory"):
                each = pool.allocatable.get(name, 0)
                if each:
                    wasted += float(free[index][rows[name]]) / each
        self.simulation.undo(mark)
        return round(wasted, 9)

    # limits

    def _is_allowed(self, mix: _Mix) -> bool:
        supply = self.supply
        if supply.nodes_left is not None and sum(mix) > supply.nodes_left:
            return False
        for amount, limit in (("cpu", supply.cores_left_m), ("memory", supply.memory_left)):
            if limit is not None:
                asked = sum(pool.allocatable.get(amount, 0) * n for pool, n in zip(self.pools, mix, strict=True))
                if asked > limit:
                    return False
        return True

    def _could_hold(self, mix: _Mix, wanted: Sequence[int]) -> bool:
        """Whether the sums of what is wanted allow it at all; only where nothing else has room."""
        if len(self.others):
            return True
        total = sum(wanted)
        if total and not sum(mix):
            return False
        everybody = sum(len(group.pods) for group in self.groups)
        if total < everybody:
            return True
        have: dict[str, int] = {}
        for pool, number in zip(self.pools, mix, strict=True):
            for name, amount in {"pods": 110, **pool.allocatable}.items():
                have[name] = have.get(name, 0) + amount * number
        need: dict[str, int] = {"pods": everybody}
        for group in self.groups:
            for name, amount in group.kind.spec.requests:
                need[name] = need.get(name, 0) + amount * len(group.pods)
        return all(have.get(name, 0) >= amount for name, amount in need.items())


def balanced(counts: Mapping[str, int], pools: Sequence[Pool], supply: Supply) -> dict[str, int]:
    """Share what is ordered among pools that are alike, the smallest first, each within its own limit."""
    result = dict(counts)
    done: set[str] = set()
    for pool in pools:
        if pool.name in done or not counts.get(pool.name):
            continue
        alike = [other for other in pools if _look(other) == _look(pool) and supply.room[other.name] > 0]
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
