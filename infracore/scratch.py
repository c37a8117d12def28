"""Private folders for what a command makes on its way; what a killed command left of them goes when the next begins."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

__all__ = ["scratch_folder"]


@contextmanager
def scratch_folder(base: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder (mode 0700) below `base`, and remove it afterwards with all that is in it.

    It is locked (flock) for as long as it is used. Folders of the same user and prefix that nobody has locked are
    what killed commands left, and are removed first.

    Raises:
        OSError: no folder can be made there.
    """
    _sweep(base, prefix)
    folder, lock = _make(base, prefix)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make(base: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=prefix, dir=base))
        lock = -1
        with suppress(FileNotFoundError):  # another command took it for a left one before it was locked
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            if folder.exists():
                return folder, lock
        if lock >= 0:
            os.close(lock)


def _sweep(base: Path, prefix: str) -> None:
    for folder in base.glob(f"{prefix}*"):
        try:
            lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # another user's, or gone
            continue
        try:
            if os.fstat(lock).st_uid != os.geteuid():
                continue
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
