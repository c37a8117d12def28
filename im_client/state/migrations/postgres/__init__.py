"""The schema of the PostgreSQL store, step by step, and that of the job queue in the same database.

A migration that has been released is never changed; a new one is added behind it.
May import: psycopg, `infracore`. Never: reads or writes records.
Tests: `tests/im_client/state/test_postgres_files.py`.
"""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, Final

import psycopg

from infracore.errors import Conflict

__all__ = ["known_migrations", "known_queue", "migrate"]

_LOCK: Final = 0x696D5F636C756573
"""Of all who bring the schema up to date (`im_clues` in ASCII)."""
_VERSIONS: Final = "CREATE TABLE im_schema (part TEXT PRIMARY KEY, version TEXT NOT NULL)"


def known_migrations() -> tuple[str, ...]:
    """Return the SQL of every migration; the first one makes version 1."""
    found = sorted((f for f in files(__name__).iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return tuple(f.read_text("utf-8") for f in found)


def known_queue() -> tuple[str, Mapping[str, str]]:
    """Return the whole schema of the installed procrastinate, and name -> SQL of its migrations, in their order."""
    from procrastinate.schema import SchemaManager

    folder = files("procrastinate.sql") / "migrations"
    found = sorted((f for f in folder.iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return SchemaManager.get_schema(), {f.name: f.read_text("utf-8") for f in found}


def migrate(
    connection: "psycopg.Connection[Any]",
    migrations: Sequence[str],
    queue: tuple[str, Mapping[str, str]],
    name: str,
) -> None:
    """Bring a database to the newest version under a lock, in one transaction; current: only looks.

    Raises:
        Conflict: a newer program made this database (`name`, for the message), or it has a queue of somebody else.
        psycopg.Error: a step failed; the database is as it was.
    """
    newest = max(queue[1])
    if _versions(connection) == {"im": str(len(migrations)), "procrastinate": newest}:
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
        versions = _versions(connection)  # another process may have been quicker
        if not versions:
            _refuse_foreign(connection, name)
            connection.execute(_VERSIONS)
        version = int(versions.get("im", "0"))
        if version > len(migrations):
            raise _newer(name, f"schema {version}; this program knows {len(migrations)}")
        for script in migrations[version:]:
            connection.execute(script.encode())
        was = versions.get("procrastinate", "")
        if was > newest:
            raise _newer(name, f"the queue's schema is {was}; the installed procrastinate knows {newest}")
        if not was:
            connection.execute(queue[0].encode())
        else:
            for step, script in queue[1].items():
                if step > was:
                    connection.execute(script.encode())
        for part, now in (("im", str(len(migrations))), ("procrastinate", newest)):
            connection.execute(
                "INSERT INTO im_schema VALUES (%s, %s) ON CONFLICT (part) DO UPDATE SET version = excluded.version",
                (part, now),
            )


def _versions(connection: "psycopg.Connection[Any]") -> dict[str, str]:
    with connection.transaction():
        found = connection.execute("SELECT to_regclass('im_schema') IS NOT NULL AS there").fetchone()
        if found is None or not found["there"]:
            return {}
        return {row["part"]: row["version"] for row in connection.execute("SELECT part, version FROM im_schema")}


def _refuse_foreign(connection: "psycopg.Connection[Any]", name: str) -> None:
    taken = connection.execute(
        "SELECT c.relname AS name FROM pg_class c WHERE c.relname IN ('infrastructure', 'procrastinate_jobs') "
        "AND pg_table_is_visible(c.oid)"
    ).fetchone()
    if taken is not None:
        raise Conflict(f"{name} has a table {taken['name']} of another program", "make a database for im alone")


def _newer(name: str, how: str) -> Conflict:
    return Conflict(
        f"{name} was written by a newer version of this program ({how})",
        "install that version again, or set another database_url; nothing was changed",
    )
