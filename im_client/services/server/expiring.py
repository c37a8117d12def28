"""Ending infrastructures whose lease is over: each by an operation like any other, which survives the process."""

import logging
import threading
from typing import Final

from im_client.services.context import Context
from im_client.services.leases import due
from im_client.services.server.operations import Operations
from im_client.services.server.purse import EXPIRED
from im_client.state.server import Acceptance, OperationKind, OperationRecord
from im_client.state.store import InfrastructureRecord
from infracore.errors import InfraError
from infracore.ids import new_run_id

__all__ = ["Expirer"]

_LOG: Final = logging.getLogger(__name__)
_MOST_PAUSE_S: Final = 3600.0


class Expirer:
    """Looks, every so often, for leases that are over. One thread of its own."""

    def __init__(self, ctx: Context, operations: Operations, every_s: float) -> None:
        """`every_s` 0: never."""
        self._ctx = ctx
        self._operations = operations
        self._every_s = every_s
        self._again: dict[str, tuple[float, float]] = {}
        """Infrastructure -> when it is tried again, and how long is waited after that: one may not be destroyable."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="expire", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        if self._every_s:
            self._thread.start()

    def close(self) -> None:
        """Look no more; operations that were begun go on."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def look(self) -> int:
        """Have all that are due destroyed; return how many were begun."""
        over = due(self._ctx)
        self._again = {record.id: self._again[record.id] for record in over if record.id in self._again}
        return sum(self._end(record) for record in over)

    def _end(self, record: InfrastructureRecord) -> bool:
        now = self._ctx.clock.monotonic()
        at, pause = self._again.get(record.id, (now, self._every_s))
        if now < at:
            return False
        with self._operations.guard(record.id):
            if self._operations.destroying(record.id) is not None:
                return False
            self._again[record.id] = (now + pause, min(pause * 2, _MOST_PAUSE_S))
            self._operations.cancel_all(record.id)
            at_now = self._ctx.clock.now()
            operation = OperationRecord(
                id=new_run_id(at_now),
                infrastructure=record.id,
                kind=OperationKind.DESTROY,
                account=EXPIRED,
                created_at=at_now,
            )
            self._operations.submit(Acceptance(operation=operation))
        _LOG.warning("the lease of %s (%s) is over: it is destroyed", record.name, record.id)
        return True

    def _run(self) -> None:
        while not self._ctx.clock.wait(self._stop, self._every_s):
            try:
                self.look()
            except InfraError as error:
                _LOG.warning("leases could not be looked at: %s", error)
