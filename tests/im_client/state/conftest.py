"""The stores that the contract tests run on: each of them must keep all promises."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from im_client.state.sql_server import SqlServerStore
from im_client.state.sql_store import SqlStore
from im_client.state.sqlite import SqliteStore
from infracore.secrets import Secret
from tests.im_client.state.records import SEAL

_TABLES = (
    "infrastructure",
    "operation",
    "account",
    "answer",
    "vault_entry",
    "former",
    "image",
    "infrastructure_lock",
    "process",
)
Opener = Callable[[], SqlStore]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def open_again(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Opener:
    """Return what opens the test's own store, empty at first; each time as another process would."""
    if kind == "sqlite":
        return lambda: SqliteStore(tmp_path / "state" / "state.db", SEAL)
    from im_client.state.postgres import PostgresStore

    url = Secret(request.getfixturevalue("postgres_url"))
    with_tables = PostgresStore(url, SEAL)
    with with_tables.database.write("all") as db:
        db.execute(f"TRUNCATE {', '.join(_TABLES)} CASCADE")
    with_tables.close()
    return lambda: PostgresStore(url, SEAL)


@pytest.fixture
def store(open_again: Opener) -> Iterator[SqlStore]:
    opened = open_again()
    yield opened
    opened.close()


@dataclass(frozen=True)
class Served:
    """A server's records, and its end."""

    records: SqlServerStore
    end: Callable[[], None]
    """Let the server be gone, as the next one finds it."""


@pytest.fixture
def served(store: SqlStore, kind: str) -> Iterator[Served]:
    if kind == "sqlite":
        own = SqlServerStore(store)
        yield Served(own, own.forget_unanswered)
        return
    from im_client.state.postgres import PostgresStore
    from im_client.state.postgres_server import PostgresServerStore
    from im_client.state.watch import Watch

    assert isinstance(store, PostgresStore)
    watch = Watch(store.postgres, "serve", 30.0)
    watch.start(lambda _: None)
    yield Served(PostgresServerStore(store, process=watch.id), watch.close)
    watch.close()


@pytest.fixture
def records(served: Served) -> SqlServerStore:
    return served.records
