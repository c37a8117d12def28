"""The schema moves forward step by step, all or nothing, and never back."""

import sqlite3
from pathlib import Path

import pytest

from im_client.state.migrations import known_migrations, migrate
from im_client.state.sql_server import SqlServerStore
from im_client.state.sqlite import SqliteStore
from im_client.state.store import RunState
from infracore.errors import Conflict, InfraError
from tests.im_client.state.records import ID, SEAL, event, infrastructure, node, run

ADD_COLOUR = "ALTER TABLE node ADD COLUMN colour TEXT; -- one\nUPDATE node SET colour = 'a;b';"
BROKEN = "ALTER TABLE node ADD COLUMN shape TEXT; UPDATE nowhere SET x = 1;"

VERSION_1 = Path(__file__).with_name("version_1.sql")
"""A store as version 1 of the schema left it, with what `fill` writes."""


def write_version_1(path: Path) -> None:
    db = sqlite3.connect(path)
    db.executescript(VERSION_1.read_text())
    db.close()


def fill(store: SqliteStore) -> None:
    store.add_infrastructure(infrastructure())
    store.put_node(node())
    store.start_run(run())
    store.add_events([event("x")])
    store.end_run("run-0", RunState.DONE, "well", 1010.0)


def assert_filled(store: SqliteStore) -> None:
    assert store.infrastructure(ID) == infrastructure(revision=1, updated_at=1002.0)
    assert store.nodes(ID) == (node(),)
    assert store.runs(ID) == (run(state=RunState.DONE, summary="well", ended_at=1010.0),)
    assert store.events("run-0") == (event("x"),)


def version(path: Path) -> int:
    db = sqlite3.connect(path)
    found = db.execute("PRAGMA user_version").fetchone()[0]
    db.close()
    return int(found)


def test_a_store_of_version_1_is_read_in_full(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    write_version_1(path)
    store = SqliteStore(path, SEAL)
    assert_filled(store)
    store.close()
    assert version(path) == len(known_migrations())


def test_a_machine_from_before_places_were_recorded_has_none_and_may_get_one(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    write_version_1(path)
    store = SqliteStore(path, SEAL)
    assert [one.place for one in store.nodes(ID)] == [""]
    store.put_node(node(place="ec2 https://cloud.example.org us-east-1"))
    store.close()
    store = SqliteStore(path, SEAL)
    assert store.nodes(ID) == (node(place="ec2 https://cloud.example.org us-east-1"),)
    store.close()


def test_every_step_in_between_is_applied_and_keeps_the_records(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path, SEAL)
    fill(store)
    store.close()
    store = SqliteStore(path, SEAL, (*known_migrations(), ADD_COLOUR, "CREATE TABLE more (x TEXT) STRICT;"))
    assert_filled(store)
    assert store._db.execute("SELECT colour FROM node").fetchone()[0] == "a;b"
    store.close()
    assert version(path) == len(known_migrations()) + 2


def test_tokens_from_before_they_had_names_are_good_still(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    write_version_1(path)
    store = SqliteStore(path, SEAL, known_migrations()[:3])
    store._db.execute("INSERT INTO account VALUES ('ana', 'hash', 0, 1.0)")
    for ident, infra in (("free", None), ("bound", ID), ("lost", "gone")):
        row = (ident, ident.encode(), infra)
        store._db.execute("INSERT INTO access_token VALUES (?, 'ana', ?, 'scaler', ?, 1.0, NULL)", row)
    store.close()
    store = SqliteStore(path, SEAL)
    assert_filled(store)
    found = SqlServerStore(store).tokens("ana")
    assert [(one.id, one.name, one.infrastructure) for one in found] == [("bound", "bound", ID), ("free", "free", None)]
    store.close()


def test_a_step_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path, SEAL)
    fill(store)
    store.close()
    with pytest.raises(InfraError, match="no such table: nowhere"):
        SqliteStore(path, SEAL, (*known_migrations(), BROKEN))
    store = SqliteStore(path, SEAL)
    assert_filled(store)
    assert "shape" not in [row["name"] for row in store._db.execute("PRAGMA table_info (node)")]
    store.close()


def test_the_store_of_a_newer_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    SqliteStore(path, SEAL, (*known_migrations(), "CREATE TABLE more (x TEXT);")).close()
    known = len(known_migrations())
    with pytest.raises(Conflict, match=rf"newer version.*schema {known + 1}; this program knows {known}") as caught:
        SqliteStore(path, SEAL)
    assert "state_dir" in caught.value.hint
    assert version(path) == len(known_migrations()) + 1


def test_migrating_twice_changes_nothing() -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    migrate(db, known_migrations(), "x")
    before = list(db.iterdump())
    migrate(db, known_migrations(), "x")
    assert list(db.iterdump()) == before
    db.close()
