"""Folders that last as long as their command."""

import os
import signal
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infracore.scratch import scratch_folder


def test_a_folder_is_private_and_goes_with_its_content_whatever_happens(tmp_path: Path) -> None:
    def fail() -> None:
        with scratch_folder(tmp_path, ".work-") as folder:
            assert folder.parent == tmp_path
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            (folder / "deep").mkdir()
            (folder / "deep" / "key").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert not list(tmp_path.iterdir())


def test_what_a_killed_command_left_goes_and_what_another_uses_stays(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from infracore.scratch import scratch_folder\n"
        "with scratch_folder(Path(sys.argv[1]), '.work-') as folder:\n"
        "    (folder / 'key').touch(); print(folder, flush=True); sys.stdin.read()"
    )
    (tmp_path / ".other-1").mkdir()
    argv = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        used = Path(child.stdout.readline().strip())
        with scratch_folder(tmp_path, ".work-"):
            assert (used / "key").exists()
        child.send_signal(signal.SIGKILL)
    assert (used / "key").exists()
    with scratch_folder(tmp_path, ".work-") as mine:
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([".other-1", mine.name])


def test_many_at_once_keep_theirs(tmp_path: Path) -> None:
    def work(number: int) -> bool:
        is_mine = True
        for _ in range(50):
            with scratch_folder(tmp_path, ".work-") as folder:
                (folder / "mine").write_text(str(number))
                os.sched_yield()
                is_mine &= (folder / "mine").read_text() == str(number)
        return is_mine

    with ThreadPoolExecutor(6) as pool:
        assert all(pool.map(work, range(6)))
    assert not list(tmp_path.iterdir())
