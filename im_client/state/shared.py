"""What servers and workers on several machines ask of their store beyond that of one server."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from im_client.state.server import OperationRecord, ServerStore
from infracore.events import Event

__all__ = ["SharedStore"]


class SharedStore(ServerStore, Protocol):
    """Where it is kept. What is accepted stands in the queue of the workers in the same transaction."""

    def cancel_operation(self, operation: str) -> None:
        """Note that nothing more of an operation is to be started. One that has ended is left alone."""
        ...

    def cancelled(self, operations: Sequence[str]) -> frozenset[str]:
        """Return those of some operations that somebody has cancelled."""
        ...

    def operations_now(self, operations: Sequence[str]) -> Mapping[str, OperationRecord]:
        """Return those of some operations that there are."""
        ...

    def unfinished_of(self, infrastructure: str) -> Sequence[OperationRecord]:
        """Return what waits or runs, in its order."""
        ...

    def count_unfinished(self) -> int: ...

    def add_operation_events(self, operation: OperationRecord, events: Sequence[Event]) -> None:
        """Write down what has happened; those who follow are told.

        Raises:
            LostLock: another process goes on with the operation.
        """
        ...

    def operation_events(self, operation: str, after: int) -> Sequence[tuple[int, Event]]:
        """Return what has happened after a number, which counts from 1 in each operation."""
        ...
