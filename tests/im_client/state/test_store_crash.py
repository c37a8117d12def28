"""Other processes: killed in the middle of writing, or writing at the same time."""

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from im_client.state.sqlite import SqliteStore
from tests.im_client.state.records import ID, SEAL, infrastructure, node

ROOT = Path(__file__).parents[3]


def start_writer(folder: Path, first: int, count: int) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-m", "tests.im_client.state.writer", str(folder), str(first), str(count)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(argv, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = SqliteStore(tmp_path / "state.db", SEAL)
    store.add_infrastructure(infrastructure())
    store.close()
    return tmp_path


@pytest.mark.parametrize("after", [1, 100])
def test_a_writer_killed_in_the_middle_loses_nothing_that_it_was_told_is_written(folder: Path, after: int) -> None:
    writer = start_writer(folder, 0, 1_000_000)
    assert writer.stdout is not None
    told = [writer.stdout.readline().strip() for _ in range(after)]
    writer.send_signal(signal.SIGKILL)
    told += writer.stdout.read().split("\n")[:-1]
    assert writer.wait(60) == -signal.SIGKILL

    store = SqliteStore(folder / "state.db", SEAL)
    nodes = store.nodes(ID)
    revision = store.infrastructure(ID).revision
    store.put_node(node(2_000_000))
    store.close()
    # at most the one write that had returned but was not told
    assert [found.name for found in nodes][: len(told)] == told
    assert len(told) <= len(nodes) <= len(told) + 1
    assert revision == len(nodes)
    assert all(found == node(found.index) for found in nodes)
    with sqlite3.connect(folder / "state.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
    db.close()


def test_two_processes_that_write_at_once_lose_no_write(folder: Path) -> None:
    writers = [start_writer(folder, first, 60) for first in (0, 1000)]
    for writer in writers:
        writer.communicate(timeout=60)
    store = SqliteStore(folder / "state.db", SEAL)
    assert [writer.returncode for writer in writers] == [0, 0]
    assert (len(store.nodes(ID)), store.infrastructure(ID).revision) == (120, 120)
    store.close()


def test_processes_that_make_the_store_at_once_agree_on_it(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from im_client.state.sqlite import open_store;"
        "sys.stdin.read(); s = open_store(Path(sys.argv[1])); print(len(s.infrastructures())); s.close()"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "new")]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    openers = [
        subprocess.Popen(argv, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for opener in openers:
        assert opener.stdin is not None
        opener.stdin.close()  # lets all of them go on
    answers = []
    for opener in openers:
        assert opener.stdout is not None
        answers.append(opener.stdout.read())
        opener.wait(60)
        opener.stdout.close()
    assert answers == ["0\n"] * 3
