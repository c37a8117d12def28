"""The loop in virtual time: a heap of events, a simple scheduler, and `decide` whenever the daemon would decide.

The scheduler binds waiting jobs in order of priority and arrival, a job's pods all or none, each to the feasible node
with the most free cpu (kube-scheduler's default, LeastAllocated). Removals take no time once decided; everything else
takes what the pools say. `decide` runs a burst window after an event that it could answer, and at the moments that its
own timers name; between them nothing that it looks at changes.
"""

import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import numpy as np

from clues.decide import decide as decide_once
from clues.decision import Decision, Memory, PowerOn, Removal
from clues.model import Phase
from clues.offline.case import NOW
from clues.offline.record import Decide
from clues.options import Pool
from clues.policy.simulation import Simulation
from clues.policy.template import fresh_node
from clues.settings import Settings
from clues.sim.jobs import JobMaker, Place, Work
from clues.sim.machines import Chances, Park, SimMachine
from clues.sim.report import Result, percentile
from clues.sim.workload import Job, Workload
from clues.snapshot import MachineState, NodeState, Snapshot
from infracore.errors import InfraError, Misconfigured

__all__ = ["Chances", "simulate"]

_MOST_EVENTS: Final = 50_000_000
_IDLE_STEP_S: Final = 60.0
"""How often it is decided at least while something waits or a node is free, as the daemon does every 30 s or so."""
_QUIET: Final = 3
"""Decisions in a row without an action, a timer or an event after which what waits never runs."""


@dataclass(slots=True, eq=False)
class _Swap:
    removals: tuple[Removal, ...]
    awaited: set[str]


def simulate(
    workload: Workload,
    settings: Settings,
    *,
    chances: Chances | None = None,
    name: str = "",
    decide: Decide = decide_once,
    begin: float = NOW,
) -> Result:
    """Run a workload to its end.

    Raises:
        Misconfigured: the settings have no pools.
        InfraError: it never ends.
    """
    if not settings.pools:
        raise Misconfigured("the settings have no pools: nothing could run", "see: clues config show")
    run = _Run(workload, settings, chances or Chances(), decide, begin)
    run.go()
    return run.result(name)


class _Run:
    """See the module's docstring."""

    def __init__(self, workload: Workload, settings: Settings, chances: Chances, decide: Decide, begin: float) -> None:
        self.now = self._begin = begin
        self._settings = settings
        self._pools = {pool.name: pool for pool in settings.pools}
        self._chances = chances
        self._decide = decide
        self._random = random.Random(chances.seed)  # noqa: S311 - a simulation
        self._park = Park(dict(self._pools), chances=self._random)
        self._park.begin(begin)
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._number = itertools.count()
        self._simulation = Simulation(Snapshot(begin))
        self._places: dict[str, Place] = {}
        self._states: dict[str, NodeState] = {}
        self._stale: set[str] = set()
        """Nodes whose state has to be made anew for the next picture."""
        self._waiting: dict[tuple[int, int, int], deque[Work]] = {}
        """(-priority, kind, pods) -> jobs in order of arrival."""
        self._running = 0
        self._to_come = len(workload.jobs)
        self._memory = Memory()
        self._decide_at: float | None = None
        self._quiet = 0
        self._swaps: list[_Swap] = []
        self._waits: list[float] = []
        self._finished = self._evictions = self._decisions = 0
        self._most_nodes = 0
        self._ended_at = begin
        self._maker = JobMaker(settings.pools, self._simulation.kind_of)
        for pool in settings.pools:
            self._start_minimum(pool)
        self._arrivals = iter(workload.jobs)
        self._next_arrival()

    # the heap

    def go(self) -> None:
        """Take event after event until nothing is left to happen."""
        for _ in range(_MOST_EVENTS):
            if not self._events:
                return
            at, _number, act, words = heapq.heappop(self._events)
            self.now = max(self.now, at)
            act(*words)
        raise InfraError(f"the simulation does not end: {_MOST_EVENTS} events")

    def _at(self, when: float, act: Callable[..., None], *words: Any) -> None:
        heapq.heappush(self._events, (when, next(self._number), act, words))

    def _next_arrival(self) -> None:
        job = next(self._arrivals, None)
        if job is not None:
            self._at(self._begin + job.at_s, self._arrive, job)

    # jobs

    def _arrive(self, job: Job) -> None:
        self._to_come -= 1
        work = self._maker.work(job, self.now)
        self._queue(work)
        self._schedule([self._key(work)])
        if work.started_at is None:
            self._want_decision(self.now + self._settings.loop.burst_window_s)
        self._next_arrival()

    def _key(self, work: Work) -> tuple[int, int, int]:
        return -work.job.priority, work.kind.index, len(work.pods)

    def _queue(self, work: Work, *, first: bool = False) -> None:
        queue = self._waiting.setdefault(self._key(work), deque())
        if first:
            queue.appendleft(work)
        else:
            queue.append(work)

    def _schedule(self, keys: Iterable[tuple[int, int, int]] | None = None) -> None:
        """Bind what fits; `keys`: only of these queues, where nothing else changed."""
        heads = [
            (key[0], self._waiting[key][0].arrived_at, number, key)
            for number, key in enumerate(self._waiting if keys is None else keys)
        ]
        heapq.heapify(heads)
        while heads:
            *_, key = heapq.heappop(heads)
            queue = self._waiting[key]
            if not self._bind(queue[0]):
                continue
            queue.popleft()
            if queue:
                heapq.heappush(heads, (key[0], queue[0].arrived_at, len(heads), key))
            else:
                del self._waiting[key]

    def _bind(self, work: Work) -> bool:
        simulation, count = self._simulation, len(work.pods)
        if not self._places:
            return False
        mark = simulation.mark()
        indices: list[int] = []
        for _ in range(count):
            feasible = np.flatnonzero(simulation.mask(work.kind))
            if not len(feasible):
                simulation.undo(mark)
                return False
            free = simulation.free()[feasible, simulation.resources.index("cpu")]
            index = int(feasible[int(np.argmax(free))])
            simulation.place(work.kind, index)
            indices.append(index)
        work.places = tuple(simulation.names[index] for index in indices)
        if work.started_at is None:
            self._waits.append(self.now - work.arrived_at)
        work.started_at = self.now
        work.run += 1
        for pod, name in zip(work.pods, work.places, strict=True):
            place = self._places[name]
            if not place.pods:
                # the daemon would have seen it in use, however short the job is
                self._memory = _needed_again(self._memory, name)
            place.pods[pod.uid] = (pod, work)
            self._stale.add(name)
            self._park.use(place.machine, work.cpu_m, self.now)
        self._running += 1
        self._at(self.now + work.job.run_s, self._end, work, work.run)
        return True

    def _end(self, work: Work, run: int) -> None:
        if run != work.run or not work.places:
            return  # it was evicted; another run of it ends later
        emptied = self._unbind(work)
        self._finished += 1
        self._ended_at = self.now
        if self._waiting:
            self._schedule()
        if emptied or work.job.evictable or self._waiting:
            self._want_decision(self.now + max(self._settings.loop.burst_window_s, self._settings.loop.tick_s))

    def _unbind(self, work: Work) -> bool:
        emptied = False
        for pod, name in zip(work.pods, work.places, strict=True):
            place = self._places[name]
            del place.pods[pod.uid]
            self._simulation.take(work.kind, place.index)
            self._park.use(place.machine, -work.cpu_m, self.now)
            self._stale.add(name)
            emptied = emptied or not place.pods
        work.places = ()
        self._running -= 1
        return emptied

    # machines

    def _start_minimum(self, pool: Pool) -> None:
        names = [option.name for option in pool.machines] if pool.powered else [""] * pool.min
        for name in names[: pool.min]:
            self._come(self._park.order(pool.name, name, self.now, fail=0.0), 0)

    def _order(self, order: PowerOn) -> list[str]:
        pool = self._pools[order.pool]
        names: Sequence[str] = order.machines if pool.powered else [""] * order.count
        made = []
        for name in names:
            machine = self._park.order(pool.name, name, self.now, fail=self._chances.fail)
            spread = self._chances.jitter * (2 * self._random.random() - 1)
            made.append(machine.name)
            if machine.comes:
                self._at(self.now + pool.boot_s * (1 + spread), self._come, machine, machine.power_ons)
        self._most_nodes = max(self._most_nodes, self._park.on_count())
        return made

    def _come(self, machine: SimMachine, order: int) -> None:
        if machine.state is not MachineState.BOOTING or (order and order != machine.power_ons):
            return  # it was given up meanwhile
        self._park.ready(machine, self.now)
        node = msgspec.structs.replace(
            fresh_node(machine.pool, machine.name), ready=True, ready_since=self.now, created_at=self.now
        )
        index = self._simulation.add_node(node)
        self._places[machine.name] = Place(machine, node, index)
        self._stale.add(machine.name)
        self._most_nodes = max(self._most_nodes, self._park.on_count())
        self._quiet = 0
        if self._waiting:
            self._schedule()
        for swap in list(self._swaps):
            swap.awaited.discard(machine.name)
            if not swap.awaited:
                self._swaps.remove(swap)
                for removal in swap.removals:
                    self._remove(removal)
        self._want_decision(self.now + self._settings.loop.burst_window_s)

    def _remove(self, removal: Removal) -> None:
        name = removal.machine or removal.node
        machine = self._park.machines.get(removal.pool, {}).get(name)
        if machine is None or machine.state is MachineState.OFF:
            return
        place = self._places.pop(machine.name, None)
        evicted: list[Work] = []
        if place is not None:
            self._places[machine.name] = place
            works = dict.fromkeys(work for _pod, work in place.pods.values())
            for work in works:
                self._unbind(work)
                evicted.append(work)
            del self._places[machine.name]
            self._simulation.remove_node(place.index)
            self._states.pop(machine.name, None)
            self._stale.discard(machine.name)
        self._park.off(machine, self.now)
        for work in reversed(evicted):
            self._evictions += len(work.pods)
            self._queue(work, first=True)
        if evicted:
            self._schedule()

    # decisions

    def _want_decision(self, at: float) -> None:
        at = max(at, self.now)
        if self._decide_at is None or at < self._decide_at:
            self._decide_at = at
            self._at(at, self._pass, at)

    def _pass(self, at: float) -> None:
        if at != self._decide_at:
            return  # an earlier one took its place
        self._decide_at = None
        self._decisions += 1
        decision = self._decide(self._picture(), self._settings.pools, self._settings.policy, self._memory)
        self._memory = decision.memory
        acted = self._act(decision)
        self._quiet = 0 if acted else self._quiet + 1
        next_at = self._next_decision(decision, acted=acted)
        if next_at is not None:
            self._want_decision(next_at)

    def _act(self, decision: Decision) -> bool:
        for order in decision.power_on:
            self._order(order)
        swapped = {removal.node for swap in self._swaps for removal in swap.removals}
        for swap in decision.replace:
            if not any(removal.node in swapped for removal in swap.remove):
                awaited = {name for order in swap.add for name in self._order(order)}
                self._swaps.append(_Swap(swap.remove, awaited))
        for removal in decision.remove:
            self._remove(removal)
        return bool(decision.power_on or decision.remove or decision.replace)

    def _next_decision(self, decision: Decision, *, acted: bool) -> float | None:
        """When to decide next though nothing happens before; None: never."""
        timers = [v.removable_at for v in decision.nodes if v.removable_at is not None]
        timers += [rest.until for rest in self._memory.rests.values()] if self._waiting else []
        timers += [m.since + self._settings.policy.max_provision_s for m in self._park.booting()]
        later = [at + 1e-3 for at in timers if at > self.now]
        free = any(not place.pods for place in self._places.values())
        if acted or self._running or self._to_come or self._park.booting():
            later += [self.now + _IDLE_STEP_S] if (free or self._waiting) else []
        elif not later and (self._waiting or free) and self._quiet < _QUIET:
            # what waits, or is free, may only be waiting for a cooldown
            policy = self._settings.policy
            step = max(_IDLE_STEP_S, policy.delay_after_scale_up_s, policy.unneeded_s, policy.delay_after_failure_s)
            later.append(self.now + step)
        return min(later, default=None)

    def _picture(self) -> Snapshot:
        for name in self._stale:
            place = self._places.get(name)
            if place is None:
                continue
            pods = tuple(
                msgspec.structs.replace(pod, node=name, phase=Phase.RUNNING, unschedulable_since=None)
                for pod, _work in place.pods.values()
            )
            self._states[name] = NodeState(place.node, pods, place.machine.pool.name, name)
        self._stale.clear()
        waiting = sorted((work for queue in self._waiting.values() for work in queue), key=lambda w: w.arrived_at)
        return Snapshot(
            self.now,
            nodes=dict(self._states),
            pending=tuple(pod for work in waiting for pod in work.pods),
            namespaces={"default": {}},
            machines=self._park.shown(),
        )

    # the end

    def result(self, name: str) -> Result:
        """Return the figures."""
        end = self.now
        self._park.finish(end)
        waits = sorted(self._waits)
        accounts = self._park.accounts
        pools = self._park.bill(self._settings.report.price_per_kwh)
        ready = sum(account.ready_cpu_s for account in accounts.values())
        stuck = sum(len(queue) for queue in self._waiting.values())
        return Result(
            name=name,
            jobs=self._finished + stuck + self._running + self._to_come,
            finished=self._finished,
            never_ran=stuck,
            wait_mean_s=sum(waits) / len(waits) if waits else 0.0,
            wait_p50_s=percentile(waits, 0.5),
            wait_p95_s=percentile(waits, 0.95),
            wait_max_s=waits[-1] if waits else 0.0,
            node_hours=sum(item["node_hours"] for item in pools.values()),
            utilisation=sum(account.used_cpu_s for account in accounts.values()) / ready if ready else 0.0,
            energy_kwh=sum(item["energy_kwh"] for item in pools.values()),
            cost=sum(item["cost"] for item in pools.values()),
            most_nodes=self._most_nodes,
            power_ons=sum(account.power_ons for account in accounts.values()),
            power_offs=sum(account.power_offs for account in accounts.values()),
            failed_power_ons=sum(account.failed for account in accounts.values()),
            evictions=self._evictions,
            hours=(end - self._begin) / 3600,
            decisions=self._decisions,
            pools=pools,
        )


def _needed_again(memory: Memory, node: str) -> Memory:
    if node not in memory.unneeded_since:
        return memory
    left = {name: since for name, since in memory.unneeded_since.items() if name != node}
    return msgspec.structs.replace(memory, unneeded_since=left)
