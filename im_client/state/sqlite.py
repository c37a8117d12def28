"""The store in one SQLite file: the embedded default.

Measured on one core (2026): writing a node with its sealed part takes about 70 microseconds, 20 of them for the
cipher. The file needs a local disk: SQLite's write-ahead log does not work over NFS (sqlite.org/wal.html).
"""

import sqlite3
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

from im_client.plan.model import Phase
from im_client.state import rows
from im_client.state.codec import decode_source, encode_source, encode_values, storable
from im_client.state.migrations import known_migrations, migrate
from im_client.state.store import EventRecord, InfrastructureRecord, NodeRecord, RunRecord, RunState, Source
from im_client.topology.values import Value
from infracore.errors import Conflict, InfraError, Misconfigured, NoSpace, NotFound, Transient
from infracore.secrets import Seal

__all__ = ["SqliteStore", "open_store"]

_BUSY_S: Final = 30.0
"""How long a write waits for another process's; one write takes well under a millisecond."""
_SHORTEST_PREFIX: Final = 4


def open_store(state_dir: Path) -> "SqliteStore":
    """Open the store of a state folder, making what is missing: `state.db`, and `key` that seals its secrets.

    Raises:
        Misconfigured, Conflict: as `SqliteStore` and `Seal.from_file` do.
    """
    return SqliteStore(state_dir / "state.db", Seal.from_file(state_dir / "key"))


class SqliteStore:
    """See the protocol `Store`. One connection behind a lock: SQLite has one writer at a time anyway.

    Errors beyond the protocol's: `Misconfigured` (file unreadable, damaged, disk full) and `Transient` (another
    process kept the file for longer than half a minute).
    """

    def __init__(self, path: Path, seal: Seal, migrations: Sequence[str] | None = None) -> None:
        """Open the file, making it (mode 0600, new folders 0700) or migrating it first.

        Raises:
            Misconfigured: it cannot be opened or written, or is no database.
            Conflict: a newer version of this program wrote it.
        """
        self._path = path
        self._seal = seal
        self._lock = threading.Lock()
        with self._errors():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.touch(mode=0o600)  # SQLite gives the log beside it the same mode
            if path.stat().st_mode & 0o077:
                path.chmod(0o600)
            self._db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
            self._synchronous = "NORMAL"
            try:
                self._db.execute("PRAGMA synchronous = NORMAL")
                self._db.execute("PRAGMA journal_mode = WAL")
                self._db.execute("PRAGMA foreign_keys = ON")
                migrate(self._db, known_migrations() if migrations is None else migrations, str(path))
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Fold the log into the file and close it. May be repeated."""
        with self._lock, self._errors():
            self._db.close()

    # infrastructures

    def add_infrastructure(self, record: InfrastructureRecord) -> None:
        with self.on_disk() as db:
            self.insert(db, record)

    def infrastructure(self, id_or_name: str) -> InfrastructureRecord:
        with self.transaction("BEGIN") as db:
            row = db.execute(
                "SELECT * FROM infrastructure WHERE id = ?1 OR name = ?1 ORDER BY id = ?1 DESC", (id_or_name,)
            ).fetchone()
            if row is None and len(id_or_name) >= _SHORTEST_PREFIX:
                fits = db.execute(
                    "SELECT * FROM infrastructure WHERE substr(id, 1, ?) = ? ORDER BY id",
                    (len(id_or_name), id_or_name),
                ).fetchall()
                if len(fits) > 1:
                    names = ", ".join(f"{fit['id']} ({fit['name']})" for fit in fits[:5])
                    raise Conflict(
                        f"{len(fits)} infrastructures begin with {id_or_name!r}: {names}", "say more of the id"
                    )
                row = fits[0] if fits else None
            if row is None:
                raise NotFound(f"there is no infrastructure {id_or_name!r}", "`im list` shows those that there are")
            return self._read_infrastructure(db, row)

    def infrastructures(self) -> Sequence[InfrastructureRecord]:
        with self.transaction("BEGIN") as db:
            found = db.execute("SELECT * FROM infrastructure ORDER BY created_at DESC, rowid DESC").fetchall()
            return tuple(self._read_infrastructure(db, row) for row in found)

    def set_source(self, infrastructure: str, source: Source, now: float) -> None:
        with self.on_disk() as db:
            self.write_source(db, infrastructure, source, now)

    def set_outputs(self, infrastructure: str, outputs: Mapping[str, Value], now: float) -> None:
        with self.transaction() as db:
            self._touch(db, infrastructure, now, raise_revision=False)
            self._put_part(db, infrastructure, "outputs", encode_values(outputs))

    def remove_infrastructure(self, infrastructure: str) -> None:
        with self.transaction() as db:
            db.execute("DELETE FROM infrastructure WHERE id = ?", (infrastructure,))

    # nodes

    def nodes(self, infrastructure: str) -> Sequence[NodeRecord]:
        with self.transaction("BEGIN") as db:
            found = db.execute(
                "SELECT * FROM node WHERE infrastructure = ? ORDER BY group_name, group_index, name", (infrastructure,)
            ).fetchall()
        return tuple(rows.read_node(row, self._open(row["sealed"])) for row in found)

    def node_counts(self) -> Mapping[str, Mapping[Phase, int]]:
        counts: dict[str, dict[Phase, int]] = {}
        with self.transaction("BEGIN") as db:
            for row in db.execute("SELECT infrastructure, phase, count(*) AS n FROM node GROUP BY 1, 2"):
                counts.setdefault(row["infrastructure"], {})[Phase(row["phase"])] = row["n"]
        return counts

    def put_node(self, record: NodeRecord) -> None:
        clear = rows.node_clear(record)
        row = rows.node_row(record, None if clear is None else self._seal.close(clear))
        with self.transaction() as db:
            self._touch(db, record.infrastructure, record.updated_at)
            db.execute(rows.PUT_NODE, row)

    def remove_node(self, infrastructure: str, name: str, now: float) -> None:
        with self.transaction() as db:
            gone = db.execute("DELETE FROM node WHERE infrastructure = ? AND name = ?", (infrastructure, name))
            if gone.rowcount:
                db.execute("DELETE FROM vm_number WHERE infrastructure = ? AND node = ?", (infrastructure, name))
                self._touch(db, infrastructure, now)

    # runs and their events

    def start_run(self, record: RunRecord) -> None:
        with self.transaction() as db:
            self._must_exist(db, record.infrastructure)
            if db.execute("SELECT 1 FROM run WHERE id = ?", (record.id,)).fetchone():
                raise Conflict(f"the run {record.id} was started already")
            db.execute(rows.INSERT_RUN, rows.run_row(record))

    def end_run(self, run: str, state: RunState, summary: str, now: float) -> None:
        """Succeeds for a run that is gone: destroying removes the infrastructure with its own run."""
        with self.transaction() as db:
            db.execute(
                "UPDATE run SET state = ?, summary = ?, ended_at = ? WHERE id = ?",
                (state.value, storable(summary), now, run),
            )

    def runs(self, infrastructure: str) -> Sequence[RunRecord]:
        with self.transaction("BEGIN") as db:
            found = db.execute(
                "SELECT * FROM run WHERE infrastructure = ? ORDER BY started_at DESC, rowid DESC", (infrastructure,)
            ).fetchall()
        return tuple(rows.read_run(row) for row in found)

    def add_events(self, events: Sequence[EventRecord]) -> None:
        """Drop the events of runs that are gone, as `end_run` does."""
        with self.transaction() as db:
            db.executemany(rows.INSERT_EVENT, [rows.event_row(event) for event in events])

    def events(self, run: str) -> Sequence[EventRecord]:
        """In the order in which they were added."""
        with self.transaction("BEGIN") as db:
            found = db.execute("SELECT * FROM event WHERE run = ? ORDER BY number", (run,)).fetchall()
        return tuple(rows.read_event(row) for row in found)

    # below: one transaction, its errors, and what several methods do inside one

    @contextmanager
    def transaction(self, begin: str = "BEGIN IMMEDIATE", synchronous: str = "NORMAL") -> Iterator[sqlite3.Connection]:
        """Give the connection inside of one transaction: for this store, and for others in the same file."""
        with self._lock, self._errors():
            if synchronous != self._synchronous:
                self._db.execute(f"PRAGMA synchronous = {synchronous}")
                self._synchronous = synchronous
            self._db.execute(begin)
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk ends the transaction by itself
                    self._db.execute("ROLLBACK")
                raise

    def on_disk(self) -> AbstractContextManager[sqlite3.Connection]:
        """Wait for the disk too, against loss of power: without its id and key an infrastructure is an orphan.

        All else is found again at the provider, and only has to survive a crash of this process.
        """
        return self.transaction(synchronous="FULL")

    def insert(self, db: sqlite3.Connection, record: InfrastructureRecord) -> None:
        """Add an infrastructure inside of a transaction. Raises `Conflict` if the id or the name is taken."""
        taken = db.execute(
            "SELECT id, name FROM infrastructure WHERE id IN (?1, ?2) OR name IN (?1, ?2)", (record.id, record.name)
        ).fetchone()
        if taken is not None:
            raise Conflict(f"there is an infrastructure {taken['name']} ({taken['id']}) already", "choose another name")
        db.execute(rows.INSERT_INFRASTRUCTURE, rows.infrastructure_row(record))
        for part, clear in rows.infrastructure_parts(record).items():
            self._put_part(db, record.id, part, clear)

    def source_in(self, db: sqlite3.Connection, infrastructure: str) -> Source | None:
        """Return the source inside of a transaction; None where there is no such infrastructure."""
        row = db.execute(
            "SELECT sealed FROM sealed_part WHERE infrastructure = ? AND part = 'source'", (infrastructure,)
        ).fetchone()
        return None if row is None else decode_source(self._seal.open(row["sealed"]))

    def write_source(self, db: sqlite3.Connection, infrastructure: str, source: Source, now: float) -> None:
        """Replace the source inside of a transaction."""
        self._touch(db, infrastructure, now)
        self._put_part(db, infrastructure, "source", encode_source(source))

    def seal(self, clear: str) -> bytes:
        """Seal text with the key of this store."""
        return self._seal.close(clear)

    def unseal(self, sealed: bytes | None) -> str | None:
        """Open what `seal` made; None stays None."""
        return self._open(sealed)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise _translated(error, self._path) from error

    def _read_infrastructure(self, db: sqlite3.Connection, row: sqlite3.Row) -> InfrastructureRecord:
        parts = db.execute("SELECT part, sealed FROM sealed_part WHERE infrastructure = ?", (row["id"],))
        return rows.read_infrastructure(row, {part["part"]: self._seal.open(part["sealed"]) for part in parts})

    def _put_part(self, db: sqlite3.Connection, infrastructure: str, part: str, clear: str) -> None:
        db.execute(rows.PUT_PART, (infrastructure, part, self._seal.close(clear)))

    def _open(self, sealed: bytes | None) -> str | None:
        return None if sealed is None else self._seal.open(sealed)

    def _touch(self, db: sqlite3.Connection, infrastructure: str, now: float, *, raise_revision: bool = True) -> None:
        done = db.execute(
            "UPDATE infrastructure SET revision = revision + ?, updated_at = max(updated_at, ?) WHERE id = ?",
            (int(raise_revision), now, infrastructure),
        )
        if not done.rowcount:
            raise NotFound(f"there is no infrastructure {infrastructure!r} any more")

    def _must_exist(self, db: sqlite3.Connection, infrastructure: str) -> None:
        if db.execute("SELECT 1 FROM infrastructure WHERE id = ?", (infrastructure,)).fetchone() is None:
            raise NotFound(f"there is no infrastructure {infrastructure!r} any more")


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
