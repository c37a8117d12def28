"""The loop: one thread that owns the state. Events, a short window for more of them, a picture, a decision, orders.

Nothing here is proportional to the cluster for an event but a look at each node's identity and `decide` itself; what
people see, the history and recordings come after the orders were handed to the workers. Timers run on the monotonic
clock; the wall clock is only written down, and a jump of it is told to nobody but `decide`, whose timers are kept as
wall-clock times across restarts and are clamped here when the clock was set back.
"""

import dataclasses
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar

import msgspec
import structlog

from clues.actions.machines import MachineBook
from clues.actions.runner import Runner
from clues.actions.state import NODE_WORDS, PoolFailure, Turn
from clues.decision import Decision, Memory, PoolRest, PowerOn
from clues.history import ActionKind, ActionRecord, History, Phase, Recording, Unwritable
from clues.history.recorder import Recorder
from clues.history.tracker import Tracker
from clues.options import Policy, Pool
from clues.policy.backoff import failed, removal_failed
from clues.policy.slurm_jobs import UNSEEN_S
from clues.settings import Settings
from clues.snapshot import Machine, Snapshot
from infracore.clock import Clock
from infracore.errors import InfraError, TimedOut

__all__ = ["Decide", "Loop", "Source", "View"]

_T = TypeVar("_T")
_ASK_S: Final = 5.0
_IDLE_S: Final = 30.0
"""Without any change `decide` is run this often all the same: cron windows and the like begin by themselves."""
_SAVE_MEMORY_S: Final = 5.0
_PRUNE_S: Final = 600.0
_LIST_FIRST_S: Final = 60.0
"""How long the first lists of the drivers are waited for before orders are given all the same."""
_JUMP_S: Final = 5.0
"""A difference of the two clocks beyond this is a jump."""


class Decide(Protocol):
    """`clues.decide.decide`. What is to be turned on may be told to `early` before the rest is known."""

    def __call__(
        self,
        snapshot: Snapshot,
        pools: Sequence[Pool],
        policy: Policy,
        memory: Memory,
        early: Callable[[tuple[PowerOn, ...]], None] | None = None,
    ) -> Decision: ...


class Source(Protocol):
    """Where pictures come from."""

    @property
    def version(self) -> int:
        """Grows with everything that changes the picture."""
        ...

    def snapshot(self, now: float, machines: Mapping[str, tuple[Machine, ...]]) -> Snapshot:
        """Return the picture as it is now. Called by the loop's thread only; does not block."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """What one pass leaves for others to read; never changed afterwards."""

    now: float
    snapshot: Snapshot
    machines: Mapping[str, tuple[Machine, ...]]
    memory: Memory
    decision: Decision | None
    """The last one, of this pass or an earlier one."""
    decided: bool = False
    """Whether `decide` ran in this pass."""
    acted: bool = False
    """Whether its orders were begun."""
    actions: tuple[ActionRecord, ...] = ()
    turns: tuple[Turn, ...] = ()
    failures: tuple[PoolFailure, ...] = ()
    leader: bool = True
    paused: str = ""
    """Why nothing is begun by decision; "" if it is."""
    pass_ms: float = 0.0
    decide_ms: float = 0.0
    problems: tuple[str, ...] = ()
    states: Mapping[str, tuple[str, str, str, float]] = field(default_factory=dict)
    """Node or machine -> pool, machine, word (as in `NodeView.state`), share of it that pods ask for."""
    idle: tuple[str, ...] = ()
    used: tuple[str, ...] = ()
    waits: tuple[float, ...] = ()
    """Seconds that pods which are not pending any more had waited."""


@dataclass(eq=False, slots=True)
class _Inbox:
    calls: deque[Callable[[], None]] = field(default_factory=deque)
    wake: threading.Event = field(default_factory=threading.Event)
    source: bool = False
    """Whether the source woke the loop: then more may come at once."""


class Loop:
    """See the module's docstring. `step` is one pass; `run` makes passes until it is stopped."""

    def __init__(
        self,
        settings: Settings,
        *,
        source: Source,
        runner: Callable[[Callable[[Callable[[], None]], None]], Runner],
        book: MachineBook,
        history: History,
        clock: Clock,
        decide: Decide,
        leads: Callable[[], bool] = lambda: True,
        recorder: Recorder | None = None,
        version: str = "",
        on_pass: Callable[[View], None] = lambda _view: None,
    ) -> None:
        """`runner` makes the runner, given how to post to this loop. `leads` says whether this daemon may act."""
        self._inbox = _Inbox()
        self._source = source
        self._book = book
        self._history = history
        self._clock = clock
        self._decide = decide
        self._leads = leads
        self._recorder = recorder
        self._version = version
        self._on_pass = on_pass
        self._stop = threading.Event()
        self._log = structlog.get_logger("clues.loop")
        self.runner = runner(self.post)
        self.runner.may_act = leads
        self._tracker = Tracker()
        self._memory = history.memory()
        self.paused = history.kept("paused", str) or ""
        self._was_leader = False
        self._ordered = False
        self._key: tuple[object, ...] | None = None
        self._due_at = 0.0
        self._saved_at = float("-inf")
        self._unsaved = False
        self._pruned_at = float("-inf")
        self._began = clock.monotonic()
        self._skew = clock.now() - clock.monotonic()
        self._last_pass_s = 0.0
        self._ended_at = 0.0
        self._recordings = 0
        self.most_pause_s = float("inf")
        """A pass is made at least so often: the service manager may want a sign of life sooner than `tick_s`."""
        self.errors: dict[str, str] = {}
        """What goes wrong again and again, by where; shown until it ends."""
        self.passes = 0
        self.view = View(clock.now(), Snapshot(clock.now(), complete=False), book.machines(), self._memory, None)
        self.take_settings(settings)

    # from other threads

    def wake(self) -> None:
        """Say that the picture changed. Cheap, never blocks."""
        self._inbox.source = True
        self._inbox.wake.set()

    def post(self, call: Callable[[], None]) -> None:
        """Have something done by the loop's thread before its next pass."""
        self._inbox.calls.append(call)
        self._inbox.wake.set()

    def ask(self, call: Callable[[], _T]) -> _T:
        """Have the loop's thread do something, and return what came of it. Blocks for at most 5 s.

        Raises:
            TimedOut: the loop is busy; it may still be done. Others: what `call` raised.
        """
        answer: Future[_T] = Future()

        def do() -> None:
            try:
                answer.set_result(call())
            except InfraError as error:
                answer.set_exception(error)

        self.post(do)
        try:
            return answer.result(_ASK_S)
        except TimeoutError as error:
            raise TimedOut(
                f"cluesd is busy and did not answer within {_ASK_S:g} s", "it may still do it: look at `clues status`"
            ) from error

    def stop(self) -> None:
        """End `run` after the pass that is being made."""
        self._stop.set()
        self._inbox.wake.set()

    # the loop's thread

    def run(self, after_pass: Callable[[], None] = lambda: None) -> None:
        """Make passes until `stop`. `after_pass` is called after each, and at least once a tick."""
        while not self._stop.is_set():
            if self._clock.wait(self._inbox.wake, self._pause_s()) and not self._stop.is_set():
                # passes that take long are made half of the time at most
                breath = min(self._last_pass_s, 2.0) - (self._clock.monotonic() - self._ended_at)
                window = max(self._settings.loop.burst_window_s, breath)
                if self._inbox.source and window > 0:
                    self._clock.wait(self._stop, window)
            if self._stop.is_set():
                break
            self.step()
            after_pass()
        self.finish()

    def step(self) -> View:
        """Make one pass. Whatever goes wrong in it is logged and shown, and does not end the daemon."""
        self._inbox.source = False
        self._inbox.wake.clear()
        began = time.perf_counter()
        try:
            view = self._pass(began)
        except Exception as error:  # noqa: BLE001 (one tick of the daemon: the boundary)
            said = f"the last pass failed: {type(error).__name__}: {error}"[:1000]
            if self.errors.get("pass") != said:  # once, not at every tick
                self._log.error("pass failed", error=said, traceback=traceback.format_exc(limit=-12))
            self.errors["pass"] = said
            self._key = None  # the next pass decides, whether anything changed or not
            self._due_at = self._clock.monotonic() + self._settings.loop.tick_s
            view = dataclasses.replace(self.view, problems=self._problems(self.view.snapshot), decided=False)
            self.view = view
        self._last_pass_s = time.perf_counter() - began
        self._ended_at = self._clock.monotonic()
        self.passes += 1
        return view

    def take_settings(self, settings: Settings) -> None:
        """Decide and report by other settings from the next pass on."""
        self._settings = settings
        self._pools = settings.pools
        self._policy = settings.policy
        self._key = None
        watts = ("name", "price", "min", "max", "watts_off", "watts_idle", "watts_busy")
        pools = [{name: getattr(pool, name) for name in watts} for pool in settings.pools]
        report = {"currency": settings.report.currency, "price_per_kwh": settings.report.price_per_kwh}
        self.note("pools", {"pools": pools, **report})

    def note(self, kind: str, body: object) -> None:
        """Store that something happened; a history that cannot be written is shown as a problem."""
        self._guard(lambda: self._history.add(events=[(self._clock.now(), kind, body)]))

    def pause(self, reason: str) -> None:
        """Begin nothing more by decision; "" goes on."""
        self.paused = reason
        self._key = None
        self._guard(lambda: self._history.keep("paused", reason, self._clock.now()))

    def redecide(self) -> None:
        """Have the next pass decide, whether anything changed or not."""
        self._key = None
        self._inbox.wake.set()

    @property
    def memory(self) -> Memory:
        """What the next decision will be given."""
        return self._memory

    def change_memory(self, memory: Memory) -> None:
        """Put another memory in its place: a person ended a rest, for example."""
        self._memory = memory
        self._unsaved = True
        self._key = None

    def finish(self) -> None:
        """Store what a restart needs. The last thing that is done."""
        self._unsaved = True
        self._save_memory(force=True)
        self._save_machines()

    # one pass

    def _pass(self, began: float) -> View:
        while self._inbox.calls:
            self._inbox.calls.popleft()()
        now, mono = self._clock.now(), self._clock.monotonic()
        self._mind_jumps(now, mono)
        leader = self._mind_leadership(now)
        snapshot = self._source.snapshot(now, self._book.machines())
        self._book.observe(snapshot)
        rest_ends = self._book.rest(now, self._policy.backoff, self._settings.actions.attempts)
        if leader:
            self.runner.advance(snapshot)
        failures = self._take_failures(now)
        snapshot = self._with_machines(snapshot)
        decision, decide_ms, acted = None, 0.0, False
        self._remember_removals()
        key = (self._source.version, self._book.version, self._memory, snapshot.complete, self.paused)
        if leader and (key != self._key or mono >= self._due_at or self._stale_changed(snapshot)):
            decide_began = time.perf_counter()
            self._ordered = False
            decision = self._decide(snapshot, self._pools, self._policy, self._memory, self._order_early)
            decide_ms = (time.perf_counter() - decide_began) * 1000
            recorded = self._memory
            acted = self._act(decision)
            self._key = (self._source.version, self._book.version, self._memory, snapshot.complete, self.paused)
            self._due_at = self._next_due(decision, snapshot, now, mono, rest_ends)
            if self.runner.problem:  # it could not be stored: tried again at the next tick
                self._due_at = mono + self._settings.loop.tick_s
            elif acted:  # what was ordered now is upcoming then, and people are told so though nothing else changes
                self._due_at = min(self._due_at, mono + self._settings.loop.tick_s)
        # from here on nothing waits for us
        pass_ms = (time.perf_counter() - began) * 1000
        self.errors.pop("pass", None)
        turns = tuple(self.runner.turns)
        self.runner.turns.clear()
        changes, waits = self._tracker.observe(snapshot, self._words())
        path = ""
        if decision is not None and not decision.is_empty:
            path = self._record(snapshot, recorded, decision)
        self._guard(
            lambda: self._history.add(
                nodes=changes,
                waits=waits,
                decision=decision if decision is not None and self._is_news(decision) else None,
                pass_ms=pass_ms,
                pending=len(snapshot.pending),
                recording=path,
            )
        )
        self._save_machines()
        self._save_memory(force=acted)
        self._prune(now, mono)
        self.view = View(
            now=now,
            snapshot=snapshot,
            machines=self._book.machines(),
            memory=self._memory,
            decision=decision if decision is not None else (self.view.decision if leader else None),
            decided=decision is not None,
            acted=acted,
            actions=self.runner.actions(),
            turns=turns,
            failures=tuple(failures),
            leader=leader,
            paused=self.paused,
            pass_ms=pass_ms,
            decide_ms=decide_ms,
            problems=self._problems(snapshot),
            states=self._tracker.states,
            idle=tuple(state.node.name for state in self._tracker.became_idle),
            used=tuple(state.node.name for state in self._tracker.became_used),
            waits=tuple(wait.ended_at - wait.since for wait in waits),
        )
        self._on_pass(self.view)
        return self.view

    def _may_begin(self) -> bool:
        ready = self.runner.has_listed or self._clock.monotonic() - self._began > _LIST_FIRST_S
        return not (self.paused or self._settings.daemon.dry_run) and ready and self._leads()

    def _order_early(self, power_on: tuple[PowerOn, ...]) -> None:
        """Hand over what is to be turned on while what goes is still being looked for."""
        if self._may_begin():
            self.runner.submit(Decision(self._clock.now(), power_on))
            self._ordered = True
            time.sleep(0)  # the workers first

    def _act(self, decision: Decision) -> bool:
        """Begin what was decided and is not begun yet, if this daemon may; returns whether."""
        if not self._may_begin() and not self._ordered:
            # what was not done must not be remembered as done
            since = decision.memory.unneeded_since
            self._memory = msgspec.structs.replace(self._memory, unneeded_since=since)
            return False
        before = self._memory
        if decision.memory != before:
            self._memory, self._unsaved = decision.memory, True
        if decision.is_empty:
            return False
        if not (self._ordered and self.runner.problem):
            self.runner.submit(msgspec.structs.replace(decision, power_on=()) if self._ordered else decision)
        if self.runner.problem:
            self._memory = msgspec.structs.replace(before, unneeded_since=decision.memory.unneeded_since)
            return False
        self._remember_removals()
        return True

    def _take_failures(self, now: float) -> list[PoolFailure]:
        """Let pools and nodes rest whose orders and removals failed: the next decision turns to others."""
        failures = [*self.runner.failures]
        self.runner.failures.clear()
        memory = self._memory
        for failure in failures:
            memory = failed(memory, failure.pool, now, failure.reason, self._policy.backoff)
            if failure.machine:
                given_up = {**memory.given_up, f"{failure.pool}/{failure.machine}": now}
                memory = msgspec.structs.replace(memory, given_up=given_up)
        for removal in self.runner.removal_failures:
            memory = msgspec.structs.replace(memory, last_failure=now)
            if removal.node:
                memory = removal_failed(memory, removal.node, now, removal.reason, self._policy.removal_backoff)
        self.runner.removal_failures.clear()
        gone = {
            turn.record.node
            for turn in self.runner.turns
            if turn.record.kind is ActionKind.POWER_OFF and turn.record.phase is Phase.DONE
        }
        if not gone.isdisjoint(memory.removal_rests):  # a machine that comes back under its name begins anew
            rests = {node: rest for node, rest in memory.removal_rests.items() if node not in gone}
            memory = msgspec.structs.replace(memory, removal_rests=rests)
        if memory is not self._memory:
            self._memory, self._unsaved = memory, True
        return failures

    def _remember_removals(self) -> None:
        removing = {
            record.node: record.created_at
            for record in self.runner.actions()
            if record.kind is ActionKind.POWER_OFF and record.node
        }
        if removing != self._memory.removing:
            self._memory = msgspec.structs.replace(self._memory, removing=removing)
            self._unsaved = True

    def _with_machines(self, snapshot: Snapshot) -> Snapshot:
        machines = self._book.machines()
        return snapshot if machines == snapshot.machines else msgspec.structs.replace(snapshot, machines=machines)

    def _stale_changed(self, snapshot: Snapshot) -> bool:
        """Whether the picture became too old, or is fresh again."""
        before = self.view.snapshot.stale_s > self._policy.max_stale_s
        return before != (snapshot.stale_s > self._policy.max_stale_s)

    def _next_due(
        self, decision: Decision, snapshot: Snapshot, now: float, mono: float, rest_ends: float | None
    ) -> float:
        """Return when time alone may change the decision, on the monotonic clock."""
        times = [verdict.removable_at for verdict in decision.nodes if verdict.removable_at is not None]
        times += [rest.until for rest in self._memory.rests.values()]
        times += [] if rest_ends is None else [rest_ends]
        unseen = self._policy.unseen_pods_s if snapshot.slurm is None else UNSEEN_S
        times += [pod.created_at + unseen for pod in snapshot.pending[-200:] if pod.unschedulable_since is None]
        soonest = min((t for t in times if t > now), default=now + _IDLE_S)
        return mono + min(max(soonest - now, 0.0) + 0.001, _IDLE_S)

    def _pause_s(self) -> float:
        mono = self._clock.monotonic()
        dues = [self._due_at - mono if self._due_at else 0.0]
        due = self.runner.next_due()
        if due is not None:
            dues.append(due - mono)
        return max(0.0, min(self._settings.loop.tick_s, self.most_pause_s, *(max(due, 0.02) for due in dues)))

    def _mind_leadership(self, now: float) -> bool:
        leader = self._leads()
        if leader and not self._was_leader:
            self._was_leader = True
            self._key = None
            self._began = self._clock.monotonic()
            self._guard(lambda: self.runner.resume(now))
            self.note("leader", {"leader": True})
        elif not leader and self._was_leader:
            self._was_leader = False
            self.runner.suspend()
            self.note("leader", {"leader": False})
            self._log.warning("leadership lost: nothing is done any more")
        return leader

    def _mind_jumps(self, now: float, mono: float) -> None:
        """Move remembered times along when the wall clock was set: what had lasted a minute still has."""
        skew = now - mono
        jump, self._skew = skew - self._skew, skew
        if abs(jump) < _JUMP_S:
            return
        self._log.warning("the clock jumped", seconds=round(jump, 1))
        self._memory = shifted(self._memory, jump)
        self._book.shift(jump)
        self._unsaved = True
        self._key = None
        self.note("problem", {"text": f"the clock jumped by {jump:+.0f} s; timers were moved along"})

    # after the orders

    def _words(self) -> dict[str, str]:
        words = {}
        for record in self.runner.actions():
            word = NODE_WORDS.get((record.kind, record.phase))
            if word and (record.node or record.machine):
                words[record.node or record.machine] = word
        return words

    def _is_news(self, decision: Decision) -> bool:
        """Whether a decision says something that the last one did not: an unchanged one is not stored each tick."""
        last = self.view.decision
        return last is None or not decision.is_empty or decision.notes != last.notes or decision.pods != last.pods

    def _record(self, snapshot: Snapshot, memory: Memory, decision: Decision) -> str:
        if self._recorder is None:
            return ""
        self._recordings += 1
        name = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(snapshot.now))}-{self._recordings % 1_000_000:06d}"
        return self._recorder.put(
            name, Recording(self._version, snapshot, tuple(self._pools), self._policy, memory, decision)
        )

    def _save_machines(self) -> None:
        records, gone = self._book.unsaved()
        if not (records or gone):
            return

        def save() -> None:
            if records:
                self._history.put_machines(records)
            if gone:
                self._history.remove_machines(gone)
            self._book.saved()

        self._guard(save)

    def _save_memory(self, *, force: bool = False) -> None:
        mono = self._clock.monotonic()
        if not self._unsaved or not (force or mono - self._saved_at >= _SAVE_MEMORY_S):
            return
        self._saved_at = mono

        def save() -> None:
            self._history.put_memory(self._memory, self._clock.now())
            self._unsaved = False

        self._guard(save)

    def _prune(self, now: float, mono: float) -> None:
        if mono - self._pruned_at >= _PRUNE_S:
            self._pruned_at = mono
            self._guard(lambda: self._history.prune(now - self._settings.report.retention_days * 86400.0))

    def _guard(self, write: Callable[[], Any]) -> None:
        """Write to the history; if that cannot be, go on without and say so."""
        try:
            write()
        except Unwritable as error:
            if "history" not in self.errors:
                self._log.error("the history cannot be written", error=error.message, hint=error.hint)
            self.errors["history"] = f"{error.message}; {error.hint}"
        else:
            self.errors.pop("history", None)

    def _problems(self, snapshot: Snapshot) -> tuple[str, ...]:
        said = [*self.errors.values(), *self.runner.driver_problems.values()]
        if self.runner.problem:
            said.append(self.runner.problem)
        if self._history.notice:
            said.append(self._history.notice)
        if self._recorder is not None and self._recorder.problem:
            said.append(self._recorder.problem)
        return (*said, *snapshot.problems)


def shifted(memory: Memory, seconds: float) -> Memory:
    """Return the memory with all its times moved."""

    def moved(times: Mapping[str, float]) -> dict[str, float]:
        return {name: at + seconds for name, at in times.items()}

    def rested(rests: Mapping[str, PoolRest]) -> dict[str, PoolRest]:
        return {
            name: msgspec.structs.replace(rest, failed_at=rest.failed_at + seconds, until=rest.until + seconds)
            for name, rest in rests.items()
        }

    return msgspec.structs.replace(
        memory,
        unneeded_since=moved(memory.unneeded_since),
        rests=rested(memory.rests),
        removal_rests=rested(memory.removal_rests),
        last_scale_up=None if memory.last_scale_up is None else memory.last_scale_up + seconds,
        last_failure=None if memory.last_failure is None else memory.last_failure + seconds,
        given_up=moved(memory.given_up),
        probes=moved(memory.probes),
        removing=moved(memory.removing),
    )
