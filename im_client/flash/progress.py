"""Rate and time left, from how far something is at which time."""

from collections import deque

from im_client.flash.model import Phase, Progress

__all__ = ["Meter"]


class Meter:
    """Makes Progress values of one target's phase; times are those of a monotonic clock."""

    def __init__(self, name: str, phase: Phase, total: int | None, *, window_s: float = 8.0) -> None:
        self._name = name
        self._phase = phase
        self._total = total
        self._window_s = window_s
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, now: float, done: int) -> Progress:
        """Return how far it is: `done` bytes at the time `now`."""
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[1][0] >= self._window_s:
            self._seen.popleft()
        since, before = self._seen[0]
        rate = (done - before) / (now - since) if now > since else 0.0
        left = None if self._total is None or rate <= 0 else max(0.0, (self._total - done) / rate)
        if self._total is not None and done >= self._total:
            left = 0.0
        return Progress(self._name, self._phase, done, self._total, rate, left)
