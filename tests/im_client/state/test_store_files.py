"""The store's file: who may read it, and what is said when it cannot be used."""

import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from im_client.state.sqlite import SqliteStore, open_store
from infracore.errors import Misconfigured, NoSpace, Transient
from infracore.secrets import Seal
from tests.im_client.state.records import HIDDEN, ID, SEAL, infrastructure, node

NOBODY = 65534


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Root may write everywhere; the tests of permissions must not be root."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that an ordinary user can reach, which pytest's own is not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_may_read_the_state(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = open_store(tmp_path / "a" / "b")
        store.add_infrastructure(infrastructure())
    finally:
        os.umask(old)
    modes = {path.name: mode(path) for path in (tmp_path / "a" / "b").iterdir()}
    store.close()
    assert modes == dict.fromkeys(("key", "state.db", "state.db-wal", "state.db-shm"), 0o600)
    assert mode(tmp_path / "a" / "b") == 0o700


def test_a_state_file_that_others_could_read_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.touch(mode=0o644)
    SqliteStore(path, SEAL).close()
    assert mode(path) == 0o600


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot use the state file") as caught:
        SqliteStore(tmp_path / "file" / "state.db", SEAL)
    assert "IM_STATE_DIR" in caught.value.hint


def test_a_folder_without_permission_is_named(open_folder: Path) -> None:
    with as_an_ordinary_user():
        shut = open_folder if os.geteuid() == NOBODY else open_folder / "shut"
        if shut != open_folder:
            shut.mkdir(mode=0o500)
        with pytest.raises(Misconfigured, match="Permission denied"):
            SqliteStore(shut / "state.db", SEAL)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_bytes(b"not a database " * 100)
    with pytest.raises(Misconfigured, match="damaged or no state file"):
        SqliteStore(path, SEAL)
    assert path.read_bytes() == b"not a database " * 100


def test_a_damaged_database_is_said_to_be_damaged(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    store = SqliteStore(path, SEAL)
    store.add_infrastructure(infrastructure())
    for number in range(50):
        store.put_node(node(number))
    store.close()
    content = path.read_bytes()
    path.write_bytes(content[:4096] + b"\xff" * (len(content) - 4096))
    with pytest.raises(Misconfigured, match="damaged"), closing(SqliteStore(path, SEAL)) as broken:
        broken.nodes(ID)  # where the damage is not seen on opening


def test_a_full_disk_is_reported_and_leaves_what_was_there(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db", SEAL)
    store.add_infrastructure(infrastructure())
    store._db.execute("PRAGMA max_page_count = 1")  # SQLite raises it to what is in use: not one page more
    written = 0

    def fill() -> None:
        nonlocal written
        while True:
            store.put_node(node(written))
            written += 1

    with pytest.raises(NoSpace, match="no room on the disk"):
        fill()
    assert (len(store.nodes(ID)), store.infrastructure(ID).revision) == (written, written)
    store._db.execute("PRAGMA max_page_count = 100000")
    store.put_node(node(written))
    assert len(store.nodes(ID)) == written + 1
    store.close()


def test_a_file_that_others_keep_busy_may_be_tried_again(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db", SEAL)
    store._db.execute("PRAGMA busy_timeout = 1")
    other = sqlite3.connect(tmp_path / "state.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(Transient, match="kept busy"):
        store.add_infrastructure(infrastructure())
    other.execute("ROLLBACK")
    other.close()
    store.add_infrastructure(infrastructure())
    store.close()


def test_another_key_file_is_told_from_damage(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db", SEAL)
    store.add_infrastructure(infrastructure())
    store.close()
    store = SqliteStore(tmp_path / "state.db", Seal.from_file(tmp_path / "key"))
    with pytest.raises(Misconfigured, match="does not open with this key file"):
        store.infrastructure(ID)
    store.close()


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db", SEAL)
    store.close()
    store.close()
    assert not (tmp_path / "state.db-wal").exists()


def test_nothing_secret_is_in_the_files_in_clear(tmp_path: Path) -> None:
    filled = SqliteStore(tmp_path / "state" / "state.db", SEAL)
    filled.add_infrastructure(infrastructure())
    filled.put_node(node())
    filled.set_source(ID, infrastructure().source, 1.0)
    filled.set_outputs(ID, infrastructure().outputs, 1.0)
    while_open = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    filled.close()
    closed = b"".join(path.read_bytes() for path in (tmp_path / "state").iterdir())
    assert b"debian-13" in while_open  # what is no secret is found: the search works
    assert b"debian-13" in closed
    assert [text for text in HIDDEN if text.encode() in while_open + closed] == []
