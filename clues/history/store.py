"""The history in one SQLite file.

Intents go to the disk itself (`synchronous = FULL`): an order that a power cut makes us forget would be an orphan for
as long as the driver does not list it. All else may be lost with the last seconds before a power cut, never with
`kill -9`. The file needs a local disk: the write-ahead log does not work over NFS (sqlite.org/wal.html).
"""

import contextlib
import re
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

import msgspec

from clues.decision import Decision, Memory
from clues.history.migrations import known_migrations, migrate
from clues.history.model import ActionRecord, MachineRecord, NodeChange, PodWait, Unwritable
from infracore.errors import Conflict, Misconfigured, NotFound

__all__ = ["History"]

_T = TypeVar("_T")
_BUSY_S: Final = 5.0
_MOST_REFS: Final = 2000
"""Pods named in a stored decision: with 100,000 of them it would be megabytes, and the recording has all."""
_PRUNED_AT_ONCE: Final = 5000
_PUT_ACTION: Final = (
    "INSERT INTO action VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (token) DO UPDATE SET"
    " machine = excluded.machine, node = excluded.node, phase = excluded.phase,"
    " ended_at = excluded.ended_at, body = excluded.body"
)


class History:
    """See the module's docstring. Safe under threads: one writer behind a lock, readers of their own.

    Every method raises `Unwritable` when the disk is full or the file cannot be written any more; the caller decides
    what it can do without.
    """

    def __init__(self, state_dir: Path, *, now: float) -> None:
        """Open `history.db` in the folder, making both (modes 0600, 0700) or bringing the schema up to date.

        A file that is no database or is damaged is set aside as `history.db.damaged-TIME`, and `notice` says so.

        Raises:
            Misconfigured: the folder cannot be made or written. Conflict: a newer version wrote the file.
        """
        self.path = state_dir / "history.db"
        self.notice = ""
        """What people must know about how it was opened; "" if nothing."""
        self._lock = threading.RLock()
        try:
            state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.path.touch(mode=0o600)
        except OSError as error:
            raise Misconfigured(
                f"cannot write in {state_dir}: {error}", "daemon.state_dir must be a folder that cluesd owns"
            ) from error
        try:
            self._db = self._opened()
        except sqlite3.OperationalError as error:
            raise Misconfigured(f"cannot open {self.path}: {error}", "is the disk full, or is it read-only?") from error
        except sqlite3.DatabaseError as error:
            aside = self.path.with_name(f"{self.path.name}.damaged-{int(now)}")
            self.path.replace(aside)
            for suffix in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").replace(f"{aside}{suffix}")
            self.notice = (
                f"the history was damaged ({error}); it was set aside as {aside} and a new one begun: timers and holds "
                "are lost, machines are found again by their drivers"
            )
            self.path.touch(mode=0o600)
            self._db = self._opened()

    @classmethod
    def for_reading(cls, path: Path) -> "History":
        """Return the history of a file for `records` alone: nothing is made, mended or set aside, no schema changed.

        Raises:
            NotFound: there is no such file. Conflict: another version wrote it.
        """
        if not path.is_file():
            raise NotFound(f"there is no history {path}", "cluesd keeps it as history.db in daemon.state_dir")
        found = cls.__new__(cls)
        found.path, found.notice = path, ""
        with found._reading() as db:
            version, known = int(db.execute("PRAGMA user_version").fetchone()[0]), len(known_migrations())
        if version != known:
            raise Conflict(f"{path} has schema {version}, and this version of clues knows {known}")
        return found

    def close(self) -> None:
        """Fold the log into the file and close it. May be repeated."""
        with self._lock, suppress(sqlite3.Error):
            self._db.close()

    # orders

    def put_actions(self, records: Sequence[ActionRecord], *, intent: bool = False) -> None:
        """Store actions as they are now, with the phase as a step. `intent`: return only once they are on the disk."""
        with self._transaction(on_disk=intent) as db:
            for record in records:
                ended = None if record.is_open else record.since
                row = (record.token, record.kind, record.pool, record.machine, record.node, record.phase)
                db.execute(_PUT_ACTION, (*row, record.created_at, ended, _text(record)))
                db.execute(
                    "INSERT INTO step (token, at, phase, error) VALUES (?, ?, ?, ?)",
                    (record.token, record.since, record.phase, _storable(record.error)),
                )

    def open_actions(self) -> tuple[ActionRecord, ...]:
        """Return what was under way, oldest first."""
        with self._reading() as db:
            rows = db.execute("SELECT body FROM action WHERE ended_at IS NULL ORDER BY created_at, token").fetchall()
        return tuple(msgspec.json.decode(row[0], type=ActionRecord) for row in rows)

    def known_tokens(self, tokens: Iterable[str]) -> frozenset[str]:
        """Return which of the tokens are ours."""
        with self._reading() as db:
            return frozenset(
                token for token in tokens if db.execute("SELECT 1 FROM action WHERE token = ?", (token,)).fetchone()
            )

    def action(self, token: str) -> ActionRecord | None:
        """Return the action of a token, open or ended."""
        with self._reading() as db:
            row = db.execute("SELECT body FROM action WHERE token = ?", (token,)).fetchone()
        return None if row is None else msgspec.json.decode(row[0], type=ActionRecord)

    # machines

    def put_machines(self, records: Sequence[MachineRecord]) -> None:
        """Store machines as they are now."""
        with self._transaction() as db:
            db.executemany(
                "INSERT OR REPLACE INTO machine VALUES (?, ?, ?)",
                [(record.machine.pool, record.machine.name, _text(record)) for record in records],
            )

    def remove_machines(self, keys: Sequence[tuple[str, str]]) -> None:
        """Forget machines, given as (pool, name)."""
        with self._transaction() as db:
            db.executemany("DELETE FROM machine WHERE pool = ? AND name = ?", keys)

    def machines(self) -> tuple[MachineRecord, ...]:
        """Return all machines that are remembered."""
        with self._reading() as db:
            rows = db.execute("SELECT body FROM machine ORDER BY pool, name").fetchall()
        return tuple(msgspec.json.decode(row[0], type=MachineRecord) for row in rows)

    # what is kept once

    def put_memory(self, memory: Memory, now: float) -> None:
        """Store what the next decision has to remember."""
        self.keep("memory", memory, now)

    def memory(self) -> Memory:
        """Return what was stored last; an empty one where there is none or it cannot be read any more."""
        return self.kept("memory", Memory) or Memory()

    def keep(self, name: str, value: object, now: float) -> None:
        """Store a value under a name, in place of the one before."""
        with self._transaction() as db:
            db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", (name, now, _text(value)))

    def kept(self, name: str, kind: type[_T]) -> _T | None:
        """Return what is stored under a name; None where there is nothing of that kind."""
        with self._reading() as db:
            row = db.execute("SELECT body FROM kept WHERE name = ?", (name,)).fetchone()
        try:
            return None if row is None else msgspec.json.decode(row[0], type=kind)
        except msgspec.DecodeError:
            return None

    # what happened

    def add(
        self,
        *,
        nodes: Sequence[NodeChange] = (),
        waits: Sequence[PodWait] = (),
        decision: Decision | None = None,
        pass_ms: float = 0.0,
        pending: int = 0,
        recording: str = "",
        memory: Memory | None = None,
        events: Sequence[tuple[float, str, object]] = (),
    ) -> None:
        """Store what one pass saw and decided, in one transaction.

        `events` are (when, kind, anything that JSON can hold).
        """
        if not (nodes or waits or decision or memory or events):
            return
        with self._transaction() as db:
            db.executemany(
                "INSERT INTO node_change (at, name, pool, machine, state, busy) VALUES (?, ?, ?, ?, ?, ?)",
                [(c.at, c.name, c.pool, c.machine, c.state, c.busy) for c in nodes],
            )
            db.executemany(
                "INSERT INTO pod_wait (ended_at, since, namespace, name, uid, node) VALUES (?, ?, ?, ?, ?, ?)",
                [(w.ended_at, w.since, w.namespace, w.name, w.uid, w.node) for w in waits],
            )
            if decision is not None:
                db.execute(
                    "INSERT INTO decision (at, pass_ms, pending, recording, body) VALUES (?, ?, ?, ?, ?)",
                    (decision.at, pass_ms, pending, recording, _text(_short(decision))),
                )
            if memory is not None:
                at = decision.at if decision is not None else 0.0
                db.execute("INSERT OR REPLACE INTO kept VALUES ('memory', ?, ?)", (at, _text(memory)))
            db.executemany(
                "INSERT INTO event (at, kind, body) VALUES (?, ?, ?)",
                [(at, kind, _text(body)) for at, kind, body in events],
            )

    def records(self, *, since: float, until: float) -> Iterator[Mapping[str, object]]:
        """Yield what happened from `since` to before `until`, by time, as mappings with `type` and `at`.

        `node`: `name`, `pool`, `machine`, `state`, `busy`; first, with `initial: true` and `at` = `since`, the state
        that each node was in when the period began. `pod`: `namespace`, `name`, `uid`, `since`, `wait_s`, `node`.
        `action`: the fields of `ActionRecord` and `steps` (list of `at`, `phase`, `error`); `at` is its beginning; it
        is there if any of it lies in the period. `decision`: `pass_ms`, `pending`, `recording` and the fields of
        `Decision` but `nodes` and `memory`. Others, by their kind: `started`, `stopped`, `pools` (`pools`: list of
        `name`, `price`, `watts_off`, `watts_idle`, `watts_busy`, `min`, `max`; first the one in force when the period
        began), `leader`, `hook`, `problem`, `control`.
        """
        with self._reading() as db:
            found = [*_at_beginning(db, since), *_within(db, since, until)]
        found.sort(key=lambda item: item[:2])
        return (record for _, _, record in found)

    def prune(self, before: float) -> int:
        """Forget what ended before a time, at most some thousand rows a call; returns how many.

        The last state of a node stays: a report over a later period begins with it.
        """
        with self._transaction() as db:
            gone = 0
            for statement in (
                "DELETE FROM action WHERE token IN (SELECT token FROM action WHERE ended_at < ?1 LIMIT ?2)",
                "DELETE FROM decision WHERE number IN (SELECT number FROM decision WHERE at < ?1 LIMIT ?2)",
                "DELETE FROM pod_wait WHERE number IN (SELECT number FROM pod_wait WHERE ended_at < ?1 LIMIT ?2)",
                "DELETE FROM event WHERE number IN (SELECT number FROM event WHERE at < ?1 AND (kind != 'pools' OR at <"
                " (SELECT max(at) FROM event WHERE kind = 'pools' AND at < ?1)) LIMIT ?2)",
                "DELETE FROM node_change WHERE number IN (SELECT number FROM node_change AS old WHERE at < ?1 AND"
                " (state = 'gone' OR EXISTS (SELECT 1 FROM node_change AS new WHERE new.name = old.name AND"
                " new.at > old.at AND new.at < ?1)) LIMIT ?2)",
            ):
                gone += db.execute(statement, (before, _PRUNED_AT_ONCE)).rowcount
            return gone

    # below: connections, transactions, errors

    def _opened(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        with contextlib.ExitStack() as taken:
            taken.callback(db.close)
            db.execute("PRAGMA synchronous = NORMAL")
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA foreign_keys = ON")
            said = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if said != "ok":
                raise sqlite3.DatabaseError(said)
            migrate(db, known_migrations(), str(self.path))
            _look_through(db)
            taken.pop_all()
        self._on_disk = False
        return db

    @contextmanager
    def _transaction(self, *, on_disk: bool = False) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                if on_disk != self._on_disk:
                    self._db.execute(f"PRAGMA synchronous = {'FULL' if on_disk else 'NORMAL'}")
                    self._on_disk = on_disk
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                finally:
                    if self._db.in_transaction:  # something failed; a full disk ends the transaction by itself
                        self._db.execute("ROLLBACK")
            except (sqlite3.Error, OSError) as error:
                raise Unwritable(
                    f"cannot write the history {self.path}: {error}", "make room on the disk of daemon.state_dir"
                ) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Read beside the writer: a long report keeps nobody waiting."""
        try:
            db = sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)
            try:
                db.execute("BEGIN")
                yield db
            finally:
                db.close()
        except sqlite3.Error as error:
            raise Unwritable(f"cannot read the history {self.path}: {error}") from error


def _look_through(db: sqlite3.Connection) -> None:
    """See that what the daemon begins with can be read, as quick_check cannot. Raises DatabaseError."""
    try:
        for kind, query in (
            (ActionRecord, "SELECT body FROM action WHERE ended_at IS NULL"),
            (MachineRecord, "SELECT body FROM machine"),
        ):
            for (body,) in db.execute(query):
                msgspec.json.decode(body, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise sqlite3.DatabaseError(f"a row cannot be read: {error}") from error
    except sqlite3.OperationalError as error:
        if not re.search("no such table|could not decode", str(error), re.IGNORECASE):
            raise
        raise sqlite3.DatabaseError(str(error)) from error


_Found: TypeAlias = tuple[float, int, dict[str, object]]
"""When, a number that keeps the order of what came at once, and the record."""


def _at_beginning(db: sqlite3.Connection, since: float) -> Iterator[_Found]:
    first: dict[str, object] = {"at": since, "initial": True}
    pools = db.execute(
        "SELECT body FROM event WHERE kind = 'pools' AND at < ? ORDER BY at DESC LIMIT 1", (since,)
    ).fetchone()
    if pools is not None:
        yield since, -2, {**_mapping(pools[0]), "type": "pools", **first}
    for row in db.execute(
        "SELECT name, pool, machine, state, busy, max(at) FROM node_change WHERE at < ? GROUP BY name", (since,)
    ):
        if row[3] != "gone":
            yield since, -1, {"type": "node", **first, **_node(row)}


def _within(db: sqlite3.Connection, since: float, until: float) -> Iterator[_Found]:
    span = (since, until)
    for row in db.execute(
        "SELECT name, pool, machine, state, busy, at, number FROM node_change WHERE at >= ? AND at < ?", span
    ):
        yield row[5], row[6], {"type": "node", "at": row[5], **_node(row)}
    for row in db.execute(
        "SELECT ended_at, since, namespace, name, uid, node, number FROM pod_wait WHERE ended_at >= ? AND ended_at < ?",
        span,
    ):
        pod = dict(zip(("since", "namespace", "name", "uid", "node"), row[1:6], strict=True))
        yield row[0], row[6], {"type": "pod", "at": row[0], "wait_s": row[0] - row[1], **pod}
    for row in db.execute(
        "SELECT token, created_at, body FROM action WHERE created_at < ?2 AND (ended_at IS NULL OR ended_at >= ?1)",
        span,
    ):
        steps = [
            {"at": at, "phase": phase, "error": error}
            for at, phase, error in db.execute(
                "SELECT at, phase, error FROM step WHERE token = ? ORDER BY number", row[:1]
            )
        ]
        yield row[1], 0, {**_mapping(row[2]), "type": "action", "at": row[1], "steps": steps}
    for row in db.execute(
        "SELECT at, pass_ms, pending, recording, body, number FROM decision WHERE at >= ? AND at < ?", span
    ):
        said = {"pass_ms": row[1], "pending": row[2], "recording": row[3]}
        yield row[0], row[5], {**_mapping(row[4]), **said, "type": "decision", "at": row[0]}
    for row in db.execute("SELECT at, kind, body, number FROM event WHERE at >= ? AND at < ?", span):
        yield row[0], row[3], {**_mapping(row[2]), "type": row[1], "at": row[0]}


def _short(decision: Decision) -> dict[str, Any]:
    names = ("power_on", "remove", "replace", "cancel", "slurm_on", "slurm_off", "notes")
    most = min(50, max(1, _MOST_REFS // max(1, len(decision.pods))))
    pods = [msgspec.structs.replace(verdict, pods=verdict.pods[:most]) for verdict in decision.pods]
    return {**{name: getattr(decision, name) for name in names}, "pods": pods}


def _text(value: object) -> str:
    return _storable(msgspec.json.encode(value).decode())


def _storable(text: str) -> str:
    """SQLite holds no lone surrogates; JSON of a hostile name may."""
    return text.encode("utf-8", errors="replace").decode()


def _mapping(text: str) -> dict[str, object]:
    found = msgspec.json.decode(text)
    return found if isinstance(found, dict) else {"value": found}


def _node(row: Sequence[Any]) -> dict[str, object]:
    return dict(zip(("name", "pool", "machine", "state", "busy"), row[:5], strict=True))
