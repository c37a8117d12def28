"""What a mix of fresh nodes costs by the expander, what the limits allow, and which pool is asked first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clues.model import HOSTNAME
from clues.options import Expander, Policy, Pool
from clues.policy.pack import Group
from clues.policy.supply import Supply
from clues.policy.template import DEFAULT_SLOTS

__all__ = ["Costs", "Mix"]

Mix = tuple[int, ...]
"""Fresh nodes per pool, in the order of the pools."""


@dataclass(slots=True)
class Costs:
    """Costs and limits for the pods of these groups."""

    groups: Sequence[Group]
    pools: Sequence[Pool]
    supply: Supply
    policy: Policy
    alone: Mapping[str, int] = field(default_factory=dict)
    """Pool -> pods that it could take alone within the limits, where the expander asks for that."""
    _domains: list[list[list[int]]] = field(init=False)
    """For every key that pods must spread over: positions of the pools of each domain."""

    def __post_init__(self) -> None:
        self._domains = []
        keys = {
            (spread.topology_key, group.pools)
            for group in self.groups
            for spread in group.kind.spec.spread
            if spread.hard and spread.topology_key != HOSTNAME
        }
        for key, names in sorted(keys):
            found: dict[str, list[int]] = {}
            for position, pool in enumerate(self.pools):
                if pool.name in names and key in pool.labels:
                    found.setdefault(pool.labels[key], []).append(position)
            if len(found) > 1:
                self._domains.append(list(found.values()))

    def of(self, mix: Mix) -> tuple[float, ...]:
        """Return what a mix costs; the less, the better."""
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

    def single(self, position: int) -> tuple[float, ...]:
        """Return what one node of a pool costs."""
        return self.of(tuple(int(p == position) for p in range(len(self.pools))))

    def order(self, groups: Sequence[Group]) -> list[int]:
        """Return the positions of the pools, the one that costs least for what it takes of these groups first."""
        asked = self._asked(groups)
        return sorted(range(len(self.pools)), key=lambda position: self._efficiency(position, groups, asked))

    def rate(self, position: int, group: Group) -> tuple[float, ...]:
        """Return what a pool costs for what it takes of a group: equal where only its name tells it from another."""
        found = self._efficiency(position, [group])[:-1]
        first = found[:1] if self.policy.expander is Expander.PRICE else found
        return tuple(round(float(part), 9) for part in first)

    def is_allowed(self, mix: Mix) -> bool:
        """Whether the limits over all pools allow a mix."""
        supply = self.supply
        if supply.nodes_left is not None and sum(mix) > supply.nodes_left:
            return False
        for amount, limit in (("cpu", supply.cores_left_m), ("memory", supply.memory_left)):
            if limit is not None:
                asked = sum(pool.allocatable.get(amount, 0) * n for pool, n in zip(self.pools, mix, strict=True))
                if asked > limit:
                    return False
        return True

    def most_of(self, position: int, counts: Sequence[int]) -> int:
        """Return how many more nodes of a pool the limits allow beside those that are counted."""
        supply, pool = self.supply, self.pools[position]
        most = supply.room[pool.name] - counts[position]
        if supply.nodes_left is not None:
            most = min(most, supply.nodes_left - sum(counts))
        for amount, limit in (("cpu", supply.cores_left_m), ("memory", supply.memory_left)):
            each = pool.allocatable.get(amount, 0)
            if limit is not None and each > 0:
                taken = sum(other.allocatable.get(amount, 0) * n for other, n in zip(self.pools, counts, strict=True))
                most = min(most, (limit - taken) // each)
        return max(0, most)

    def could_hold(self, mix: Mix) -> bool:
        """Whether the sums of what all pods ask for allow it at all, where nothing else has room."""
        have: dict[str, int] = {}
        for pool, number in zip(self.pools, mix, strict=True):
            for name, amount in {"pods": DEFAULT_SLOTS, **pool.allocatable}.items():
                have[name] = have.get(name, 0) + amount * number
        return all(have.get(name, 0) >= amount for name, amount in self._asked(self.groups).items())

    @staticmethod
    def _asked(groups: Sequence[Group]) -> Mapping[str, int]:
        need: dict[str, int] = {"pods": 0}
        for group in groups:
            need["pods"] += len(group.pods)
            for name, amount in group.kind.spec.requests:
                need[name] = need.get(name, 0) + amount * len(group.pods)
        return need

    def waste(self, mix: Mix) -> float:
        """Return the shares of the cpu and of the memory of a mix that all pods together would leave unused."""
        asked, wasted = self._asked(self.groups), 0.0
        for name in ("cpu", "memory"):
            have = sum(pool.allocatable.get(name, 0) * n for pool, n in zip(self.pools, mix, strict=True))
            wasted += 1 - asked.get(name, 0) / have if have else 0.0
        return round(wasted, 9)

    def _names(self, mix: Mix) -> tuple[float, ...]:
        """Equal costs: as even over the domains that pods spread over as can be, then in the order of the pools' names.

        Domains without a node do not count for the scheduler, so that all on one is allowed, but not what is meant.
        """
        by_name = sorted(range(len(mix)), key=lambda p: self.pools[p].name)
        return (self._uneven(mix), *(float(-mix[p]) for p in by_name))

    def _uneven(self, mix: Mix) -> float:
        worst = 0
        for domains in self._domains:
            numbers = [sum(mix[position] for position in positions) for positions in domains]
            worst += max(numbers) - min(numbers)
        return float(worst)

    def _takes(self, pool: Pool) -> int:
        found = self.alone.get(pool.name)
        return sum(len(g.pods) for g in self.groups if pool.name in g.pools) if found is None else found

    def _efficiency(
        self, position: int, groups: Sequence[Group], all_asked: Mapping[str, int] | None = None
    ) -> tuple[float | str, ...]:
        pool = self.pools[position]
        mine = [group for group in groups if pool.name in group.pools]
        if not mine:
            return (float("inf"), float("inf"), pool.name)
        asked = all_asked if all_asked is not None and len(mine) == len(groups) else self._asked(mine)
        pods = max(1, asked["pods"])
        each = {"pods": DEFAULT_SLOTS, **pool.allocatable}
        shares = max((amount / each[name] for name, amount in asked.items() if each.get(name)), default=0.0)
        nodes = max(shares, 1e-9)
        cost = pool.price * nodes / pods
        if self.policy.expander is Expander.TIERS:
            return (float(pool.tier), cost, pool.name)
        if self.policy.expander is Expander.LEAST_NODES:
            return (nodes / pods, pool.price, pool.name)
        if self.policy.expander is Expander.MOST_PODS:
            return (-float(self._takes(pool)), pool.price, pool.name)
        if self.policy.expander is Expander.LEAST_WASTE:
            return (nodes / pods, pool.price, pool.name)
        return (cost, nodes / pods, pool.name)
