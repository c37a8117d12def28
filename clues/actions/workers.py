"""Threads for what blocks: calls of drivers, of the API server, and hooks."""

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from infracore.clock import Clock
from infracore.errors import Cancelled, InfraError, TimedOut

__all__ = ["InlineWorkers", "Outcome", "ThreadWorkers", "Workers"]

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[_T]):
    """How a call ended: with a value or an error."""

    value: _T | None = None
    error: InfraError | None = None


class Workers(Protocol):
    """Runs calls beside the loop."""

    def submit(
        self,
        key: str,
        call: Callable[[], Any],
        done: Callable[[Outcome[Any]], None],
        *,
        parallel: int = 1_000_000,
        limit_s: float = 600.0,
    ) -> None:
        """Run `call`, then `done` (once, in any thread) with what came of it.

        At most `parallel` calls of a key run at once; the others wait. A call that has not come back after `limit_s`
        is given up: `done` gets TimedOut, and what comes later is dropped.
        """
        ...

    def check(self) -> None:
        """Give up calls whose time is over; called by the loop now and then."""
        ...

    def close(self, timeout_s: float) -> bool:
        """Start nothing more, wait for what runs; returns whether all ended."""
        ...


def attempt(call: Callable[[], Any], what: str) -> Outcome[Any]:
    """Run one job: the boundary behind which a defect of a driver or hook must not reach."""
    try:
        return Outcome(call())
    except InfraError as error:
        return Outcome(error=error)
    except Exception as error:  # noqa: BLE001 (one step of an action: the boundary)
        said = InfraError(f"{what}: unexpected {type(error).__name__}: {error}", "this is a defect: please report it")
        said.__cause__ = error
        return Outcome(error=said)


@dataclass(eq=False, slots=True)
class _Job:
    key: str
    call: Callable[[], Any]
    done: Callable[[Outcome[Any]], None]
    parallel: int
    limit_s: float
    ends_at: float | None = None
    over: bool = False


@dataclass(eq=False, slots=True)
class _Hung:
    count: Counter[str] = field(default_factory=Counter)


class ThreadWorkers:
    """Workers in threads, at most `most` at once besides those that hang."""

    def __init__(self, most: int, clock: Clock) -> None:
        self._most = most
        self._clock = clock
        self._condition = threading.Condition()
        self._waiting: deque[_Job] = deque()
        self._running: set[_Job] = set()
        self._of_key: Counter[str] = Counter()
        self._hung = _Hung()
        self._idle = 0
        self._threads = 0
        self._closed = False

    def submit(
        self,
        key: str,
        call: Callable[[], Any],
        done: Callable[[Outcome[Any]], None],
        *,
        parallel: int = 1_000_000,
        limit_s: float = 600.0,
    ) -> None:
        refused: InfraError | None = None
        with self._condition:
            if self._closed:
                refused = Cancelled(f"{key}: the daemon is stopping")
            elif self._hung.count[key] >= parallel:
                refused = TimedOut(
                    f"{key}: {self._hung.count[key]} calls never came back, so no other is begun",
                    "restart cluesd once the cause is mended",
                )
            else:
                self._waiting.append(_Job(key, call, done, max(1, parallel), limit_s))
                if self._idle < len(self._waiting) and self._threads < self._most:
                    self._threads += 1
                    threading.Thread(target=self._work, name=f"clues-worker-{self._threads}", daemon=True).start()
                self._condition.notify()
        if refused is not None:
            done(Outcome(error=refused))

    def check(self) -> None:
        now, late = self._clock.monotonic(), []
        with self._condition:
            for job in [*self._running]:
                if job.ends_at is not None and now >= job.ends_at:
                    job.over = True
                    late.append(job)
                    self._running.discard(job)
                    self._hung.count[job.key] += 1
                    self._threads -= 1  # its thread counts no more: another may take its place
            for job in [*self._waiting]:
                if self._hung.count[job.key] >= job.parallel:
                    job.over = True
                    late.append(job)
                    self._waiting.remove(job)
            self._fill()
        for job in late:
            job.done(Outcome(error=TimedOut(f"{job.key}: a call did not come back within {job.limit_s:g} s")))

    def close(self, timeout_s: float) -> bool:
        ends_at = self._clock.monotonic() + timeout_s
        with self._condition:
            self._closed = True
            dropped = [*self._waiting]
            self._waiting.clear()
            self._condition.notify_all()
        for job in dropped:
            job.done(Outcome(error=Cancelled(f"{job.key}: the daemon is stopping")))
        with self._condition:
            while self._running:
                left = ends_at - self._clock.monotonic()
                if left <= 0:
                    return False
                self._condition.wait(left)
        return True

    def _fill(self) -> None:
        for _ in range(min(len(self._waiting) - self._idle, self._most - self._threads)):
            self._threads += 1
            threading.Thread(target=self._work, name=f"clues-worker-{self._threads}", daemon=True).start()

    def _work(self) -> None:
        while True:
            with self._condition:
                job = self._next()
                while job is None:
                    if self._closed:
                        self._threads -= 1
                        return
                    self._idle += 1
                    self._condition.wait()
                    self._idle -= 1
                    job = self._next()
                job.ends_at = self._clock.monotonic() + job.limit_s
                self._running.add(job)
                self._of_key[job.key] += 1
            outcome = attempt(job.call, job.key)
            with self._condition:
                self._of_key[job.key] -= 1
                if job.over:  # it was given up, and this thread with it
                    self._hung.count[job.key] -= 1
                    self._condition.notify_all()
                    return
            job.done(outcome)
            with self._condition:
                self._running.discard(job)
                self._condition.notify_all()

    def _next(self) -> _Job | None:
        for job in self._waiting:
            if self._of_key[job.key] < job.parallel:
                self._waiting.remove(job)
                return job
        return None


class InlineWorkers:
    """Workers for virtual time: every call is made at once, in the caller's thread."""

    def submit(
        self,
        key: str,
        call: Callable[[], Any],
        done: Callable[[Outcome[Any]], None],
        *,
        parallel: int = 1_000_000,
        limit_s: float = 600.0,
    ) -> None:
        del parallel, limit_s
        done(attempt(call, key))

    def check(self) -> None:
        """Nothing waits here."""

    def close(self, timeout_s: float) -> bool:
        del timeout_s
        return True
