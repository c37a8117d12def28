"""The metrics of cluesd, taken from what each pass leaves behind. Names: docs/reference/metrics.md."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from clues.decision import Decision
from clues.history import ActionKind, Phase
from clues.loop import View
from clues.options import Pool
from infracore.metrics import Metrics

__all__ = ["Measures"]

_EVERY_S: Final = 1.0
"""What looks at every node is measured no more often."""
_OFF: Final = frozenset({"off", "failed", "unknown"})
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_WAITS: Final = (1.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0)


class Measures:
    """Owned by the loop's thread; the registry is read by others."""

    def __init__(self, pools: Sequence[Pool]) -> None:
        metrics = self.metrics = Metrics("clues")
        self._pools = {pool.name: pool for pool in pools}
        self._pending = metrics.gauge("pending_pods", "Pods, or jobs of Slurm, without a node.")
        self._outcomes = metrics.gauges("pod_outcomes", "Pending pods or jobs by what becomes of them.", ["outcome"])
        self._nodes = metrics.gauges("nodes", "Nodes and machines by pool and state.", ["pool", "state"])
        self._blocks = metrics.gauges("nodes_kept", "Nodes that stay, by the reason.", ["reason"])
        self._actions = metrics.gauges("actions", "What is under way.", ["kind", "phase"])
        self._resting = metrics.gauges("pool_resting_until_seconds", "When a pool's rest ends, Unix time.", ["pool"])
        self._ended = metrics.counter("actions_ended", "Actions by their end.", ["kind", "pool", "end"])
        self._failures = metrics.counter("order_failures", "Orders that made a pool rest.", ["pool", "error"])
        self._pass = metrics.histogram("pass_seconds", "Time of a pass until its orders were given.", _SECONDS)
        self._decide = metrics.histogram("decision_seconds", "Time of a decision.", _SECONDS)
        self._wait = metrics.histogram("pod_wait_seconds", "How long pods or jobs were pending.", _WAITS)
        self._power_on = metrics.histogram("power_on_seconds", "From order to ready node.", _WAITS, ["pool"])
        self._stale = metrics.gauge("watch_stale_seconds", "Age of the oldest cache's last sign of life.")
        self._complete = metrics.gauge("watch_complete", "Whether every cache has been listed.")
        self._leader = metrics.gauge("leader", "Whether this daemon acts.")
        self._paused = metrics.gauge("paused", "Whether a person stopped it from acting.")
        self._problems = metrics.gauge("problems", "Problems that `clues status` shows.")
        self._last = metrics.gauge("last_pass_timestamp_seconds", "When the last pass was made, Unix time.")
        self._energy = metrics.counter("energy_joules", "Energy that the machines used, by the pools' watts.", ["pool"])
        self._cost = metrics.counter("cost", "Price of the nodes that were on, by the pools' prices.", ["pool"])
        self._evicted = metrics.counter("evicted_pods", "Pods of nodes that were turned off.", ["pool"])
        self._measured_at: float | None = None
        self._states: Mapping[str, tuple[str, str, str, float]] | None = None
        self._decision: Decision | None = None
        self._watts: Mapping[str, float] = {}
        self._prices: Mapping[str, float] = {}

    def take_pools(self, pools: Sequence[Pool]) -> None:
        """Count by other pools from now on."""
        self._pools = {pool.name: pool for pool in pools}
        self._states = None

    def observe(self, view: View) -> None:
        """Take what one pass leaves behind."""
        self._pass.observe(view.pass_ms / 1000)
        if view.decided:
            self._decide.observe(view.decide_ms / 1000)
        for wait in view.waits:
            self._wait.observe(max(0.0, wait))
        for failure in view.failures:
            self._failures.labels(failure.pool, failure.error.code if failure.error else "error").inc()
        for turn in view.turns:
            record = turn.record
            if record.is_open:
                continue
            self._ended.labels(record.kind, record.pool, record.phase).inc()
            if record.phase is Phase.DONE and record.kind is ActionKind.POWER_ON:
                self._power_on.labels(record.pool).observe(max(0.0, record.since - record.created_at))
            elif record.phase is Phase.DONE:
                self._evicted.labels(record.pool).inc(len(record.evict))
        self._pending.set(len(view.snapshot.pending))
        self._stale.set(view.snapshot.stale_s)
        self._complete.set(view.snapshot.complete)
        self._leader.set(view.leader)
        self._paused.set(bool(view.paused))
        self._problems.set(len(view.problems))
        self._last.set(view.now)
        if self._measured_at is None or not 0 <= view.now - self._measured_at < _EVERY_S:
            self._measure(view)

    def _measure(self, view: View) -> None:
        passed = 0.0 if self._measured_at is None else min(max(0.0, view.now - self._measured_at), 3600.0)
        self._measured_at = view.now
        if view.states is not self._states:
            self._states = view.states
            self._nodes.show(_counted((pool, word) for pool, _, word, _ in view.states.values()))
            self._rate(view.states)
        self._actions.show(_counted((str(a.kind), str(a.phase)) for a in view.actions))
        self._resting.show({(name,): r.until for name, r in view.memory.rests.items() if r.until > view.now})
        if view.decision is not None and view.decision is not self._decision:
            self._decision = view.decision
            blocks = (verdict.block for verdict in view.decision.nodes if verdict.block is not None)
            self._blocks.show(_counted((str(block),) for block in blocks))
            outcomes: dict[tuple[str, ...], float] = {}
            for verdict in view.decision.pods:
                key = (verdict.outcome,)
                outcomes[key] = outcomes.get(key, 0.0) + len(verdict.pods)
            self._outcomes.show(outcomes)
        for name in self._pools:
            self._energy.labels(name).inc(self._watts.get(name, 0.0) * passed)
            self._cost.labels(name).inc(self._prices.get(name, 0.0) * passed / 3600.0)

    def _rate(self, states: Mapping[str, tuple[str, str, str, float]]) -> None:
        """Add up what the machines of each pool draw and cost now."""
        watts: dict[str, float] = {}
        prices: dict[str, float] = {}
        for name, _, word, busy in states.values():
            pool = self._pools.get(name)
            if pool is None:
                continue
            draws = pool.watts_off
            if word not in _OFF:
                draws = pool.watts_idle + (max(pool.watts_busy, pool.watts_idle) - pool.watts_idle) * busy
                prices[name] = prices.get(name, 0.0) + pool.price
            watts[name] = watts.get(name, 0.0) + draws
        self._watts, self._prices = watts, prices


def _counted(items: Iterable[tuple[str, ...]]) -> Mapping[tuple[str, ...], float]:
    counts: dict[tuple[str, ...], float] = {}
    for item in items:
        counts[item] = counts.get(item, 0.0) + 1.0
    return counts
