"""Operations of several servers: recorded here, carried out by workers anywhere, followed through the database."""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias
from weakref import WeakValueDictionary

from im_client.services.model import Prepared
from im_client.services.server.operations import Guards, Ticket, request_key
from im_client.state.server import Acceptance, OperationKind, OperationRecord
from im_client.state.shared import SharedStore
from infracore.clock import Clock
from infracore.errors import Conflict, InfraError
from infracore.events import Event

__all__ = ["SharedOperations"]

_LOG: Final = logging.getLogger(__name__)
Across: TypeAlias = Callable[[str], AbstractContextManager[None]]
"""Keeps other servers out while a change of an infrastructure is worked out."""


@dataclass(slots=True, eq=False, weakref_slot=True)
class _Followed:
    """An operation that somebody in this process follows; see the protocol `Ticket`."""

    record: OperationRecord
    records: SharedStore
    done: "Future[OperationRecord]" = field(default_factory=Future)
    _listeners: list[Callable[[], object]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def after(self, number: int) -> list[tuple[int, Event]]:
        return list(self.records.operation_events(self.record.id, number))

    @contextmanager
    def listening(self, wake: Callable[[], object]) -> Iterator[None]:
        with self._lock:
            self._listeners.append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(wake)

    def show(self, record: OperationRecord) -> None:
        """Take how it stands now, and wake those who listen."""
        with self._lock:
            if not self.done.done():
                self.record = record
                if record.state.is_end:
                    self.done.set_result(record)
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()


class SharedOperations:
    """See the protocol `Operations`. Carries nothing out itself. Safe under threads."""

    def __init__(self, records: SharedStore, across: Across, clock: Clock) -> None:
        self._records = records
        self._across = across
        self._clock = clock
        self._lock = threading.Lock()
        self._followed: WeakValueDictionary[str, _Followed] = WeakValueDictionary()
        self._guards = Guards()
        self._closing = threading.Event()

    @contextmanager
    def guard(self, infrastructure: str) -> Iterator[None]:
        """See the protocol; keeps the changes of other servers out too, for the time of one request."""
        with self._guards.hold(infrastructure), self._across(infrastructure):
            yield

    def submit(self, acceptance: Acceptance, prepared: Prepared | None = None) -> Ticket:  # noqa: ARG002
        """See the protocol. `prepared` does not travel: a worker plans from what is recorded."""
        if self._closing.is_set():
            raise Conflict("the server is ending", "repeat it in a moment")
        acceptance = replace(acceptance, request=request_key.get())
        self._records.accept(acceptance, self._clock.now())
        return self._follow(acceptance.operation)

    def resume(self) -> int:
        """Do nothing: workers take up what has not ended."""
        return 0

    def find(self, operation: str) -> OperationRecord:
        return self._records.operation(operation)

    def ticket(self, operation: str) -> Ticket | None:
        found = self._records.operations_now([operation]).get(operation)
        return None if found is None else self._follow(found)

    def unfinished(self, infrastructure: str) -> Sequence[OperationRecord]:
        return self._records.unfinished_of(infrastructure)

    def running(self) -> int:
        return self._records.count_unfinished()

    def cancel(self, operation: str) -> OperationRecord:
        self._records.cancel_operation(operation)
        return self._records.operation(operation)

    def cancel_all(self, infrastructure: str) -> None:
        for record in self._records.unfinished_of(infrastructure):
            self._records.cancel_operation(record.id)

    def destroying(self, infrastructure: str) -> Ticket | None:
        going = [o for o in self._records.unfinished_of(infrastructure) if o.kind is OperationKind.DESTROY]
        cancelled = self._records.cancelled([record.id for record in going]) if going else frozenset()
        return next((self._follow(record) for record in going if record.id not in cancelled), None)

    def close(self) -> None:
        self._closing.set()

    def told(self, changed: frozenset[str] | None) -> None:
        """Look at operations that changed, None: at all that are followed; those that listen are woken."""
        with self._lock:
            followed = {ticket.record.id: ticket for ticket in self._followed.values()}
        ids = [key for key in followed if changed is None or key in changed]
        ids = [key for key in ids if not followed[key].done.done()]
        if not ids:
            return
        try:
            found = self._records.operations_now(ids)
        except InfraError as error:
            _LOG.warning("operations could not be looked at: %s", error)
            return
        for key, record in found.items():
            followed[key].show(record)

    def _follow(self, record: OperationRecord) -> _Followed:
        with self._lock:
            ticket = self._followed.get(record.id)
            if ticket is None:
                ticket = self._followed[record.id] = _Followed(record, self._records)
        ticket.show(record)
        return ticket
