"""Machines on disk."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from im_client.providers.local.records import Manifest, Records, file_lock, is_locked
from infracore.errors import InvalidUsage, Locked, NotFound


def _manifest(token: str, infrastructure: str = "i") -> Manifest:
    return Manifest(token=token, infrastructure=infrastructure, name="n", kind="nspawn")


@pytest.fixture
def records(tmp_path: Path) -> Records:
    made = Records(tmp_path / "state")
    made.make()
    return made


def test_what_is_saved_is_read_again(records: Records) -> None:
    records.save(_manifest("aa"))
    assert records.load("aa") == _manifest("aa")
    assert records.all() == (_manifest("aa"),)


def test_a_removed_machine_is_not_found(records: Records) -> None:
    records.save(_manifest("aa"))
    (records.folder("aa") / "upper" / "etc").mkdir(parents=True)
    records.remove("aa")
    records.remove("aa")
    with pytest.raises(NotFound):
        records.load("aa")


@pytest.mark.parametrize("token", ["", "..", "a/b", "A", "x" * 41, "-a"])
def test_a_token_cannot_leave_its_folder(records: Records, token: str) -> None:
    with pytest.raises(InvalidUsage):
        records.folder(token)


def test_others_can_not_look_into_machines(records: Records) -> None:
    records.save(_manifest("aa"))
    assert (records.root / "machines").stat().st_mode & 0o077 == 0
    assert records.folder("aa").stat().st_mode & 0o077 == 0


def test_a_held_lock_is_seen_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not is_locked(path)
    with file_lock(path):
        assert is_locked(path)
        with pytest.raises(Locked), file_lock(path, wait=False):
            pass
    assert not is_locked(path)


def test_a_lock_file_that_was_removed_by_its_holder_excludes_still(records: Records) -> None:
    """`delete` removes the lock file while others wait for it."""
    inside: list[int] = []
    most: list[int] = []

    def work(number: int) -> None:
        with records.machine_lock("aa"):
            inside.append(number)
            most.append(len(inside))
            inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(40)))
    assert max(most) == 1
    assert not list((records.root / "locks").iterdir())
