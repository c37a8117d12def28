"""Operations: changes that are recorded, then carried out in the background, one at a time an infrastructure.

What an operation is to do stands in the store before anybody is told that it was accepted. A server that is killed
finds those that have not ended at its next start, and goes on with them: their plans are made anew from the record.
"""

import dataclasses
import itertools
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final, Protocol

from im_client.services.model import ApplyReport, Prepared
from im_client.state.server import Acceptance, OperationKind, OperationRecord, OperationState, ServerStore
from im_client.state.store import RunState
from infracore.clock import Clock
from infracore.errors import Cancelled, Conflict, InfraError, NotFound
from infracore.events import Event, Listener

__all__ = ["Guards", "Operations", "OwnOperations", "Perform", "Ticket", "ending", "request_key"]

_LOG: Final = logging.getLogger(__name__)
_MOST_EVENTS: Final = 20_000
"""Events of one operation that are kept in memory while it runs; older ones are in the store."""
_REMEMBERED: Final = 200
"""Operations that have ended whose events are still in memory."""
_ENDS: Final = {
    RunState.DONE: OperationState.DONE,
    RunState.PARTLY_DONE: OperationState.PARTLY_DONE,
    RunState.FAILED: OperationState.FAILED,
    RunState.INTERRUPTED: OperationState.CANCELLED,
    RunState.RUNNING: OperationState.FAILED,
}


request_key: Final[ContextVar[tuple[str, str] | None]] = ContextVar("request_key", default=None)
"""Account and idempotency key of the request that is being worked on."""


class Perform(Protocol):
    """Carries one operation out; called on a thread of the pool. None: there was nothing left to do."""

    def __call__(
        self, operation: OperationRecord, prepared: Prepared | None, listener: Listener, cancel: threading.Event, /
    ) -> ApplyReport | None: ...


class Ticket(Protocol):
    """An operation that is followed. Safe under threads."""

    @property
    def record(self) -> OperationRecord:
        """The operation as it stood when it was last heard of."""
        ...

    @property
    def done(self) -> "Future[OperationRecord]":
        """Where its end is waited for."""
        ...

    def after(self, number: int) -> list[tuple[int, Event]]:
        """Return the events after a number. May ask the database."""
        ...

    def listening(self, wake: Callable[[], object]) -> AbstractContextManager[None]:
        """Have a function called, from any thread, whenever something happens."""
        ...


class Operations(Protocol):
    """The operations of a server. Safe under threads."""

    def guard(self, infrastructure: str) -> AbstractContextManager[None]:
        """Let one change at a time of an infrastructure be worked out and accepted; carrying it out is no part.

        Not to be taken twice by one thread.
        """
        ...

    def submit(self, acceptance: Acceptance, prepared: Prepared | None = None) -> Ticket:
        """Record a change and have it begun as soon as those before it have ended.

        `prepared` may be used if nothing has changed until then, and spares making the plan again.
        """
        ...

    def resume(self) -> int:
        """Take up what had not ended when the last server did; return how many operations that are."""
        ...

    def find(self, operation: str) -> OperationRecord:
        """Return an operation as it stands. Raises NotFound."""
        ...

    def ticket(self, operation: str) -> Ticket | None:
        """Return the operation's ticket, None where all that is left of it are the stored events of its run."""
        ...

    def unfinished(self, infrastructure: str) -> Sequence[OperationRecord]:
        """Return what waits or runs, in order."""
        ...

    def running(self) -> int:
        """Return how many operations run or wait."""
        ...

    def cancel(self, operation: str) -> OperationRecord:
        """Ask an operation to start nothing more. One that has ended is left alone.

        Raises:
            NotFound: there is none.
        """
        ...

    def cancel_all(self, infrastructure: str) -> None:
        """Ask all operations of an infrastructure to start nothing more."""
        ...

    def destroying(self, infrastructure: str) -> Ticket | None:
        """Return the operation that destroys it, if it waits or runs and nobody has cancelled it."""
        ...

    def close(self) -> None:
        """Accept nothing more. What this process carries out comes to the end of its step; the rest is left."""
        ...


class Guards:
    """Locks of this process by name, which are there as long as somebody wants them. Safe under threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._guards: dict[str, tuple[threading.RLock, int]] = {}

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold one; blocks as long as another thread has it."""
        with self._lock:
            guard, users = self._guards.get(name, (threading.RLock(), 0))
            self._guards[name] = guard, users + 1
        try:
            with guard:
                yield
        finally:
            with self._lock:
                guard, users = self._guards[name]
                if users == 1:
                    del self._guards[name]
                else:
                    self._guards[name] = guard, users - 1


@dataclass(slots=True, eq=False)
class OwnTicket:
    """An operation that this process carries out."""

    record: OperationRecord
    prepared: Prepared | None = None
    cancel: threading.Event = field(default_factory=threading.Event)
    done: "Future[OperationRecord]" = field(default_factory=Future)
    events: deque[tuple[int, Event]] = field(default_factory=lambda: deque(maxlen=_MOST_EVENTS))
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _listeners: list[Callable[[], object]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hear(self, event: Event) -> None:
        """Take an event of the run."""
        with self._lock:
            self.events.append((next(self._numbers), event))
        self.wake()

    def after(self, number: int) -> list[tuple[int, Event]]:
        """Return the events after a number."""
        with self._lock:
            return [entry for entry in self.events if entry[0] > number]

    @contextmanager
    def listening(self, wake: Callable[[], object]) -> Iterator[None]:
        """Have a function called, from any thread, whenever something happens."""
        with self._lock:
            self._listeners.append(wake)
        try:
            yield
        finally:
            with self._lock:
                self._listeners.remove(wake)

    def wake(self) -> None:
        """Call those who listen."""
        with self._lock:
            listeners = tuple(self._listeners)
        for listener in listeners:
            listener()


class OwnOperations:
    """See the protocol `Operations`: carried out by this process. Safe under threads."""

    def __init__(self, records: ServerStore, perform: Perform, clock: Clock, workers: int) -> None:
        self._records = records
        self._perform = perform
        self._clock = clock
        self._lock = threading.Lock()
        self._queues: dict[str, deque[OwnTicket]] = {}
        """Infrastructure -> its operations; the first one runs."""
        self._tickets: dict[str, OwnTicket] = {}
        self._guards = Guards()
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="operation")

    def guard(self, infrastructure: str) -> AbstractContextManager[None]:
        return self._guards.hold(infrastructure)

    def submit(self, acceptance: Acceptance, prepared: Prepared | None = None) -> OwnTicket:
        if self._closing.is_set():
            raise Conflict("the server is ending", "repeat it in a moment")
        acceptance = dataclasses.replace(acceptance, request=request_key.get())
        self._records.accept(acceptance, self._clock.now())
        ticket = OwnTicket(acceptance.operation, prepared)
        self._enqueue(ticket)
        return ticket

    def resume(self) -> int:
        self._records.forget_unanswered()
        left = self._records.unfinished()
        for record in left:
            self._enqueue(OwnTicket(dataclasses.replace(record, state=OperationState.QUEUED)))
        return len(left)

    def find(self, operation: str) -> OperationRecord:
        ticket = self.ticket(operation)
        return ticket.record if ticket is not None else self._records.operation(operation)

    def ticket(self, operation: str) -> OwnTicket | None:
        with self._lock:
            return self._tickets.get(operation)

    def unfinished(self, infrastructure: str) -> tuple[OperationRecord, ...]:
        with self._lock:
            return tuple(ticket.record for ticket in self._queues.get(infrastructure, ()))

    def running(self) -> int:
        with self._lock:
            return sum(len(queue) for queue in self._queues.values())

    def cancel(self, operation: str) -> OperationRecord:
        ticket = self.ticket(operation)
        if ticket is None:
            return self._records.operation(operation)
        ticket.cancel.set()
        return ticket.record

    def cancel_all(self, infrastructure: str) -> None:
        with self._lock:
            tickets = list(self._queues.get(infrastructure, ()))
        for ticket in tickets:
            ticket.cancel.set()

    def destroying(self, infrastructure: str) -> OwnTicket | None:
        with self._lock:
            queue = tuple(self._queues.get(infrastructure, ()))
        return next((t for t in queue if t.record.kind is OperationKind.DESTROY and not t.cancel.is_set()), None)

    def close(self) -> None:
        """Start nothing more, let steps that run come to their end, and leave the rest for the next server."""
        self._closing.set()
        with self._lock:
            tickets = [ticket for queue in self._queues.values() for ticket in queue]
        for ticket in tickets:
            ticket.cancel.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _enqueue(self, ticket: OwnTicket) -> None:
        with self._lock:
            self._tickets[ticket.record.id] = ticket
            queue = self._queues.setdefault(ticket.record.infrastructure, deque())
            queue.append(ticket)
            is_first = len(queue) == 1
        if is_first:
            self._start(ticket)

    def _start(self, ticket: OwnTicket) -> None:
        if self._closing.is_set():
            return
        self._pool.submit(self._run, ticket).add_done_callback(lambda future: self._ended(ticket, future))

    def _run(self, ticket: OwnTicket) -> ApplyReport | None:
        if ticket.cancel.is_set():
            raise Cancelled("cancelled before it began")
        ticket.record = dataclasses.replace(ticket.record, state=OperationState.RUNNING, started_at=self._clock.now())
        self._records.put_operation(ticket.record)
        prepared, ticket.prepared = ticket.prepared, None
        return self._perform(ticket.record, prepared, ticket.hear, ticket.cancel)

    def _ended(self, ticket: OwnTicket, future: "Future[ApplyReport | None]") -> None:
        """Record how an operation ended, unless the server is ending: then the next one goes on with it."""
        if future.cancelled():
            return
        error = future.exception()
        if error is not None and not isinstance(error, InfraError):
            _LOG.error("operation %s failed by a defect of this program", ticket.record.id, exc_info=error)
        report = future.result() if error is None else None
        is_broken_off = report is not None and report.state is RunState.INTERRUPTED
        if self._closing.is_set() and (is_broken_off or isinstance(error, InfraError)):
            ticket.done.set_result(ticket.record)
            ticket.wake()
            return
        ticket.record = dataclasses.replace(ticket.record, ended_at=self._clock.now(), **ending(report, error))  # type: ignore[arg-type]
        self._records.put_operation(ticket.record)
        with self._lock:
            queue = self._queues[ticket.record.infrastructure]
            queue.popleft()
            following = queue[0] if queue else None
            if following is None:
                del self._queues[ticket.record.infrastructure]
            ended = [key for key, other in self._tickets.items() if other.record.state.is_end]
            for key in ended[: max(0, len(ended) - _REMEMBERED)]:
                del self._tickets[key]
        ticket.done.set_result(ticket.record)
        ticket.wake()
        if following is not None:
            self._start(following)


def ending(report: ApplyReport | None, error: BaseException | None) -> dict[str, object]:
    """Return how an operation ends, as fields of its record; `report` None: there was nothing left to do."""
    if isinstance(error, Cancelled | NotFound):
        return {"state": OperationState.CANCELLED, "error": error.message, "hint": error.hint}
    if isinstance(error, InfraError):
        return {"state": OperationState.FAILED, "error": error.message, "hint": error.hint}
    if error is not None:
        return {
            "state": OperationState.FAILED,
            "error": f"a defect of this program: {type(error).__name__}",
            "hint": "please report it with the server's log",
        }
    if report is None:
        return {"state": OperationState.DONE, "summary": "nothing was left to do"}
    bad = [node for node in report.nodes if not node.ok]
    return {
        "state": _ENDS[report.state],
        "run": report.run,
        "summary": f"{len(report.nodes) - len(bad)} of {len(report.nodes)} machines",
        "error": "\n".join(dict.fromkeys(f"{node.name}: {node.error}" for node in bad))[:4000],
        "hint": next((node.hint for node in bad if node.hint), ""),
    }
