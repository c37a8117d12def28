"""The records of tokens, in SQL that both databases share."""

from collections.abc import Sequence
from typing import Any, Final

from im_client.state.database import Connection
from im_client.state.server import Role, TokenRecord
from im_client.state.sql_store import SqlStore
from infracore.errors import Conflict, NotFound, QuotaExceeded

__all__ = ["SqlTokens", "put_token"]

_PUT: Final = """
    INSERT INTO access_token (id, name, account, digest, role, infrastructure, created_at, expires_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)"""
_MOST: Final = 100
"""Tokens of one infrastructure: whoever needs more has lost count of them."""


class SqlTokens:
    """The part of `ServerStore` that is about tokens."""

    _store: SqlStore

    def token(self, digest: bytes) -> TokenRecord | None:
        return next(iter(self._tokens("digest = ?", digest)), None)

    def tokens(self, account: str) -> Sequence[TokenRecord]:
        return self._tokens("account = ?", account)

    def tokens_of(self, infrastructure: str) -> Sequence[TokenRecord]:
        return self._tokens("infrastructure = ?", infrastructure)

    def put_token(self, record: TokenRecord) -> None:
        with self._store.database.write(record.infrastructure or record.account or "", on_disk=True) as db:
            put_token(db, record)

    def remove_token(self, token: str) -> None:
        with self._store.database.write(token, on_disk=True) as db:
            db.execute("DELETE FROM access_token WHERE id = ?", (token,))

    def _tokens(self, where: str, what: object) -> tuple[TokenRecord, ...]:
        with self._store.database.read() as db:
            found = db.execute(f"SELECT * FROM access_token WHERE {where} ORDER BY created_at, id", (what,))  # noqa: S608
            return tuple(_read(row) for row in found)


def put_token(db: Connection, record: TokenRecord, *, replaces: bool = False) -> None:
    """Write one down inside of a transaction; `replaces` removes one of the same name before.

    Raises:
        NotFound: its infrastructure is gone. Conflict: the infrastructure has one of this name.
        QuotaExceeded: it has too many.
    """
    infra = record.infrastructure
    if infra is not None:
        if db.execute("SELECT id FROM infrastructure WHERE id = ?", (infra,)).fetchone() is None:
            raise NotFound(f"there is no infrastructure {infra!r} any more")
        if replaces:
            db.execute("DELETE FROM access_token WHERE infrastructure = ? AND name = ?", (infra, record.name))
        names = [row["name"] for row in db.execute("SELECT name FROM access_token WHERE infrastructure = ?", (infra,))]
        if record.name in names:
            raise Conflict(f"there is a token {record.name!r} already", "revoke it first, or take another name")
        if len(names) >= _MOST:
            raise QuotaExceeded(f"there are {_MOST} tokens for this infrastructure", "revoke some first")
    db.execute(
        _PUT,
        (
            record.id,
            record.name,
            record.account,
            record.digest,
            record.role.value,
            infra,
            record.created_at,
            record.expires_at,
        ),
    )


def _read(row: Any) -> TokenRecord:
    return TokenRecord(
        id=row["id"],
        account=row["account"],
        digest=row["digest"],
        role=Role(row["role"]),
        created_at=row["created_at"],
        infrastructure=row["infrastructure"],
        expires_at=row["expires_at"],
        name=row["name"],
    )
