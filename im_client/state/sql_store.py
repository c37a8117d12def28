"""The store in SQL that SQLite and PostgreSQL share; see `im_client.state.database`."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from im_client.plan.model import Phase
from im_client.state import rows
from im_client.state.codec import decode_source, encode_source, encode_values, storable
from im_client.state.database import Connection, Database
from im_client.state.store import EventRecord, InfrastructureRecord, NodeRecord, RunRecord, RunState, Source, Terms
from im_client.topology.values import Value
from infracore.errors import Conflict, NotFound
from infracore.secrets import Seal

__all__ = ["SqlStore"]

_SHORTEST_PREFIX: Final = 4


class SqlStore:
    """See the protocol `Store`."""

    def __init__(self, database: Database, seal: Seal) -> None:
        self._database = database
        self._seal = seal
        self._runs: dict[str, str] = {}
        """Runs that this process has begun -> their infrastructure, whose lock their writes ask for."""

    @property
    def database(self) -> Database:
        """The database, for others that keep their records in it."""
        return self._database

    def close(self) -> None:
        """Close the database. May be repeated."""
        self._database.close()

    # infrastructures

    def add_infrastructure(self, record: InfrastructureRecord) -> None:
        with self._database.write(record.id, on_disk=True, fence=record.id) as db:
            self.insert(db, record)

    def infrastructure(self, id_or_name: str) -> InfrastructureRecord:
        with self._database.read() as db:
            row = db.execute(
                "SELECT * FROM infrastructure WHERE id = ? OR name = ? ORDER BY id = ? DESC", (id_or_name,) * 3
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
        with self._database.read() as db:
            found = db.execute("SELECT * FROM infrastructure ORDER BY created_at DESC, rowid DESC").fetchall()
            return tuple(self._read_infrastructure(db, row) for row in found)

    def expired(self, now: float) -> Sequence[str]:
        with self._database.read() as db:
            found = db.execute("SELECT id FROM infrastructure WHERE expires_at <= ? ORDER BY expires_at, id", (now,))
            return tuple(row["id"] for row in found.fetchall())

    def set_source(self, infrastructure: str, source: Source, now: float) -> None:
        with self._database.write(infrastructure, on_disk=True, fence=infrastructure) as db:
            self.write_source(db, infrastructure, source, now)

    def set_terms(self, infrastructure: str, terms: Terms, now: float) -> None:
        with self._database.write(infrastructure, on_disk=True, fence=infrastructure) as db:
            self._touch(db, infrastructure, now, raise_revision=False)
            db.execute(rows.SET_TERMS, (*rows.terms_row(terms), infrastructure))

    def set_outputs(self, infrastructure: str, outputs: Mapping[str, Value], now: float) -> None:
        with self._database.write(infrastructure, fence=infrastructure) as db:
            self._touch(db, infrastructure, now, raise_revision=False)
            self._put_part(db, infrastructure, "outputs", encode_values(outputs))

    def remove_infrastructure(self, infrastructure: str) -> None:
        with self._database.write(infrastructure, fence=infrastructure) as db:
            db.execute("DELETE FROM infrastructure WHERE id = ?", (infrastructure,))

    # nodes

    def nodes(self, infrastructure: str) -> Sequence[NodeRecord]:
        with self._database.read() as db:
            found = db.execute(
                "SELECT * FROM node WHERE infrastructure = ? ORDER BY group_name, group_index, name", (infrastructure,)
            ).fetchall()
        return tuple(rows.read_node(row, self._open(row["sealed"])) for row in found)

    def node_counts(self) -> Mapping[str, Mapping[Phase, int]]:
        counts: dict[str, dict[Phase, int]] = {}
        with self._database.read() as db:
            for row in db.execute("SELECT infrastructure, phase, count(*) AS n FROM node GROUP BY 1, 2"):
                counts.setdefault(row["infrastructure"], {})[Phase(row["phase"])] = row["n"]
        return counts

    def put_node(self, record: NodeRecord) -> None:
        clear = rows.node_clear(record)
        row = rows.node_row(record, None if clear is None else self._seal.close(clear))
        with self._database.write(record.infrastructure, fence=record.infrastructure) as db:
            self._touch(db, record.infrastructure, record.updated_at)
            db.execute(rows.PUT_NODE, row)

    def remove_node(self, infrastructure: str, name: str, now: float) -> None:
        with self._database.write(infrastructure, fence=infrastructure) as db:
            gone = db.execute("DELETE FROM node WHERE infrastructure = ? AND name = ?", (infrastructure, name))
            if gone.rowcount:
                db.execute("DELETE FROM vm_number WHERE infrastructure = ? AND node = ?", (infrastructure, name))
                self._touch(db, infrastructure, now)

    # runs and their events

    def start_run(self, record: RunRecord) -> None:
        with self._database.write(record.infrastructure, fence=record.infrastructure) as db:
            self._must_exist(db, record.infrastructure)
            if db.execute("SELECT 1 FROM run WHERE id = ?", (record.id,)).fetchone():
                raise Conflict(f"the run {record.id} was started already")
            db.execute(rows.INSERT_RUN, rows.run_row(record))
        self._runs[record.id] = record.infrastructure

    def end_run(self, run: str, state: RunState, summary: str, now: float) -> None:
        """Succeeds for a run that is gone: destroying removes the infrastructure with its own run."""
        with self._database.write(run, fence=self._runs.pop(run, "")) as db:
            db.execute(
                "UPDATE run SET state = ?, summary = ?, ended_at = ? WHERE id = ?",
                (state.value, storable(summary), now, run),
            )

    def runs(self, infrastructure: str) -> Sequence[RunRecord]:
        with self._database.read() as db:
            found = db.execute(
                "SELECT * FROM run WHERE infrastructure = ? ORDER BY started_at DESC, rowid DESC", (infrastructure,)
            ).fetchall()
        return tuple(rows.read_run(row) for row in found)

    def add_events(self, events: Sequence[EventRecord]) -> None:
        """Drop the events of runs that are gone, as `end_run` does."""
        if not events:
            return
        run = events[0].run
        with self._database.write(run, fence=self._runs.get(run, "")) as db:
            db.executemany(rows.INSERT_EVENT, [rows.event_row(event) for event in events])

    def events(self, run: str) -> Sequence[EventRecord]:
        """In the order in which they were added."""
        with self._database.read() as db:
            found = db.execute("SELECT * FROM event WHERE run = ? ORDER BY number", (run,)).fetchall()
        return tuple(rows.read_event(row) for row in found)

    # below: what several methods do inside of a transaction

    def insert(self, db: Connection, record: InfrastructureRecord) -> None:
        """Add an infrastructure inside of a transaction. Raises `Conflict` if the id or the name is taken."""
        taken = db.execute(
            "SELECT id, name FROM infrastructure WHERE id IN (?, ?) OR name IN (?, ?)",
            (record.id, record.name) * 2,
        ).fetchone()
        if taken is not None:
            raise Conflict(f"there is an infrastructure {taken['name']} ({taken['id']}) already", "choose another name")
        db.execute(rows.INSERT_INFRASTRUCTURE, rows.infrastructure_row(record))
        for part, clear in rows.infrastructure_parts(record).items():
            self._put_part(db, record.id, part, clear)
        if record.terms != Terms():
            db.execute(rows.SET_TERMS, (*rows.terms_row(record.terms), record.id))

    def source_in(self, db: Connection, infrastructure: str) -> Source | None:
        """Return the source inside of a transaction; None where there is no such infrastructure."""
        row = db.execute(
            "SELECT sealed FROM sealed_part WHERE infrastructure = ? AND part = 'source'", (infrastructure,)
        ).fetchone()
        return None if row is None else decode_source(self._seal.open(row["sealed"]))

    def write_source(self, db: Connection, infrastructure: str, source: Source, now: float) -> None:
        """Replace the source inside of a transaction."""
        self._touch(db, infrastructure, now)
        self._put_part(db, infrastructure, "source", encode_source(source))

    def seal(self, clear: str) -> bytes:
        """Seal text with the key of this store."""
        return self._seal.close(clear)

    def unseal(self, sealed: bytes | None) -> str | None:
        """Open what `seal` made; None stays None."""
        return self._open(sealed)

    def _read_infrastructure(self, db: Connection, row: Any) -> InfrastructureRecord:
        parts = db.execute("SELECT part, sealed FROM sealed_part WHERE infrastructure = ?", (row["id"],))
        return rows.read_infrastructure(row, {part["part"]: self._seal.open(part["sealed"]) for part in parts})

    def _put_part(self, db: Connection, infrastructure: str, part: str, clear: str) -> None:
        db.execute(rows.PUT_PART, (infrastructure, part, self._seal.close(clear)))

    def _open(self, sealed: bytes | None) -> str | None:
        return None if sealed is None else self._seal.open(sealed)

    def _touch(self, db: Connection, infrastructure: str, now: float, *, raise_revision: bool = True) -> None:
        done = db.execute(
            "UPDATE infrastructure SET revision = revision + ?, "
            "updated_at = CASE WHEN updated_at > ? THEN updated_at ELSE ? END WHERE id = ?",
            (int(raise_revision), now, now, infrastructure),
        )
        if not done.rowcount:
            raise NotFound(f"there is no infrastructure {infrastructure!r} any more")

    def _must_exist(self, db: Connection, infrastructure: str) -> None:
        if db.execute("SELECT 1 FROM infrastructure WHERE id = ?", (infrastructure,)).fetchone() is None:
            raise NotFound(f"there is no infrastructure {infrastructure!r} any more")
