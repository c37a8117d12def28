"""The time that one call of a driver (power, outlets) has left."""

import threading
import time

from infracore.errors import Cancelled, TimedOut

__all__ = ["Deadline"]


class Deadline:
    """Counts down from the call's start; real time, since what is waited for is real."""

    def __init__(self, what: str, seconds: float, closing: threading.Event) -> None:
        self._what = what
        self._seconds = seconds
        self._end = time.monotonic() + seconds
        self.closing = closing

    def left(self) -> float:
        """Return the seconds left, always more than nothing.

        Raises:
            TimedOut: none are. Cancelled: the driver is being closed.
        """
        if self.closing.is_set():
            raise Cancelled(f"{self._what}: the driver is being closed")
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimedOut(f"{self._what}: not done within {self._seconds:g} s")
        return left

    def pause(self, seconds: float) -> None:
        """Wait, but not beyond the end."""
        self.closing.wait(min(seconds, self.left()))

    def hold(self, lock: threading.Lock) -> None:
        """Take a lock; the caller releases it."""
        if not lock.acquire(timeout=self.left()):
            raise TimedOut(f"{self._what}: another call on the same thing did not end within {self._seconds:g} s")
