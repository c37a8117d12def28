"""What happens during long work, as values: for progress on a terminal, JSON lines, and the record of a run."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

__all__ = ["Event", "EventKind", "Listener"]


class EventKind(StrEnum):
    """What happened."""

    RUN_STARTED = "run-started"
    PHASE = "phase"
    """The node entered `phase`."""
    NOTE = "note"
    """A line of detail about what the node (or the run) is doing now."""
    RETRY = "retry"
    NODE_DONE = "node-done"
    NODE_FAILED = "node-failed"
    RUN_ENDED = "run-ended"


@dataclass(frozen=True, slots=True)
class Event:
    """One happening. `node` is "" for the run as a whole; `at` is seconds since the epoch."""

    at: float
    kind: EventKind
    node: str = ""
    phase: str = ""
    text: str = ""
    elapsed_s: float | None = None
    """Since the node's (or the run's) work began."""


Listener: TypeAlias = Callable[[Event], None]
"""Called from many threads; must be quick and must not raise."""
