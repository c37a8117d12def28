"""The records of callers' golden images, in SQL that both databases share."""

from collections.abc import Sequence
from typing import Any, Final

from im_client.state.codec import storable
from im_client.state.database import Connection
from im_client.state.server import ImageRecord
from im_client.state.sql_store import SqlStore
from infracore.errors import Conflict, QuotaExceeded

__all__ = ["SqlImages", "add_image", "keep_images"]

_ADD: Final = """
    INSERT INTO image (
        site, name, account, title, infrastructure, node, operation, auto_delete, created_at, restart
    ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"""


class SqlImages:
    """The part of `ServerStore` that is about images."""

    _store: SqlStore

    def images(self, account: str) -> Sequence[ImageRecord]:
        return self._images("account = ?", account)

    def images_of(self, infrastructure: str) -> Sequence[ImageRecord]:
        return self._images("infrastructure = ?", infrastructure)

    def images_at(self, site: str) -> Sequence[ImageRecord]:
        return self._images("site = ?", site)

    def image_by(self, operation: str) -> ImageRecord | None:
        return next(iter(self._images("operation = ?", operation)), None)

    def set_restart(self, operation: str, restart: bool) -> None:
        with self._store.database.write(operation) as db:
            db.execute("UPDATE image SET restart = ? WHERE operation = ?", (int(restart), operation))

    def remove_image(self, operation: str) -> None:
        with self._store.database.write(operation) as db:
            db.execute("DELETE FROM image WHERE operation = ?", (operation,))

    def _images(self, where: str, what: str) -> tuple[ImageRecord, ...]:
        with self._store.database.read() as db:
            found = db.execute(f"SELECT * FROM image WHERE {where} ORDER BY created_at DESC, name", (what,))  # noqa: S608
            return tuple(_read(row) for row in found)


def add_image(db: Connection, record: ImageRecord, most: int) -> None:
    """Write one down inside of a transaction.

    Raises:
        Conflict: the account has one of this title at this site. QuotaExceeded: it has `most` already (0: no limit).
    """
    row = db.execute("SELECT count(*) AS n FROM image WHERE account = ?", (record.account,)).fetchone()
    if most and row is not None and row["n"] >= most:
        raise QuotaExceeded(
            f"you have {row['n']} images, and one account has {most} at the most",
            "delete one first: DELETE /clouds/ID/images/NAME; whoever runs this server sets server.most_images",
        )
    added = db.execute(
        _ADD,
        (
            record.site,
            record.name,
            record.account,
            storable(record.title),
            record.infrastructure,
            record.node,
            record.operation,
            int(record.auto_delete),
            record.created_at,
            None,
        ),
    )
    if added.rowcount != 1:
        raise Conflict(f"you have an image {record.title!r} there already", "choose another name")


def keep_images(db: Connection, infrastructure: str) -> None:
    """Let images of an infrastructure that was not here before stay when it goes.

    Whoever takes one over says its id: that of one which is gone must not make its owner's images theirs to delete.
    """
    db.execute("UPDATE image SET auto_delete = 0 WHERE infrastructure = ?", (infrastructure,))


def _read(row: Any) -> ImageRecord:
    return ImageRecord(
        site=row["site"],
        name=row["name"],
        account=row["account"],
        title=row["title"],
        infrastructure=row["infrastructure"],
        node=row["node"],
        operation=row["operation"],
        auto_delete=bool(row["auto_delete"]),
        created_at=row["created_at"],
        restart=None if row["restart"] is None else bool(row["restart"]),
    )
