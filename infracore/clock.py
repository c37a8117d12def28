"""Time as an argument, so that every decision can be replayed."""

import threading
import time
from pathlib import Path
from typing import Protocol

__all__ = ["Clock", "FakeClock", "SystemClock", "boot_id"]


def boot_id() -> str:
    """Return the id of this computer's present boot (random(4)): as long as it is the same, monotonic time goes on."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


class Clock(Protocol):
    """Where code takes the time from, and how it waits."""

    def now(self) -> float:
        """Return seconds since the epoch (wall clock; may jump)."""
        ...

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until the event is set or the time is over; return whether it is set."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(timeout_s)


class FakeClock:
    """Virtual time: waiting moves it on at once. Safe under threads."""

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._now = start
        self._lock = threading.Lock()

    def now(self) -> float:
        with self._lock:
            return self._now

    def monotonic(self) -> float:
        return self.now()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        if event.is_set():
            return True
        self.advance(timeout_s)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Move the time on."""
        with self._lock:
            self._now += max(0.0, seconds)
