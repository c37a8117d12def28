"""MariaDB with the tables of all services. To make them takes most of a first start, so they are kept for the next."""

import fcntl
import hashlib
import os
import shutil
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.rigs.openstack.processes import Processes
from tests.rigs.openstack.programs import PACKAGES, Program, python
from tests.rigs.openstack.settings import DATABASES, Places

__all__ = ["start"]

_CELL = "{scheme}://{username}@{hostname}/%s?{query}"  # nova fills in the parts of [database]connection
_BUS = "{scheme}://{username}:{password}@{hostname}:{port}/"


def start(places: Places, processes: Processes, env: Mapping[str, str]) -> None:
    """Start the database; its tables are there then."""
    data, kept = places.folder / "var" / "mysql", _kept()
    kept.parent.mkdir(parents=True, exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.is_dir():
            make = ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--skip-test-db", *_user()]
            processes.run("mysql-install", [*make, "--auth-root-authentication-method=normal"])
            _serve(places, processes, env)
            _make_tables(places, processes, env)
            processes.stop("mysql")
            copy = kept.with_suffix(".new")
            shutil.rmtree(copy, ignore_errors=True)
            shutil.copytree(data, copy)
            copy.rename(kept)
        elif not data.exists():
            shutil.copytree(kept, data)
    _serve(places, processes, env)


def _kept() -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "im-clues-tests"
    asked = ["dpkg-query", "-W", "-f", "${Package} ${Version}\n", *PACKAGES]
    versions = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False).stdout
    digest = hashlib.sha256(versions.encode() + Path(__file__).read_bytes()).hexdigest()[:16]
    return cache / f"openstack-tables-{digest}"


def _user() -> list[str]:
    return ["--user=root"] if os.geteuid() == 0 else []


def _serve(places: Places, processes: Processes, env: Mapping[str, str]) -> None:
    argv: Program = ["/usr/sbin/mariadbd", "--no-defaults", *_user(), f"--datadir={places.folder / 'var' / 'mysql'}"]
    argv += [f"--socket={places.socket}", f"--pid-file={places.folder / 'my.pid'}", "--skip-networking"]
    # nothing is kept, so nothing is synced
    argv += ["--skip-log-bin", "--innodb-flush-method=nosync", "--innodb-flush-log-at-trx-commit=0"]
    argv += ["--innodb-doublewrite=0", "--innodb-buffer-pool-size=64M", "--innodb-log-file-size=32M"]
    argv += ["--performance-schema=off", "--max-connections=600"]
    argv += ["--character-set-server=utf8mb4", "--collation-server=utf8mb4_general_ci"]
    processes.start("mysql", argv)
    processes.wait_for("mysql", lambda: _ask(places, env, "select 1") == 0)


def _ask(places: Places, env: Mapping[str, str], *statements: str) -> int:
    argv: Program = ["mariadb", "--no-defaults", "-u", "root", "-S", places.socket, "-e", "; ".join(statements)]
    return subprocess.run(argv, env=dict(env), capture_output=True, timeout=60, check=False).returncode


def _make_tables(places: Places, processes: Processes, env: Mapping[str, str]) -> None:
    assert _ask(places, env, *(f"create database {name}" for name in DATABASES)) == 0

    def do(service: str, function: str, *words: str) -> Program:
        return python(places, service, function, *words)

    cell0 = ["--database_connection", _CELL % "nova_cell0"]
    cell1 = ["--name", "cell1", "--database_connection", _CELL % "nova", "--transport-url", _BUS]
    nova, cinder = "nova.cmd.manage:main", "cinder.cmd.manage:main"
    work = (
        [
            do("keystone", "keystone.cmd.manage:main", "db_sync"),
            do("placement", "placement.cmd.manage:main", "db", "sync"),
            do("glance-api", "glance.cmd.manage:main", "db_sync"),
            do("cinder", cinder, "db", "sync"),
            do("neutron", "neutron.db.migration.cli:main", "upgrade", "heads"),
        ],
        [
            do("nova", nova, "api_db", "sync"),
            do("nova", nova, "cell_v2", "map_cell0", *cell0),
            do("nova", nova, "db", "sync"),
            do("nova", nova, "cell_v2", "create_cell", *cell1),
        ],
    )
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(processes.run, f"tables-{number}", *argvs) for number, argvs in enumerate(work)]:
            done.result()
