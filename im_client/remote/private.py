"""Private folders for keys and passwords that programs must read from files: in memory, for as long as needed."""

import contextlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

__all__ = ["memory_folder", "private_folder", "remove_stale", "write_private"]

_PREFIX = "im-"


def memory_folder() -> Path:
    """Return a folder that is held in memory and open to this user, or else the temporary folder.

    `/dev/shm` first: it is a tmpfs on every Linux distribution and its path is short, which matters
    for the sockets of OpenSSH (108 bytes, unix(7)).
    """
    for text in ("/dev/shm", os.environ.get("XDG_RUNTIME_DIR", "")):  # noqa: S108 - a private folder is made in it
        if text and os.access(text, os.W_OK | os.X_OK) and Path(text).is_dir():
            return Path(text)
    return Path(os.environ.get("TMPDIR", "/tmp"))  # noqa: S108 - a private folder is made in it


@contextlib.contextmanager
def private_folder(parent: Path | None = None) -> Iterator[Path]:
    """Make a folder (0700) that is removed at the end, also after an error.

    Its name holds the process id and its start time, so that the next run removes those of killed processes.
    """
    base = parent or memory_folder()
    remove_stale(base)
    folder = base / f"{_PREFIX}{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(4)}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale(base: Path) -> tuple[Path, ...]:
    """Remove private folders of this user whose process has ended; return them. Blocks for milliseconds."""
    removed = []
    for folder in base.glob(f"{_PREFIX}[0-9]*-*-*"):
        words = folder.name.removeprefix(_PREFIX).split("-")
        if len(words) != 3 or not words[0].isdigit() or not words[1].isdigit():
            continue
        try:
            status = folder.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid() and _started(int(words[0])) != words[1]:
            shutil.rmtree(folder, ignore_errors=True)
            removed.append(folder)
    return tuple(removed)


def write_private(path: Path, text: str) -> Path:
    """Write a new file that only this user can read; return its path."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        out.write(text)
    return path


def _started(pid: int) -> str:
    """Return the start time of a process in clock ticks since boot (proc(5), field 22), "" where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]
