"""A PostgreSQL in a temporary folder, reached by a socket in it; nothing of it is kept, so nothing is synced."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.rigs.process import wait_until

__all__ = ["Postgres", "find_programs", "postgres"]

_SETTINGS = (
    "listen_addresses=",
    "fsync=off",
    "full_page_writes=off",
    "shared_buffers=16MB",
    "max_connections=80",
    "jit=off",
    "autovacuum=off",
)


def find_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs: Debian keeps them off PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parent.parent.name))
    if found:
        return found[-1].parent
    there = shutil.which("initdb")
    return Path(there).resolve().parent if there else None


class Postgres:
    """A running PostgreSQL."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:  # it refuses to run as root
            entry = pwd.getpwnam("postgres")
            os.chown(folder, entry.pw_uid, entry.pw_gid)
            self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres") -> str:
        """Return the address of one of its databases."""
        return f"postgresql:///{database}?host={self._folder}&user=postgres"

    def fresh(self, database: str) -> str:
        """Make an empty database and return its address."""
        self.ask(f'CREATE DATABASE "{database}"')
        return self.url(database)

    def ask(self, statement: str) -> None:
        """Carry out one statement that needs no database of its own."""
        with psycopg.connect(self.url(), autocommit=True) as db:
            db.execute(statement.encode())

    def count(self, question: str) -> int:
        """Return the one number that is the answer."""
        with psycopg.connect(self.url(), autocommit=True) as db:
            (found,) = db.execute(question.encode()).fetchall()
        return int(found[0])

    def make(self) -> None:
        """Make its files."""
        subprocess.run(
            [
                self._programs / "initdb",
                "-D",
                self._folder / "data",
                "-U",
                "postgres",
                "-A",
                "trust",
                "-N",
                "-E",
                "UTF8",
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            cwd=self._folder,
            **self._as,
        )

    def start(self) -> None:
        """Start it, and wait until it answers."""
        words = [word for setting in _SETTINGS for word in ("-c", setting)]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._folder / "data", "-k", self._folder, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                **self._as,
            )
        wait_until(self._answers, "PostgreSQL answers")

    def stop(self) -> None:
        """Stop it at once, as a machine does that goes down; connections break."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(20)
            self._process = None

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Run one."""
    programs = find_programs()
    assert programs is not None, "PostgreSQL is not installed"
    # not below pytest's folders, which only their user may enter; and short, for a socket's path has 107 bytes
    folder = Path(tempfile.mkdtemp(prefix="im-pg-"))
    running = Postgres(programs, folder)
    try:
        running.make()
        running.start()
        yield running
    finally:
        running.stop()
        shutil.rmtree(folder)
