"""Several `im serve` and `im worker`, as if on machines of their own, over one PostgreSQL and one `fake` world."""

import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psycopg
from psycopg.rows import dict_row

from infracore.secrets import Seal
from tests.rigs.im_serve import Serve, im_serve
from tests.rigs.process import Daemon, daemon

__all__ = ["Cluster", "cluster"]

LEASE_S = 1.0


@dataclass
class Cluster:
    """The machines. What is started ends with it."""

    folder: Path
    url: str
    settings: str
    _ending: ExitStack = field(default_factory=ExitStack)

    def serve(self, name: str) -> Serve:
        """Start a server on a machine of this name."""
        machine, env = self._machine(name)
        return self._ending.enter_context(im_serve(machine, **env))

    def worker(self, name: str, concurrency: int = 2) -> Daemon:
        """Start a worker on a machine of this name; it begins when it is ready."""
        machine, env = self._machine(name)
        argv = [sys.executable, "-m", "im_client.cli.main", "worker", "--concurrency", str(concurrency)]
        return self._ending.enter_context(daemon(argv, machine, {**self.environ(machine), **env}))

    def environ(self, machine: Path) -> dict[str, str]:
        """Return the environment of a command on a machine."""
        return {
            "HOME": str(machine),
            "IM_STATE_DIR": str(machine / "state"),
            "IM_CACHE_DIR": str(machine / "cache"),
            "IM_PROVIDER": "fake",
            "NO_COLOR": "1",
        }

    def rows(self, sql: str, *words: object) -> list[dict[str, Any]]:
        """Ask the database, as nobody of the program does."""
        with psycopg.connect(self.url, row_factory=dict_row) as db:
            return db.execute(sql.encode(), words).fetchall()

    def holders(self) -> dict[str, int]:
        """Return infrastructure -> process that holds its lock."""
        return {row["infrastructure"]: row["pid"] for row in self.rows("SELECT * FROM infrastructure_lock")}

    def world(self) -> list[Mapping[str, Any]]:
        """Return the machines that the provider has."""
        return [msgspec.json.decode(path.read_bytes()) for path in (self.folder / "world/machines").glob("*.json")]

    def orphans(self, *infrastructures: str) -> set[str]:
        """Return what is at the provider and not in the record, or the other way round."""
        words = "SELECT provider_id FROM node WHERE infrastructure = ANY(%s)"
        recorded = {row["provider_id"] for row in self.rows(words, list(infrastructures))}
        return recorded ^ {machine["id"] for machine in self.world() if machine["infrastructure"] in infrastructures}

    def _machine(self, name: str) -> tuple[Path, dict[str, str]]:
        machine = self.folder / name
        machine.mkdir()
        (machine / "state").mkdir(mode=0o700)
        shutil.copy2(self.folder / "key", machine / "state" / "key")
        (machine / "im.yaml").write_text(self.settings)
        return machine, {"IM_DATABASE_URL": self.url}


@contextmanager
def cluster(folder: Path, url: str, *, delays: Mapping[str, float], parallel: int = 4) -> Iterator[Cluster]:
    """Give an empty one; `delays`: seconds that each operation of the provider takes."""
    Seal.from_file(folder / "key")
    settings = {
        "lease_s": LEASE_S,
        "parallel": parallel,
        "providers": {"fake": {"state_dir": str(folder / "world"), "delay_s": dict(delays)}},
    }
    made = Cluster(folder, url, msgspec.json.encode(settings).decode())
    with made._ending:
        yield made
