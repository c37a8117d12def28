"""A server's records in PostgreSQL, for several servers and workers."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from im_client.state.codec import storable
from im_client.state.postgres import PostgresStore, Session
from im_client.state.server import AnswerRecord, OperationRecord
from im_client.state.sql_server import SqlServerStore, read_operation
from infracore.events import Event, EventKind

__all__ = ["Enqueue", "PostgresServerStore"]

Enqueue = Callable[[Any, OperationRecord], None]
"""Puts an operation into the queue of the workers, on a connection inside of a transaction."""
_ANSWER: Final = """
    SELECT a.*, NOT EXISTS (
        SELECT 1 FROM process p WHERE p.id = a.process
        AND p.beat_at > clock_timestamp() - p.lease_s * interval '1 second'
    ) AS is_abandoned FROM answer a WHERE a.account = ? AND a.key = ?"""
_PUT_ANSWER: Final = """
    INSERT INTO answer (account, key, digest, created_at, process) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (account, key) DO UPDATE SET digest = excluded.digest, created_at = excluded.created_at,
        process = excluded.process"""
_ADD_EVENT: Final = """
    INSERT INTO operation_event (operation, number, at, kind, node, phase, text) VALUES (?, ?, ?, ?, ?, ?, ?)"""


class PostgresServerStore(SqlServerStore):
    """See the protocol `SharedStore`. Shares the database of a `PostgresStore`, which its owner closes."""

    def __init__(self, store: PostgresStore, *, process: str = "", enqueue: Enqueue | None = None) -> None:
        """`process` is the id under which this process gives signs of life."""
        super().__init__(store)
        self._database = store.postgres
        self._process = process
        self._enqueue = enqueue

    def _accepted(self, db: Any, operation: OperationRecord) -> None:
        if self._enqueue is not None:
            self._enqueue(db.connection, operation)

    # operations

    def cancel_operation(self, operation: str) -> None:
        with self._database.write(operation) as db:
            db.execute("UPDATE operation SET is_cancelled = TRUE WHERE id = ? AND ended_at IS NULL", (operation,))

    def cancelled(self, operations: Sequence[str]) -> frozenset[str]:
        with self._database.read() as db:
            found = db.execute("SELECT id FROM operation WHERE is_cancelled AND id = ANY(?)", (list(operations),))
            return frozenset(row["id"] for row in found)

    def operations_now(self, operations: Sequence[str]) -> Mapping[str, OperationRecord]:
        with self._database.read() as db:
            found = db.execute("SELECT * FROM operation WHERE id = ANY(?)", (list(operations),)).fetchall()
        return {row["id"]: read_operation(row) for row in found}

    def unfinished_of(self, infrastructure: str) -> Sequence[OperationRecord]:
        with self._database.read() as db:
            found = db.execute(
                "SELECT * FROM operation WHERE infrastructure = ? AND ended_at IS NULL ORDER BY rowid",
                (infrastructure,),
            ).fetchall()
        return tuple(read_operation(row) for row in found)

    def count_unfinished(self) -> int:
        with self._database.read() as db:
            row = db.execute("SELECT count(*) AS n FROM operation WHERE ended_at IS NULL").fetchone()
        return int(row["n"]) if row is not None else 0

    # events

    def add_operation_events(self, operation: OperationRecord, events: Sequence[Event]) -> None:
        with self._database.write(operation.infrastructure, fence=operation.infrastructure) as db:
            numbers = itertools.count(_last(db, operation.id) + 1)
            rows = [
                (operation.id, next(numbers), one.at, one.kind.value, one.node, one.phase, storable(one.text))
                for one in events
            ]
            db.executemany(_ADD_EVENT, rows)
            db.execute("SELECT pg_notify('im_operation', ?)", (operation.id,))

    def operation_events(self, operation: str, after: int) -> Sequence[tuple[int, Event]]:
        with self._database.read() as db:
            found = db.execute(
                "SELECT * FROM operation_event WHERE operation = ? AND number > ? ORDER BY number", (operation, after)
            ).fetchall()
        return tuple(
            (row["number"], Event(row["at"], EventKind(row["kind"]), row["node"], row["phase"], row["text"]))
            for row in found
        )

    # answers: that of a server that lives is waited for

    def begin_answer(self, account: str, key: str, digest: bytes, now: float, oldest: float) -> AnswerRecord | None:
        with self._database.write(f"answer {account} {key}") as db:
            db.execute("DELETE FROM answer WHERE created_at < ?", (oldest,))
            row = db.execute(_ANSWER, (account, key)).fetchone()
            is_free = row is None or (row["status"] is None and row["is_abandoned"] and not row["operation"])
            if is_free:
                db.execute(_PUT_ANSWER, (account, key, digest, now, self._process))
        if row is None or is_free:
            return None
        is_abandoned = row["status"] is None and row["is_abandoned"]
        text = self._store.unseal(row["sealed"]) or ""
        return AnswerRecord(row["digest"], row["status"], text, row["operation"], is_abandoned)

    def forget_unanswered(self) -> None:
        """Do nothing: others are answering; `begin_answer` takes over from those that are gone."""


def _last(db: Session, operation: str) -> int:
    row = db.execute("SELECT coalesce(max(number), 0) AS n FROM operation_event WHERE operation = ?", (operation,))
    found = row.fetchone()
    return int(found["n"]) if found is not None else 0
