"""Asking providers how machines are, when somebody looks and what is known is old; never in the way of an answer."""

import threading
from concurrent.futures import ThreadPoolExecutor

from im_client.services.context import Context
from im_client.services.server.operations import Operations

__all__ = ["Refresher"]

_WORKERS = 2
_MOST = 10_000


class Refresher:
    """Refreshes infrastructures in the background, each at most once in some seconds. Safe under threads."""

    def __init__(self, ctx: Context, operations: Operations, every_s: float) -> None:
        self._ctx = ctx
        self._operations = operations
        self._every_s = every_s
        self._at: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="refresh")

    def look(self, infrastructure: str) -> None:
        """Have an infrastructure refreshed soon, unless it was lately or is being changed."""
        now = self._ctx.clock.monotonic()
        with self._lock:
            if self._stop.is_set() or now - self._at.get(infrastructure, float("-inf")) < self._every_s:
                return
            if len(self._at) > _MOST:
                self._at.clear()
            self._at[infrastructure] = now
        if not self._operations.unfinished(infrastructure):
            from im_client.services.power import refresh

            # what it raises stays in its future: whoever looks gets what is recorded
            self._pool.submit(refresh, self._ctx, infrastructure, cancel=self._stop)

    def close(self) -> None:
        """End what runs and begin nothing more."""
        self._stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
