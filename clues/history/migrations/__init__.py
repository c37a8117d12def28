"""The schema's steps: `NNNN_name.sql`, applied in order, each once. `PRAGMA user_version` counts them."""

import sqlite3
from collections.abc import Sequence
from importlib.resources import files

from infracore.errors import Conflict

__all__ = ["known_migrations", "migrate"]


def known_migrations() -> tuple[str, ...]:
    """Return the SQL of every step, in order."""
    found = sorted((item for item in files(__package__).iterdir() if item.name.endswith(".sql")), key=lambda i: i.name)
    return tuple(item.read_text(encoding="utf-8") for item in found)


def migrate(db: sqlite3.Connection, steps: Sequence[str], where: str) -> None:
    """Apply the steps that the file has not seen, each in a transaction of its own.

    Raises:
        Conflict: a newer version of this program wrote the file.
    """
    done = int(db.execute("PRAGMA user_version").fetchone()[0])
    if done > len(steps):
        raise Conflict(
            f"{where} has schema {done}, and this version of cluesd knows {len(steps)}",
            "start the newer version again, or give another daemon.state_dir",
        )
    for number, step in enumerate(steps[done:], done + 1):
        db.executescript(f"BEGIN IMMEDIATE;\n{step}\nPRAGMA user_version = {number};\nCOMMIT;")
