"""A worker: takes operations that servers have accepted out of the queue, and carries them out.

Each is carried out under the lock of its infrastructure, from what is recorded. A worker that dies leaves lock, job and
record as they are: when its lease has run out another goes on from the record, as `im serve` with SQLite does at its
next start. One that was only paused finds its lock taken, and writes nothing more.
"""

import logging
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from im_client.services.context import Context
from im_client.services.server.operations import Perform, ending
from im_client.state.locks import LostLock
from im_client.state.queue import GivenBack
from im_client.state.server import OperationRecord, OperationState
from im_client.state.shared import SharedStore
from im_client.state.store import RunState, StateLost
from infracore.errors import Cancelled, InfraError, Locked, NotFound
from infracore.events import Event

__all__ = ["Worker"]

_LOG: Final = logging.getLogger(__name__)
_LOCK_WAIT_S: Final = 3600.0
_FLUSH_S: Final = 0.2
_BATCH: Final = 200
_AGAIN_S: Final = 2.0


class Worker:
    """Carries operations out. Safe under threads."""

    def __init__(self, ctx: Context, records: SharedStore, perform: Perform, pool: Executor) -> None:
        """`perform` is called on the pool, on one thread for each operation that runs."""
        self._ctx = ctx
        self._records = records
        self._perform = perform
        self._pool = pool
        self._lock = threading.Lock()
        self._running: dict[str, threading.Event] = {}
        """Operation -> what ends it."""
        self._stopping = threading.Event()

    def work_on(self, operation: str) -> None:
        """Carry an operation out, or go on with it where another worker left it. Blocks until it has ended.

        Raises:
            GivenBack: it goes on later, or elsewhere.
        """
        cancel = threading.Event()
        try:
            record = self._records.operation(operation)
            if record.state.is_end:
                return
            with self._noted(operation, cancel):
                self._go_on(record, cancel)
        except NotFound as error:
            _LOG.warning("%s", error)
        except LostLock as error:
            _LOG.warning("operation %s was left to another worker: %s", operation, error)
            raise GivenBack(str(error), retry_after_s=_AGAIN_S) from error  # where there is no other it comes back here
        except (Cancelled, Locked, StateLost) as error:  # while waiting for somebody else's lock, or for the database
            _LOG.warning("operation %s goes on later: %s", operation, error)
            raise GivenBack(str(error), retry_after_s=0.0 if self._stopping.is_set() else _AGAIN_S) from error

    def told(self, changed: frozenset[str] | None) -> None:
        """Look whether operations that run were cancelled; `changed`: those that may have been, None: any."""
        with self._lock:
            running = [key for key in self._running if changed is None or key in changed]
        if not running:
            return
        try:
            cancelled = self._records.cancelled(running)
        except InfraError as error:
            _LOG.warning("operations could not be looked at: %s", error)
            return
        self._end(cancelled)

    def stop(self) -> None:
        """Begin nothing more, and let what runs come to the end of its step."""
        self._stopping.set()
        with self._lock:
            running = frozenset(self._running)
        self._end(running)

    def _end(self, operations: frozenset[str]) -> None:
        with self._lock:
            for key in operations & self._running.keys():
                self._running[key].set()

    @contextmanager
    def _noted(self, operation: str, cancel: threading.Event) -> Iterator[None]:
        with self._lock:
            self._running[operation] = cancel
        if self._stopping.is_set():
            cancel.set()
        try:
            yield
        finally:
            with self._lock:
                if self._running.get(operation) is cancel:
                    del self._running[operation]

    def _go_on(self, record: OperationRecord, cancel: threading.Event) -> None:
        infra = record.infrastructure
        with self._ctx.locks.hold(infra, record.kind.value, wait_s=_LOCK_WAIT_S, clock=self._ctx.clock, cancel=cancel):
            record = self._records.operation(record.id)  # the one who had the lock may have ended it
            if not record.state.is_end:
                self._carry_out(record, cancel)

    def _carry_out(self, record: OperationRecord, cancel: threading.Event) -> None:
        if record.state is OperationState.RUNNING:
            _LOG.warning("operation %s of %s was begun by another worker: going on", record.id, record.infrastructure)
        if record.id in self._records.cancelled([record.id]):
            self._put(record, ending(None, Cancelled("cancelled before it began")))
            return
        now = self._ctx.clock.now()
        record = replace(record, state=OperationState.RUNNING, started_at=record.started_at or now)
        self._records.put_operation(record)
        with _Told(self._records, record, cancel) as told:
            future = self._pool.submit(self._perform, record, None, told.hear, cancel)
            error = future.exception()
        report = future.result() if error is None else None
        if isinstance(error, LostLock | StateLost):
            raise error
        if error is not None and not isinstance(error, InfraError):
            _LOG.error("operation %s failed by a defect of this program", record.id, exc_info=error)
        is_broken_off = report is not None and report.state is RunState.INTERRUPTED
        if self._stopping.is_set() and (is_broken_off or isinstance(error, InfraError)):
            self._records.put_operation(replace(record, state=OperationState.QUEUED))
            raise GivenBack("this worker is ending")
        self._ctx.locks.check(record.infrastructure)
        self._put(record, ending(report, error))

    def _put(self, record: OperationRecord, ending: Mapping[str, object]) -> None:
        self._records.put_operation(replace(record, ended_at=self._ctx.clock.now(), **ending))  # type: ignore[arg-type]


class _Told:
    """Writes down, in small batches, what happens in an operation, for those who follow it from anywhere."""

    def __init__(self, records: SharedStore, operation: OperationRecord, cancel: threading.Event) -> None:
        self._records = records
        self._operation = operation
        self._cancel = cancel
        self._waiting: list[Event] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"told {operation.id}", daemon=True)

    def hear(self, event: Event) -> None:
        """Take an event; never blocks."""
        with self._lock:
            self._waiting.append(event)

    def __enter__(self) -> "_Told":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_FLUSH_S):
            self._flush()
        self._flush()

    def _flush(self) -> None:
        while True:
            with self._lock:
                batch = self._waiting[:_BATCH]
            if not batch:
                return
            try:
                self._records.add_operation_events(self._operation, batch)
            except LostLock:
                self._cancel.set()
                return
            except InfraError as error:  # told later, or never: it is no reason to end
                _LOG.warning("what happens in operation %s was not written down: %s", self._operation.id, error)
                return
            with self._lock:
                del self._waiting[: len(batch)]
