"""What the stores ask of a database. The SQL that goes through it is what SQLite and PostgreSQL share.

Parameters are written `?`. Rows are read by name. Both databases know `ON CONFLICT`, `RETURNING` and `rowid` (with
PostgreSQL a column of that name), and neither gets anything that only one of them knows.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

__all__ = ["Connection", "Cursor", "Database"]


class Cursor(Protocol):
    """The answer to a statement."""

    @property
    def rowcount(self) -> int: ...

    def fetchone(self) -> Any: ...

    def fetchall(self) -> list[Any]: ...

    def __iter__(self) -> Iterator[Any]: ...


class Connection(Protocol):
    """A connection inside of one transaction."""

    def execute(self, sql: str, parameters: Sequence[Any] = ..., /) -> Cursor: ...

    def executemany(self, sql: str, parameters: Sequence[Sequence[Any]], /) -> object: ...


class Database(Protocol):
    """Where rows are kept. Safe under threads."""

    def read(self) -> AbstractContextManager[Connection]:
        """Give a connection that sees the database as it is at one moment."""
        ...

    def write(self, subject: str, *, on_disk: bool = False, fence: str = "") -> AbstractContextManager[Connection]:
        """Give a connection inside of one transaction; those about one subject never overlap.

        `on_disk` waits for the disk too, against loss of power. `fence` names an infrastructure: where this process
        has taken its lock and lost it meanwhile, nothing is written.

        Raises:
            LostLock: see `fence`.
        """
        ...

    def close(self) -> None:
        """May be repeated."""
        ...
