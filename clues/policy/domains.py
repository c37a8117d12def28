"""Over which domains (zones, racks) pods spread where some of them have no node yet.

The scheduler counts a domain only once it has a node, so that a greedy choice would open one after the other in the
same domain: each is allowed, and none is what the constraint is for. So the domains are chosen before the first node
is opened, and every one that was chosen gets a node at once; those that were not stay shut, for a node there would
count as empty and stop the others.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from clues.model import HOSTNAME
from clues.policy.costs import Costs
from clues.policy.kinds import Kind
from clues.policy.pack import Group
from clues.policy.simulation import Simulation
from clues.policy.template import fresh_node
from clues.policy.topology import SpreadRule

__all__ = ["Opening", "Shut", "beside", "opening", "spread_rule"]

Shut = tuple[str, str]
"""A domain: topology key and value."""


@dataclass(frozen=True, slots=True)
class Opening:
    """Where the first nodes for a group go."""

    positions: tuple[int, ...] = ()
    """One node of each of these pools."""
    shut: frozenset[Shut] = frozenset()
    """Domains without a node in which none is to be opened."""


@dataclass(slots=True)
class _Domain:
    value: str
    is_there: bool
    level: int = 0
    """Pods that the constraint counts in it."""
    room: int = 0
    """Pods that its open nodes still take."""
    sites: list[tuple[int, int]] = field(default_factory=list)
    """(position of a pool, pods that its fresh node takes), the cheapest pool first."""
    rate: tuple[float, ...] = ()


def spread_rule(simulation: Simulation, kind: Kind) -> SpreadRule | None:
    """Return the first hard constraint over domains of several nodes that such pods themselves count in."""
    rules = simulation.spread_rules(kind)
    return next((rule for rule in rules if rule.grows and rule.counter.column.key != HOSTNAME), None)


def beside(simulation: Simulation, groups: Sequence[Group], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return which nodes of `order` may take pods once fresh nodes have come: only pods with rules change their mind.

    Of each domain as many nodes as could be needed.
    """
    found: dict[int, None] = {}
    for group in groups if len(order) else ():
        if simulation.is_local(group.kind):
            continue
        room = simulation.own_room(group.kind, order)
        rules = simulation.spread_rules(group.kind)
        numbers = rules[0].counter.synced()[order] if rules else np.zeros(len(order), np.int64)
        left: dict[int, int] = {}
        for at in np.flatnonzero(room).tolist():
            number = int(numbers[at])
            if left.setdefault(number, len(group.pods)) > 0:
                left[number] -= int(room[at])
                found[int(order[at])] = None
    return np.array(list(found), np.int64)


def opening(  # noqa: PLR0917
    simulation: Simulation,
    group: Group,
    costs: Costs,
    counts: Sequence[int],
    known: NDArray[np.int64],
    forced: Collection[Shut],
    sealed: Collection[Shut],
) -> Opening:
    """Choose the domains of a group: those that help most of it, at the least rate, and as many as cost no more.

    `counts` are nodes opened before, `known` the indices of nodes that may be filled, `forced` domains that get a node
    in any case, `sealed` such that get none.
    """
    rule = spread_rule(simulation, group.kind)
    if rule is None:
        return Opening()
    key = rule.counter.column.key
    levels = rule.levels()
    every = dict.fromkeys(pool.labels[key] for pool in costs.pools if key in pool.labels)
    missing = [value for value in every if value not in levels]
    if not missing:
        return Opening()
    domains = _domains(simulation, group, costs, counts, known, rule)
    there = [domain for domain in domains.values() if domain.is_there]
    must = [value for value in missing if (key, value) in forced]
    barred = {*must, *(value for value in missing if (key, value) in sealed)}
    usable = [domains[value] for value in missing if value in domains and value not in barred]
    rates = sorted({domain.rate for domain in domains.values() if domain.sites})
    best: tuple[tuple[int, int, int], list[_Domain]] | None = None
    held = [domains.get(value) or _Domain(value, is_there=False) for value in must]
    for chosen in _sets(usable, rates, costs, counts):
        active = [*there, *held, *chosen]
        worst = max((rates.index(domain.rate) for domain in active if domain.sites), default=0)
        value = (_helped(active, rule, len(group.pods), costs, counts), -worst, len(chosen))
        if active and (best is None or value > best[0]):
            best = (value, chosen)
    opened = {domain.value for domain in best[1]} | set(must) if best is not None else set(must)
    first = [_first_pool(value, key, domains, costs, counts) for value in missing if value in opened]
    return Opening(
        tuple(position for position in first if position is not None),
        frozenset((key, value) for value in missing if value not in opened),
    )


def _domains(  # noqa: PLR0917
    simulation: Simulation,
    group: Group,
    costs: Costs,
    counts: Sequence[int],
    known: NDArray[np.int64],
    rule: SpreadRule,
) -> dict[str, _Domain]:
    """Return the domains that have a node, and those that a pool could give one."""
    key, kind = rule.counter.column.key, group.kind
    found = {value: _Domain(value, is_there=True, level=level) for value, level in rule.levels().items()}
    if len(known):
        by_number = {number: value for value, number in rule.counter.column.values.items()}
        numbers = rule.counter.synced()[known]
        room = simulation.own_room(kind, known)
        for at in np.flatnonzero(room).tolist():
            domain = found.get(by_number.get(int(numbers[at]), ""))
            if domain is not None:
                domain.room += int(room[at])
    for position in costs.order([group]):
        pool = costs.pools[position]
        if pool.name not in group.pools or key not in pool.labels or costs.most_of(position, counts) <= 0:
            continue
        mark = simulation.mark()
        index = simulation.add_node(fresh_node(pool, f"look-{pool.name}"))
        each = int(simulation.own_room(kind, np.array([index], np.int64))[0])
        simulation.undo(mark)
        if each > 0:
            domain = found.setdefault(pool.labels[key], _Domain(pool.labels[key], is_there=False))
            domain.rate = domain.rate or costs.rate(position, group)
            domain.sites.append((position, each))
    return found


def _sets(
    usable: Sequence[_Domain], rates: Sequence[tuple[float, ...]], costs: Costs, counts: Sequence[int]
) -> list[list[_Domain]]:
    """Return which domains could be opened together: up to each rate, those that could hold no less than each other.

    The domain that holds least bounds all others, so only the smallest ones are ever worth leaving out.
    """
    most = {
        domain.value: sum(costs.most_of(position, counts) * each for position, each in domain.sites)
        for domain in usable
    }
    found: list[list[_Domain]] = [[]]
    for rate in rates:
        cheap = [domain for domain in usable if domain.rate <= rate]
        for least in sorted({most[domain.value] for domain in cheap}):
            one = [domain for domain in cheap if most[domain.value] >= least]
            if one not in found:
                found.append(one)
    return found


def _helped(active: Sequence[_Domain], rule: SpreadRule, wanted: int, costs: Costs, counts: Sequence[int]) -> int:
    """Return how many pods have a place at most, if nodes are opened where there are fewest pods."""
    if not active:
        return 0
    opened = list(counts)
    tops = [domain.level + domain.room for domain in active]
    skew, counted = rule.spread.max_skew, len(active) >= rule.spread.min_domains
    while True:
        most = (min(tops) if counted else 0) + skew
        helped = sum(max(0, min(top, most) - domain.level) for top, domain in zip(tops, active, strict=True))
        if helped >= wanted:
            return wanted
        for at in sorted(range(len(active)), key=tops.__getitem__):
            if tops[at] >= most:
                return helped
            site = next((one for one in active[at].sites if costs.most_of(one[0], opened) > 0), None)
            if site is not None:
                opened[site[0]] += 1
                tops[at] += site[1]
                break
        else:
            return helped


def _first_pool(value: str, key: str, domains: dict[str, _Domain], costs: Costs, counts: Sequence[int]) -> int | None:
    """Return whose node opens a domain: the group's cheapest pool there, or any."""
    domain = domains.get(value)
    if domain is not None and domain.sites:
        return domain.sites[0][0]
    there = [at for at, pool in enumerate(costs.pools) if pool.labels.get(key) == value]
    return next((at for at in there if costs.most_of(at, counts) > 0), None)
