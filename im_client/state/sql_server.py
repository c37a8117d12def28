"""A server's records in the same database as the infrastructures, in SQL that both databases share."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from im_client.state.codec import storable
from im_client.state.database import Connection
from im_client.state.server import (
    Acceptance,
    AccountRecord,
    AnswerRecord,
    FormerRecord,
    OperationKind,
    OperationRecord,
    OperationState,
    Outdated,
    Role,
)
from im_client.state.sql_images import SqlImages, add_image, keep_images
from im_client.state.sql_store import SqlStore
from im_client.state.sql_tokens import SqlTokens, put_token
from infracore.errors import Conflict, NotFound

__all__ = ["SqlServerStore", "read_operation"]

_PUT_OPERATION: Final = """
    INSERT INTO operation (
        id, infrastructure, kind, arguments, account, state, created_at, started_at, ended_at, run, summary, error, hint
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""


class _Arguments(msgspec.Struct, frozen=True):
    nodes: tuple[str, ...] = ()
    configure: bool = True
    skip_hooks: bool = False


class SqlServerStore(SqlImages, SqlTokens):
    """See the protocol `ServerStore`. Shares the database of a `SqlStore`, which its owner closes."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    # changes

    def accept(self, acceptance: Acceptance, now: float) -> Mapping[str, int]:
        operation = acceptance.operation
        with self._store.database.write(operation.infrastructure, on_disk=True) as db:
            if acceptance.new is not None:
                self._store.insert(db, acceptance.new)
                keep_images(db, acceptance.new.id)
                db.execute(
                    "INSERT INTO member (infrastructure, account, role) VALUES (?, ?, ?)",
                    (acceptance.new.id, acceptance.owner, Role.OWNER.value),
                )
            elif acceptance.source is not None:
                if self._store.source_in(db, operation.infrastructure) != acceptance.source_before:
                    raise Conflict("somebody else has changed what is wanted meanwhile", "look again, then repeat it")
                self._store.write_source(db, operation.infrastructure, acceptance.source, now)
            version = _source_version(db, operation.infrastructure)
            if acceptance.if_version not in {None, version}:
                raise Outdated(
                    f"the infrastructure has changed: it is version {version}, not {acceptance.if_version}",
                    "read it again and repeat the change with the new ETag",
                )
            if acceptance.source is not None:
                db.execute(
                    "UPDATE infrastructure SET source_version = source_version + 1 WHERE id = ?",
                    (operation.infrastructure,),
                )
            db.execute(_PUT_OPERATION, _operation_row(operation))
            if acceptance.image is not None:
                add_image(db, acceptance.image, acceptance.most_images)
            if acceptance.token is not None:
                put_token(db, acceptance.token, replaces=True)
            if acceptance.request is not None:
                db.execute(
                    "UPDATE answer SET operation = ? WHERE account = ? AND key = ?", (operation.id, *acceptance.request)
                )
            self._accepted(db, operation)
            return _number(db, operation.infrastructure, acceptance.new_nodes)

    def _accepted(self, db: Connection, operation: OperationRecord) -> None:
        """Do what belongs to the transaction of an acceptance: nothing, where this process does the work itself."""

    def operation(self, operation: str) -> OperationRecord:
        with self._store.database.read() as db:
            row = db.execute("SELECT * FROM operation WHERE id = ?", (operation,)).fetchone()
        if row is None:
            raise NotFound(f"there is no operation {operation!r}")
        return read_operation(row)

    def operations(self, infrastructure: str) -> Sequence[OperationRecord]:
        with self._store.database.read() as db:
            found = db.execute(
                "SELECT * FROM operation WHERE infrastructure = ? ORDER BY created_at DESC, rowid DESC",
                (infrastructure,),
            ).fetchall()
        return tuple(read_operation(row) for row in found)

    def unfinished(self) -> Sequence[OperationRecord]:
        with self._store.database.read() as db:
            found = db.execute("SELECT * FROM operation WHERE ended_at IS NULL ORDER BY created_at, rowid").fetchall()
        return tuple(read_operation(row) for row in found)

    def put_operation(self, record: OperationRecord) -> None:
        with self._store.database.write(record.infrastructure, fence=record.infrastructure) as db:
            db.execute(
                "UPDATE operation SET state = ?, started_at = ?, ended_at = ?, run = ?, summary = ?, error = ?, "
                "hint = ? WHERE id = ?",
                (
                    record.state.value,
                    record.started_at,
                    record.ended_at,
                    record.run,
                    storable(record.summary),
                    storable(record.error),
                    storable(record.hint),
                    record.id,
                ),
            )

    def source_version(self, infrastructure: str) -> int:
        with self._store.database.read() as db:
            return _source_version(db, infrastructure)

    def infrastructure_ids(self) -> Sequence[str]:
        with self._store.database.read() as db:
            return [
                row["id"] for row in db.execute("SELECT id FROM infrastructure ORDER BY created_at DESC, rowid DESC")
            ]

    # VMs

    def vm_numbers(self, infrastructure: str) -> Mapping[str, int]:
        with self._store.database.read() as db:
            return _numbers(db, infrastructure)

    def number_vms(self, infrastructure: str, nodes: Sequence[str]) -> Mapping[str, int]:
        with self._store.database.write(infrastructure) as db:
            _number(db, infrastructure, nodes)
            return _numbers(db, infrastructure)

    def forget_vms(self, infrastructure: str, nodes: Sequence[str]) -> None:
        with self._store.database.write(infrastructure) as db:
            db.executemany(
                "DELETE FROM vm_number WHERE infrastructure = ? AND node = ?", [(infrastructure, n) for n in nodes]
            )

    # who may do what

    def members(self, infrastructure: str) -> Mapping[str, Role]:
        with self._store.database.read() as db:
            found = db.execute(
                "SELECT account, role FROM member WHERE infrastructure = ? ORDER BY account", (infrastructure,)
            ).fetchall()
        return {row["account"]: Role(row["role"]) for row in found}

    def set_member(self, infrastructure: str, account: str, role: Role, *, alone: bool = False) -> None:
        with self._store.database.write(infrastructure) as db:
            _source_version(db, infrastructure)
            if alone:
                db.execute("DELETE FROM member WHERE infrastructure = ?", (infrastructure,))
            db.execute(
                "INSERT INTO member (infrastructure, account, role) VALUES (?, ?, ?) "
                "ON CONFLICT (infrastructure, account) DO UPDATE SET role = excluded.role",
                (infrastructure, account, role.value),
            )

    def memberships(self, account: str) -> Mapping[str, Role]:
        with self._store.database.read() as db:
            found = db.execute("SELECT infrastructure, role FROM member WHERE account = ?", (account,)).fetchall()
        return {row["infrastructure"]: Role(row["role"]) for row in found}

    def account(self, name: str) -> AccountRecord | None:
        with self._store.database.read() as db:
            row = db.execute("SELECT * FROM account WHERE name = ?", (name,)).fetchone()
        return None if row is None else _read_account(row)

    def accounts(self) -> Sequence[AccountRecord]:
        with self._store.database.read() as db:
            found = db.execute("SELECT * FROM account ORDER BY name").fetchall()
        return tuple(_read_account(row) for row in found)

    def put_account(self, record: AccountRecord) -> None:
        with self._store.database.write(record.name, on_disk=True) as db:
            db.execute(
                "INSERT INTO account (name, password_hash, is_admin, created_at) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (name) DO UPDATE SET password_hash = excluded.password_hash, is_admin = excluded.is_admin",
                (record.name, record.password_hash, int(record.is_admin), record.created_at),
            )

    def remove_account(self, name: str) -> None:
        with self._store.database.write(name, on_disk=True) as db:
            db.execute("DELETE FROM account WHERE name = ?", (name,))

    # answers, vault, statistics

    def begin_answer(self, account: str, key: str, digest: bytes, now: float, oldest: float) -> AnswerRecord | None:
        with self._store.database.write(f"answer {account} {key}") as db:
            db.execute("DELETE FROM answer WHERE created_at < ?", (oldest,))
            row = db.execute("SELECT * FROM answer WHERE account = ? AND key = ?", (account, key)).fetchone()
            if row is None:
                db.execute(
                    "INSERT INTO answer (account, key, digest, created_at) VALUES (?, ?, ?, ?)",
                    (account, key, digest, now),
                )
                return None
        return AnswerRecord(row["digest"], row["status"], self._store.unseal(row["sealed"]) or "", row["operation"])

    def forget_unanswered(self) -> None:
        with self._store.database.write("answers") as db:
            db.execute("DELETE FROM answer WHERE status IS NULL AND operation = ''")

    def end_answer(self, account: str, key: str, answer: AnswerRecord) -> None:
        with self._store.database.write(f"answer {account} {key}") as db:
            db.execute(
                "UPDATE answer SET status = ?, sealed = ? WHERE account = ? AND key = ?",
                (answer.status, self._store.seal(answer.text), account, key),
            )

    def forget_answer(self, account: str, key: str) -> bool:
        with self._store.database.write(f"answer {account} {key}") as db:
            db.execute("DELETE FROM answer WHERE account = ? AND key = ? AND operation = ''", (account, key))
            left = db.execute("SELECT 1 FROM answer WHERE account = ? AND key = ?", (account, key)).fetchone()
        return left is None

    def vault(self, account: str) -> Mapping[str, bytes]:
        with self._store.database.read() as db:
            found = db.execute(
                "SELECT id, sealed FROM vault_entry WHERE account = ? ORDER BY id", (account,)
            ).fetchall()
        return {row["id"]: row["sealed"] for row in found}

    def put_vault(self, account: str, entry: str, sealed: bytes | None) -> None:
        with self._store.database.write(account, on_disk=True) as db:
            if sealed is None:
                db.execute("DELETE FROM vault_entry WHERE account = ? AND id = ?", (account, entry))
            else:
                db.execute(
                    "INSERT INTO vault_entry (account, id, sealed) VALUES (?, ?, ?) "
                    "ON CONFLICT (account, id) DO UPDATE SET sealed = excluded.sealed",
                    (account, entry, sealed),
                )

    def add_former(self, record: FormerRecord) -> None:
        with self._store.database.write(record.infrastructure) as db:
            db.execute(
                "INSERT INTO former (infrastructure, account, deleted_at, facts) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (infrastructure) DO UPDATE SET account = excluded.account, "
                "deleted_at = excluded.deleted_at, facts = excluded.facts",
                (
                    record.infrastructure,
                    record.account,
                    record.deleted_at,
                    msgspec.json.encode(record.facts).decode(),
                ),
            )

    def former(self, since: float) -> Sequence[FormerRecord]:
        with self._store.database.read() as db:
            found = db.execute("SELECT * FROM former WHERE deleted_at >= ? ORDER BY deleted_at", (since,)).fetchall()
        return tuple(
            FormerRecord(row["infrastructure"], row["account"], row["deleted_at"], msgspec.json.decode(row["facts"]))
            for row in found
        )


def _source_version(db: Connection, infrastructure: str) -> int:
    row = db.execute("SELECT source_version FROM infrastructure WHERE id = ?", (infrastructure,)).fetchone()
    if row is None:
        raise NotFound(f"there is no infrastructure {infrastructure!r} any more")
    return int(row["source_version"])


def _numbers(db: Connection, infrastructure: str) -> dict[str, int]:
    found = db.execute("SELECT node, number FROM vm_number WHERE infrastructure = ? ORDER BY number", (infrastructure,))
    return {row["node"]: row["number"] for row in found}


def _number(db: Connection, infrastructure: str, nodes: Sequence[str]) -> dict[str, int]:
    """Number nodes inside of a transaction; return the numbers of these nodes."""
    known = _numbers(db, infrastructure) if nodes else {}
    fresh = [node for node in dict.fromkeys(nodes) if node not in known]
    if fresh:
        row = db.execute(
            "UPDATE infrastructure SET next_vm = next_vm + ? WHERE id = ? RETURNING next_vm",
            (len(fresh), infrastructure),
        ).fetchone()
        if row is None:
            raise NotFound(f"there is no infrastructure {infrastructure!r} any more")
        first = int(row["next_vm"]) - len(fresh)
        given = {node: first + place for place, node in enumerate(fresh)}
        db.executemany(
            "INSERT INTO vm_number (infrastructure, node, number) VALUES (?, ?, ?)",
            [(infrastructure, node, number) for node, number in given.items()],
        )
        known |= given
    return {node: known[node] for node in nodes}


def _operation_row(record: OperationRecord) -> tuple[object, ...]:
    arguments = _Arguments(record.nodes, record.configure, record.skip_hooks)
    return (
        record.id,
        record.infrastructure,
        record.kind.value,
        msgspec.json.encode(arguments).decode(),
        record.account,
        record.state.value,
        record.created_at,
        record.started_at,
        record.ended_at,
        record.run,
        storable(record.summary),
        storable(record.error),
        storable(record.hint),
    )


def read_operation(row: Any) -> OperationRecord:
    """Turn a row of `operation` into its record."""
    arguments = msgspec.json.decode(row["arguments"], type=_Arguments)
    return OperationRecord(
        id=row["id"],
        infrastructure=row["infrastructure"],
        kind=OperationKind(row["kind"]),
        account=row["account"],
        created_at=row["created_at"],
        nodes=arguments.nodes,
        configure=arguments.configure,
        skip_hooks=arguments.skip_hooks,
        state=OperationState(row["state"]),
        started_at=row["started_at"],
        ended_at=row["ended_at"],
        run=row["run"],
        summary=row["summary"],
        error=row["error"],
        hint=row["hint"],
    )


def _read_account(row: Any) -> AccountRecord:
    return AccountRecord(row["name"], row["password_hash"], bool(row["is_admin"]), row["created_at"])
