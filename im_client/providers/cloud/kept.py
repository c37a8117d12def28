"""Answers that hold for a while."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import TypeVar

from infracore.clock import Clock

__all__ = ["Kept"]

_T = TypeVar("_T")


@dataclass
class Kept:
    """What was answered, by what was asked. Thread-safe: however many want an answer, it is asked for once."""

    clock: Clock
    keep_s: float = 300.0
    _found: dict[Hashable, tuple[float, object]] = field(default_factory=dict)
    _locks: dict[Hashable, threading.Lock] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: Hashable, ask: Callable[[], _T]) -> _T:
        """Return the kept answer, or ask. An error is not kept."""
        with self._lock:
            alone = self._locks.setdefault(key, threading.Lock())
        with alone:
            found = self._found.get(key)
            if found is None or self.clock.monotonic() - found[0] > self.keep_s:
                found = self._found[key] = (self.clock.monotonic(), ask())
            return found[1]  # type: ignore[return-value]  # what this key was asked for

    def forget(self, is_stale: Callable[[Hashable], bool] = lambda _: True) -> bool:
        """Drop the answers whose keys are stale; return whether there were any."""
        with self._lock:
            stale = [key for key in self._found if is_stale(key)]
            for key in stale:
                self._found.pop(key, None)
        return bool(stale)
