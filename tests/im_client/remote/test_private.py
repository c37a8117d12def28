import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from im_client.remote.private import private_folder, remove_stale, write_private


def test_a_private_folder_is_for_us_alone_and_gone_after_an_error(tmp_path: Path) -> None:
    def fail() -> None:
        with private_folder(tmp_path) as folder:
            file = write_private(folder / "key", "secret")
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_the_folder_of_a_killed_process_is_removed_by_the_next(tmp_path: Path) -> None:
    script = (
        "import os, sys, signal; from pathlib import Path; from im_client.remote.private import private_folder\n"
        "with private_folder(Path(sys.argv[1])) as f: (f / 'key').write_text('x'); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], cwd=root, check=False)
    left = list(tmp_path.iterdir())
    assert len(left) == 1
    with private_folder(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_the_folder_of_a_living_process_and_strange_names_are_left_alone(tmp_path: Path) -> None:
    with private_folder(tmp_path) as mine:
        others = [tmp_path / "im-x", tmp_path / "im-1-2", tmp_path / "im-99999999-5-file"]
        others[0].mkdir()
        others[1].mkdir()
        others[2].write_text("a file")
        assert remove_stale(tmp_path) == ()
        assert mine.is_dir()
        assert all(path.exists() for path in others)


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("as it was")
    os.symlink(target, tmp_path / "key")
    with pytest.raises(FileExistsError):
        write_private(tmp_path / "key", "secret")
    assert target.read_text() == "as it was"
