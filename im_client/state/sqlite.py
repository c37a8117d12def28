"""One SQLite file: the embedded default.

Measured on one core (2026): writing a node with its sealed part takes about 70 microseconds, 20 of them for the
cipher. The file needs a local disk: SQLite's write-ahead log does not work over NFS (sqlite.org/wal.html).
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from im_client.state.migrations import known_migrations, migrate
from im_client.state.sql_store import SqlStore
from infracore.errors import InfraError, Misconfigured, NoSpace, Transient
from infracore.secrets import Seal

__all__ = ["SqliteDatabase", "SqliteStore", "open_store"]

_BUSY_S: Final = 30.0
"""How long a write waits for another process's; one write takes well under a millisecond."""


def open_store(state_dir: Path) -> "SqliteStore":
    """Open the store of a state folder, making what is missing: `state.db`, and `key` that seals its secrets.

    Raises:
        Misconfigured, Conflict: as `SqliteStore` and `Seal.from_file` do.
    """
    return SqliteStore(state_dir / "state.db", Seal.from_file(state_dir / "key"))


class SqliteStore(SqlStore):
    """The store in one SQLite file; arguments and errors are those of `SqliteDatabase`."""

    def __init__(self, path: Path, seal: Seal, migrations: Sequence[str] | None = None) -> None:
        database = SqliteDatabase(path, migrations)
        super().__init__(database, seal)
        self._db = database.connection


class SqliteDatabase:
    """See the protocol `Database`. One connection behind a lock: SQLite has one writer at a time anyway.

    Errors beyond the protocol's: `Misconfigured` (file unreadable, damaged, disk full) and `Transient` (another
    process kept the file for longer than half a minute).
    """

    def __init__(self, path: Path, migrations: Sequence[str] | None = None) -> None:
        """Open the file, making it (mode 0600, new folders 0700) or migrating it first.

        Raises:
            Misconfigured: it cannot be opened or written, or is no database.
            Conflict: a newer version of this program wrote it.
        """
        self._path = path
        self._lock = threading.Lock()
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)  # SQLite gives the log beside it the same mode
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
            self.connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self.connection.row_factory = sqlite3.Row
            self._synchronous = "NORMAL"
            with contextlib.ExitStack() as taken:
                taken.callback(self.connection.close)
                self.connection.execute("PRAGMA synchronous = NORMAL")
                self.connection.execute("PRAGMA journal_mode = WAL")
                self.connection.execute("PRAGMA foreign_keys = ON")
                migrate(self.connection, known_migrations() if migrations is None else migrations, str(path))
                taken.pop_all()

    def read(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._transaction("BEGIN", self._synchronous)

    def write(
        self,
        subject: str,  # noqa: ARG002 (the file has one writer)
        *,
        on_disk: bool = False,
        fence: str = "",  # noqa: ARG002 (the kernel keeps the lock of an infrastructure until this process ends)
    ) -> AbstractContextManager[sqlite3.Connection]:
        """Begin one transaction.

        `on_disk`: without its id and key an infrastructure is an orphan. All else is found again at the provider, and
        only has to survive a crash of this process.
        """
        return self._transaction("BEGIN IMMEDIATE", "FULL" if on_disk else "NORMAL")

    def close(self) -> None:
        """Fold the log into the file and close it. May be repeated."""
        with self._lock, self._errors():
            self.connection.close()

    @contextmanager
    def _transaction(self, begin: str, synchronous: str) -> Iterator[sqlite3.Connection]:
        with self._lock, self._errors():
            if synchronous != self._synchronous:
                self.connection.execute(f"PRAGMA synchronous = {synchronous}")
                self._synchronous = synchronous
            self.connection.execute(begin)
            try:
                yield self.connection
                self.connection.execute("COMMIT")
            finally:
                if self.connection.in_transaction:  # something failed; a full disk ends the transaction by itself
                    self.connection.execute("ROLLBACK")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise _translated(error, self._path) from error


def _translated(error: sqlite3.Error | OSError, path: Path) -> InfraError:
    """Say what a failure of SQLite or the file system means for the user."""
    if isinstance(error, OSError):
        return Misconfigured(
            f"cannot use the state file {path}: {error.strerror}",
            "set another folder: IM_STATE_DIR, or -o state_dir=FOLDER",
        )
    # the low byte is the primary code (sqlite.org/rescode.html); absent in errors of the Python module itself
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return Transient(f"the state file {path} is kept busy by another process", "try again")
        case sqlite3.SQLITE_FULL:
            return NoSpace(
                f"no room on the disk for the state file {path}", "free some space, then run the same command again"
            )
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM | sqlite3.SQLITE_AUTH:
            return Misconfigured(
                f"cannot write the state file {path}: {error}",
                "check who owns it and its folder, or set another: IM_STATE_DIR, or -o state_dir=FOLDER",
            )
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return Misconfigured(
                f"the state file {path} is damaged or no state file: {error}",
                "restore it from a backup, or move it away and start anew (machines that it knew stay)",
            )
        case _:
            return InfraError(f"the state file {path} failed: {error}")
