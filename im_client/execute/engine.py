"""Running a graph of tasks over a bounded pool of threads."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from queue import SimpleQueue

from im_client.execute.graph import Graph
from im_client.execute.task import Task, TaskContext
from infracore.clock import Clock
from infracore.errors import Cancelled, InfraError, TimedOut
from infracore.events import EventKind, Listener
from infracore.retry import Backoff, backoff_for
from infracore.structs import make_ready

__all__ = ["Outcome", "OutcomeState", "run_graph"]

_log = logging.getLogger(__name__)


class OutcomeState(StrEnum):
    """How a task ended."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"
    """Something that it needs has failed."""
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a task. Times are on the clock's `monotonic`; None where it never started."""

    task: str
    node: str
    phase: str
    state: OutcomeState
    value: object = None
    """What the task's function returned."""
    error: InfraError | None = None
    because: str = ""
    """For SKIPPED (and CANCELLED in its wake): the task that it needed."""
    started_at: float | None = None
    ended_at: float | None = None
    attempts: int = 0

    @property
    def elapsed_s(self) -> float:
        """Seconds from its start to its end, 0 if it never started."""
        return 0.0 if self.started_at is None or self.ended_at is None else self.ended_at - self.started_at


def run_graph(
    tasks: Sequence[Task], *, workers: int, clock: Clock, listener: Listener, cancel: threading.Event
) -> Mapping[str, Outcome]:
    """Run every task once all that it waits for has ended; return how each ended, in the order of `tasks`.

    Blocks until all have ended. A failure skips only what needs it. When `cancel` is set nothing more starts and
    those that run see it; the caller's own KeyboardInterrupt leaves at once, and the threads end with the process.
    `workers` bounds the threads. Events: PHASE when a task of a node starts, RETRY, and NODE_FAILED.

    Raises:
        ValueError: two tasks of one id, an unknown id, or a circle.
    """
    return _Run(tasks, clock, listener, cancel).run(max(1, workers))


class _Run:
    """One run. `_lock` guards the graph and the outcomes; everything else is a queue or is never changed."""

    def __init__(self, tasks: Sequence[Task], clock: Clock, listener: Listener, cancel: threading.Event) -> None:
        self._tasks = tuple(tasks)
        self._clock = clock
        self._listener = listener
        self._cancel = cancel
        self._graph = Graph(self._tasks)
        self._outcomes: list[Outcome | None] = [None] * len(self._tasks)
        self._left = len(self._tasks)
        self._ready: SimpleQueue[int | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._finished = threading.Event()
        self._began: dict[str, float] = {}
        self._broken: BaseException | None = None
        """What a listener raised, although it must not."""

    def run(self, workers: int) -> Mapping[str, Outcome]:
        for number in self._graph.first():
            self._ready.put(number)
        if not self._tasks:
            return {}
        make_ready("im_client", "infracore")
        threads = [
            threading.Thread(target=self._work, name=f"im-step-{number}", daemon=True)
            for number in range(min(workers, len(self._tasks)))
        ]
        try:
            for thread in threads:
                thread.start()
            self._finished.wait()
        finally:
            if not self._finished.is_set():  # we were interrupted
                self._cancel.set()
            for _ in threads:
                self._ready.put(None)
        for thread in threads:
            thread.join()
        if self._broken is not None:
            raise self._broken
        return {outcome.task: outcome for outcome in self._outcomes if outcome is not None}

    def _work(self) -> None:
        try:
            while (number := self._ready.get()) is not None:
                task = self._tasks[number]
                if self._cancel.is_set():
                    self._end(number, _outcome(task, OutcomeState.CANCELLED))
                else:
                    self._end(number, self._attempt(task))
        except BaseException as broken:  # noqa: BLE001 - raised again on the caller's thread, which waits for us
            self._broken = broken
            self._cancel.set()
            self._finished.set()

    def _end(self, number: int, outcome: Outcome) -> None:
        """Record an outcome and all that follows from it; hand on what may run now."""
        settled = [(number, outcome)]
        with self._lock:
            while settled:
                current, result = settled.pop()
                self._outcomes[current] = result
                self._left -= 1
                lacking = "" if result.state is OutcomeState.DONE else result.because or result.task
                for freed, because in self._graph.end(current, lacking):
                    if not because:
                        self._ready.put(freed)
                        continue
                    cancelled = result.state is OutcomeState.CANCELLED
                    state = OutcomeState.CANCELLED if cancelled else OutcomeState.SKIPPED
                    settled.append((freed, _outcome(self._tasks[freed], state, because=because)))
            if self._left == 0:
                self._finished.set()

    def _attempt(self, task: Task) -> Outcome:
        """Run one task, again where its errors allow it."""
        started = self._clock.monotonic()
        ctx = TaskContext(
            task=task,
            clock=self._clock,
            cancel=self._cancel,
            deadline=None if task.timeout_s is None else started + task.timeout_s,
            listener=self._listener,
            began=self._began.setdefault(task.node, started),
        )
        if task.node:
            ctx.tell(EventKind.PHASE)
        failures: dict[Backoff, int] = {}
        attempts = 0
        value: object = None
        error: InfraError | None = None
        while True:
            attempts += 1
            error = None
            try:
                value = task.run(ctx)
            except InfraError as raised:
                error = raised
            except Exception as raised:  # noqa: BLE001 - one step of a plan: its failure must not stop the others
                _log.exception("a defect in the step %s", task.id)
                error = _defect(task, raised)
            if error is None:
                break
            backoff = backoff_for(error, task.retry)
            if backoff is None:
                break
            failures[backoff] = failures.get(backoff, 0) + 1
            if failures[backoff] >= backoff.attempts:
                break
            pause = backoff.pause_s(failures[backoff], error)
            remaining = ctx.remaining_s
            if remaining is not None and remaining <= pause:
                text = f"{task.id} was given up after {task.timeout_s:g} s: {error.message}"
                error = _chained(TimedOut(text, error.hint), error)
                break
            ctx.tell(EventKind.RETRY, f"{error.message}; trying again in {pause:g} s")
            if self._clock.wait(self._cancel, pause):
                error = _chained(Cancelled(f"{task.id} was interrupted: {error.message}", error.hint), error)
                break
        ended = self._clock.monotonic()
        state = OutcomeState.DONE
        if error is not None:
            state = OutcomeState.CANCELLED if isinstance(error, Cancelled) else OutcomeState.FAILED
            if task.node and state is OutcomeState.FAILED:
                ctx.tell(EventKind.NODE_FAILED, error.message)
        return Outcome(
            task.id, task.node, task.phase, state, value, error, started_at=started, ended_at=ended, attempts=attempts
        )


def _outcome(task: Task, state: OutcomeState, because: str = "") -> Outcome:
    return Outcome(task.id, task.node, task.phase, state, because=because)


def _chained(error: InfraError, cause: Exception) -> InfraError:
    error.__cause__ = cause
    return error


def _defect(task: Task, raised: Exception) -> InfraError:
    text = f"{task.id} failed by a defect of this program: {type(raised).__name__}: {raised}"
    return _chained(InfraError(text, "please report it with the log of this run"), raised)
