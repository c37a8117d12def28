"""One node of the graph that the engine runs, and what its function is given."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from infracore.clock import Clock
from infracore.errors import Cancelled, InfraError, TimedOut, Transient
from infracore.events import Event, EventKind, Listener
from infracore.retry import Backoff

__all__ = ["DEFAULT_RETRY", "Backoff", "Task", "TaskContext"]


DEFAULT_RETRY: Final[Mapping[type[InfraError], Backoff]] = MappingProxyType({Transient: Backoff()})


@dataclass(slots=True)
class TaskContext:
    """What a running task may ask of the engine."""

    task: "Task"
    clock: Clock
    cancel: threading.Event
    """Set when the whole run is to end: a task that can stop early does."""
    deadline: float | None
    """On the clock's `monotonic`; None: no limit."""
    listener: Listener
    began: float

    @property
    def remaining_s(self) -> float | None:
        """Seconds until the deadline, 0 at the least; None: no limit."""
        return None if self.deadline is None else max(0.0, self.deadline - self.clock.monotonic())

    def check(self) -> None:
        """Raise Cancelled or TimedOut if the task should end now."""
        if self.cancel.is_set():
            raise Cancelled(f"{self.task.id} was interrupted", "run the same command again to go on")
        if self.deadline is not None and self.clock.monotonic() >= self.deadline:
            raise TimedOut(f"{self.task.id} took longer than {self.task.timeout_s:g} s")

    def wait(self, seconds: float) -> None:
        """Wait, but not beyond the deadline or when the run is cancelled: then raise as `check` does."""
        remaining = self.remaining_s
        self.clock.wait(self.cancel, seconds if remaining is None else min(seconds, remaining))
        self.check()

    def note(self, text: str) -> None:
        """Tell what the task is doing now."""
        self.tell(EventKind.NOTE, text)

    def tell(self, kind: EventKind, text: str = "") -> None:
        """Send an event about the task's node."""
        elapsed = self.clock.monotonic() - self.began
        self.listener(Event(self.clock.now(), kind, self.task.node, self.task.phase, text, elapsed))


@dataclass(frozen=True, slots=True)
class Task:
    """One step. Tasks that wait for the same others do best to share the very same tuple: the graph stays linear."""

    id: str
    run: Callable[[TaskContext], object]
    """Called on a thread of the pool. May be called again after an error that `retry` names."""
    needs: tuple[str, ...] = ()
    """Tasks that must have succeeded; if one has not, this one is skipped."""
    after: tuple[str, ...] = ()
    """Tasks that must have ended, whatever their outcome."""
    node: str = ""
    """The machine it works for; "" for all."""
    phase: str = ""
    """A word for progress: `create`, `wait`, ..."""
    retry: Mapping[type[InfraError], Backoff] = field(default_factory=lambda: DEFAULT_RETRY)
    """Error class -> how it is tried again; a subclass's own entry wins. Other errors fail at once."""
    timeout_s: float | None = None
    """Limit for all tries together. It stops waiting and retrying; a task must look at it while it blocks."""
