"""Sums over a period: nodes by state, energy, money, waiting times, power-ons. Records that make no sense are counted.

Energy of a node: `watts_off` while it is off (standby is paid for too), `watts_idle` while it boots, drains or is
idle, and between `watts_idle` and `watts_busy` by the share of it that pods ask for. Money: the pool's price for
every hour in which a node is not off, and the electricity.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

__all__ = ["Buckets", "PoolTotals", "Report", "Waits", "summarise"]

_BUCKETS: Final = 360
_EDGES_S: Final = (1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 4 * 3600.0)
"""Upper ends of the waiting times' classes; the last class is open."""
_UNPAID: Final = frozenset({"off", "failed", "unmanaged"})
_MOST_NAMES: Final = 20
_LONGEST: Final = 10


class Buckets:
    """Averages over equal parts of a period, of many things that each last for a while."""

    def __init__(self, since: float, until: float, count: int = _BUCKETS) -> None:
        self.since = since
        self.width_s = max(until - since, 1e-9) / count
        self.count = count
        self._whole: dict[str, list[float]] = {}
        self._part: dict[str, list[float]] = {}

    def add(self, key: str, start: float, end: float, weight: float) -> None:
        """Add something of `weight` that lasted from `start` to `end`, both within the period; in constant time."""
        if key not in self._whole:
            self._whole[key] = [0.0] * (self.count + 1)
            self._part[key] = [0.0] * self.count
        whole, part = self._whole[key], self._part[key]
        first = min(int((start - self.since) / self.width_s), self.count - 1)
        last = min(int((end - self.since) / self.width_s), self.count - 1)
        if first == last:
            part[first] += weight * (end - start)
            return
        part[first] += weight * (self.since + (first + 1) * self.width_s - start)
        part[last] += weight * (end - self.since - last * self.width_s)
        whole[first + 1] += weight  # differences: summed up when they are read
        whole[last] -= weight

    def series(self) -> dict[str, list[float]]:
        """Return the averages by key."""
        found = {}
        for key, changes in self._whole.items():
            level, values = 0.0, []
            for change, part in zip(changes, self._part[key], strict=False):
                level += change
                values.append(max(0.0, level + part / self.width_s))
            found[key] = values
        return found


class PoolTotals(msgspec.Struct):
    """Of one pool over the period."""

    name: str
    hours: dict[str, float] = {}
    """State -> node-hours."""
    kwh: dict[str, float] = {}
    """State -> energy."""
    node_hours: float = 0.0
    """Those that are paid for: not off, failed or foreign."""
    cost_nodes: float = 0.0
    cost_energy: float = 0.0
    power_ons: int = 0
    power_offs: int = 0
    failures: int = 0
    boot_s: list[float] = []


class Waits(msgspec.Struct):
    """How long pods were pending."""

    count: int = 0
    given_up: int = 0
    """Went away without ever running."""
    mean_s: float = 0.0
    p50_s: float = 0.0
    p95_s: float = 0.0
    p99_s: float = 0.0
    max_s: float = 0.0
    edges_s: tuple[float, ...] = _EDGES_S
    counts: list[int] = []
    """Pods per class: up to the first edge, to the second ..., beyond the last."""
    longest: list[tuple[str, float]] = []


class Report(msgspec.Struct):
    """All that a report says."""

    since: float
    until: float
    currency: str
    price_per_kwh: float
    bucket_s: float = 0.0
    states: dict[str, list[float]] = {}
    """State -> nodes on average, per bucket."""
    watts: dict[str, list[float]] = {}
    """State -> watts on average, per bucket."""
    pools: list[PoolTotals] = []
    waits: Waits = msgspec.field(default_factory=Waits)
    kwh: float = 0.0
    kwh_standby: float = 0.0
    node_hours: float = 0.0
    cost_nodes: float = 0.0
    cost_energy: float = 0.0
    power_ons: int = 0
    power_offs: int = 0
    failures: int = 0
    failed: dict[str, int] = {}
    """Node or machine -> failures, the worst first."""
    decisions: int = 0
    skipped: int = 0
    """Records that made no sense."""


class _Price(msgspec.Struct):
    name: str
    price: float = 0.0
    watts_off: float = 0.0
    watts_idle: float = 0.0
    watts_busy: float = 0.0


class _Node(msgspec.Struct):
    name: str
    pool: str
    state: str
    busy: float = 0.0
    at: float = 0.0


class _Pod(msgspec.Struct):
    namespace: str
    name: str
    wait_s: float
    node: str = ""


class _Step(msgspec.Struct):
    at: float
    phase: str


class _Action(msgspec.Struct):
    at: float
    kind: str
    pool: str
    phase: str
    machine: str = ""
    node: str = ""
    steps: list[_Step] = []


class _Pools(msgspec.Struct):
    pools: list[_Price]


class _Summing:
    def __init__(self, report: Report, buckets: int) -> None:
        self.report = report
        self.states = Buckets(report.since, report.until, buckets)
        self.watts = Buckets(report.since, report.until, buckets)
        self.pools: dict[str, PoolTotals] = {}
        self.prices: dict[str, _Price] = {}
        self.nodes: dict[str, _Node] = {}
        self.waits: list[tuple[float, str]] = []
        self.failed: Counter[str] = Counter()

    def totals(self, name: str) -> PoolTotals:
        if name not in self.pools:
            self.pools[name] = PoolTotals(name, {}, {}, boot_s=[])
        return self.pools[name]

    def take(self, record: Mapping[str, object]) -> None:
        kind = record.get("type")
        if kind == "node":
            node = msgspec.convert(record, _Node)
            node.at = self._within(node.at)
            self.close(node.name, node.at)
            if node.state != "gone":
                self.nodes[node.name] = node
        elif kind == "pod":
            self._pod(msgspec.convert(record, _Pod))
        elif kind == "action":
            self._action(msgspec.convert(record, _Action))
        elif kind == "pools":
            prices = msgspec.convert(record, _Pools).pools
            at = record.get("at")
            when = self._within(float(at)) if isinstance(at, int | float) else self.report.since
            for name in list(self.nodes):  # what came before is charged at the old prices
                self._charge(self.nodes[name], when)
                self.nodes[name].at = when
            self.prices = {price.name: price for price in prices}
        elif kind == "decision":
            self.report.decisions += 1

    def _within(self, at: float) -> float:
        if not math.isfinite(at):
            raise ValueError(at)
        return min(max(at, self.report.since), self.report.until)

    def close(self, name: str, at: float) -> None:
        """End what a node was in."""
        node = self.nodes.pop(name, None)
        if node is not None:
            self._charge(node, at)

    def _charge(self, node: _Node, until: float) -> None:
        lasted_s = until - node.at
        if lasted_s <= 0:
            return
        busy = min(max(node.busy, 0.0), 1.0) if math.isfinite(node.busy) else 0.0
        state = ("busy" if busy > 0 else "idle") if node.state == "ready" else node.state
        price = self.prices.get(node.pool) or _Price(node.pool)
        if state in {"off", "failed"}:
            watts = price.watts_off
        elif state == "unmanaged":
            watts = 0.0
        else:
            watts = price.watts_idle + busy * max(0.0, price.watts_busy - price.watts_idle)
        hours, totals = lasted_s / 3600, self.totals(node.pool)
        self.states.add(state, node.at, until, 1.0)
        if watts:
            self.watts.add(state, node.at, until, watts)
        totals.hours[state] = totals.hours.get(state, 0.0) + hours
        totals.kwh[state] = totals.kwh.get(state, 0.0) + watts * hours / 1000
        totals.cost_energy += watts * hours / 1000 * self.report.price_per_kwh
        if state not in _UNPAID:
            totals.node_hours += hours
            totals.cost_nodes += hours * price.price

    def _pod(self, pod: _Pod) -> None:
        if not math.isfinite(pod.wait_s):
            raise ValueError(pod.wait_s)
        if pod.node:
            self.waits.append((max(0.0, pod.wait_s), f"{pod.namespace}/{pod.name}"))
        else:
            self.report.waits.given_up += 1

    def _action(self, action: _Action) -> None:
        totals = self.totals(action.pool)
        at = {step.phase: step.at for step in reversed(action.steps)}  # the first time of each phase
        if action.phase == "failed":
            totals.failures += 1
            self.failed[action.node or action.machine or f"a machine of {action.pool}"] += 1
        if not self.report.since <= action.at < self.report.until:
            return  # it began before: counted in the period before
        if action.kind == "power-on" and ("booting" in at or action.phase == "done"):
            totals.power_ons += 1
            ready = at.get("admitting", at.get("done"))
            if ready is not None:
                totals.boot_s.append(max(0.0, ready - action.at))
        elif action.kind == "power-off" and ("going-off" in at or action.phase == "done"):
            totals.power_offs += 1


def summarise(
    records: Iterable[Mapping[str, object]],
    *,
    since: float,
    until: float,
    currency: str = "EUR",
    price_per_kwh: float = 0.0,
    buckets: int = _BUCKETS,
) -> Report:
    """Sum up the records of a period (`clues.history.History.records`; oldest first)."""
    report = Report(since, until, currency, price_per_kwh)
    summing = _Summing(report, buckets)
    for record in records:
        try:
            summing.take(record)
        except (msgspec.ValidationError, ValueError, OverflowError):
            report.skipped += 1
    for name in list(summing.nodes):
        summing.close(name, until)
    report.bucket_s = summing.states.width_s
    report.states, report.watts = summing.states.series(), summing.watts.series()
    report.pools = [summing.pools[name] for name in sorted(summing.pools)]
    for pool in report.pools:
        report.kwh += sum(pool.kwh.values())
        report.kwh_standby += pool.kwh.get("off", 0.0)
        for name in ("node_hours", "cost_nodes", "cost_energy", "power_ons", "power_offs", "failures"):
            setattr(report, name, getattr(report, name) + getattr(pool, name))
    report.failed = dict(summing.failed.most_common(_MOST_NAMES))
    _sum_waits(report.waits, sorted(summing.waits))
    return report


def _sum_waits(waits: Waits, found: list[tuple[float, str]]) -> None:
    times = [seconds for seconds, _ in found]
    waits.count = len(times)
    waits.counts = [0] * (len(_EDGES_S) + 1)
    for seconds in times:
        waits.counts[next((n for n, edge in enumerate(_EDGES_S) if seconds <= edge), len(_EDGES_S))] += 1
    if times:
        waits.mean_s = math.fsum(times) / len(times)
        waits.p50_s, waits.p95_s, waits.p99_s = (_quantile(times, share) for share in (0.5, 0.95, 0.99))
        waits.max_s = times[-1]
        waits.longest = [(name, seconds) for seconds, name in reversed(found[-_LONGEST:])]


def _quantile(ordered: list[float], share: float) -> float:
    """Return the smallest value that at least this share of all does not exceed."""
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
