"""The schema of the SQLite store, step by step: `NNNN_what.sql` takes a database from version NNNN-1 to NNNN.

A migration that has been released is never changed; a new one is added behind it.
May import: the standard library, `infracore`. Never: reads or writes records.
Tests: `tests/im_client/state/test_migrations.py`.
"""

import re
import sqlite3
from collections.abc import Iterator, Sequence
from importlib.resources import files

from infracore.errors import Conflict

__all__ = ["known_migrations", "migrate"]


def known_migrations() -> tuple[str, ...]:
    """Return the SQL of every migration; the first one makes version 1."""
    found = sorted((f for f in files(__name__).iterdir() if f.name.endswith(".sql")), key=lambda f: f.name)
    return tuple(f.read_text("utf-8") for f in found)


def migrate(connection: sqlite3.Connection, migrations: Sequence[str], name: str) -> None:
    """Bring a database to the newest version, each step a transaction of its own; current: does nothing.

    The version is `PRAGMA user_version`. Two processes may do this at once: the second finds the work done.

    Raises:
        Conflict: a newer program made this database (`name`, for the message).
        sqlite3.Error: a step failed; the database is as the step before it left it.
    """
    version = _version(connection)
    while version < len(migrations):
        connection.execute("BEGIN EXCLUSIVE")
        try:
            version = _version(connection)  # another process may have been quicker
            if version < len(migrations):
                for statement in _statements(migrations[version]):
                    connection.execute(statement)
                version += 1
                connection.execute(f"PRAGMA user_version = {version:d}")
            connection.execute("COMMIT")
        finally:
            if connection.in_transaction:  # something failed
                connection.execute("ROLLBACK")
    if version > len(migrations):
        raise Conflict(
            f"{name} was written by a newer version of this program "
            f"(schema {version}; this program knows {len(migrations)})",
            "install that version again, or set another state_dir; nothing was changed",
        )


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> Iterator[str]:
    """Split a script; `Connection.executescript` would commit the open transaction."""
    statement = ""
    for piece in re.split(r"(?<=;)", script):  # a semicolon may also stand in a text or a trigger
        statement += piece
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip():
        yield statement
