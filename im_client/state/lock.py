"""One writer an infrastructure: a lock on a file, which the kernel frees when its process dies.

The lock is one of an open file description (fcntl(2), F_OFD_SETLK; Linux 3.15) on `ID.lock`: as flock(2) it
counts between threads too, and it can be asked about without being taken, so that `im list` never makes a
deploy fail. Who holds it stands in the file. The file stays: removing it would let two processes lock two files
of one name.
"""

import contextlib
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import msgspec

from im_client.state.locks import Holder, locked
from infracore.clock import Clock, SystemClock
from infracore.errors import Cancelled, Locked, Misconfigured

__all__ = ["FileLocks", "hold", "holder"]

_POLL_S: Final = 0.2
"""The kernel can wait, but neither for a time nor until it is cancelled."""
_FLOCK: Final = "hhqqi"
"""struct flock with 64-bit offsets, which Python is built with: type, whence, start, length, pid."""


class FileLocks:
    """See the protocol `Locks`: all processes on this computer that share a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def hold(
        self,
        infrastructure: str,
        verb: str,
        *,
        wait_s: float = 0.0,
        clock: Clock | None = None,
        cancel: threading.Event | None = None,
        name: str = "",
    ) -> AbstractContextManager[None]:
        return hold(self._folder, infrastructure, verb, wait_s=wait_s, clock=clock, cancel=cancel, name=name)

    def holder(self, infrastructure: str) -> Holder | None:
        return holder(self._folder, infrastructure)

    def check(self, infrastructure: str) -> None:
        """Do nothing: the kernel keeps the lock until this process ends."""

    def close(self) -> None:
        """Do nothing: a file that is held is closed by its holder."""


@contextmanager
def hold(
    lock_dir: Path,
    infrastructure: str,
    verb: str,
    *,
    wait_s: float = 0.0,
    clock: Clock | None = None,
    cancel: threading.Event | None = None,
    name: str = "",
) -> Iterator[None]:
    """Hold the lock of an infrastructure, waiting up to `wait_s` for another process (or thread) to free it.

    `name` is what messages call the infrastructure; the id where it is empty. `cancel` ends the waiting.

    Raises:
        Locked: another holds it; the message says who.
        Cancelled: while waiting.
        Misconfigured: the lock file cannot be made.
    """
    clock = clock or SystemClock()
    cancel = cancel or threading.Event()
    fd = _open(_path(lock_dir, infrastructure))
    try:
        until = clock.monotonic() + wait_s
        while not _try(fd):
            left = until - clock.monotonic()
            if left <= 0:
                raise _locked(fd, name or infrastructure, clock.now())
            if clock.wait(cancel, min(_POLL_S, left)):
                raise Cancelled(f"cancelled while waiting for {name or infrastructure}")
        _write(fd, msgspec.json.encode(Holder(os.getpid(), verb, socket.gethostname(), clock.now())))
        try:
            yield
        finally:
            _write(fd, b"")
            # closing is not enough: a child between fork and exec has the same open file
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_UNLCK))
    finally:
        os.close(fd)


def holder(lock_dir: Path, infrastructure: str) -> Holder | None:
    """Return who holds the lock, None if nobody does. Does not wait.

    A holder that has only just begun, or whose file is unreadable, is reported with pid 0.
    """
    try:
        fd = os.open(_path(lock_dir, infrastructure), os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Misconfigured(f"cannot read the lock of {infrastructure}: {error.strerror}") from error
    try:
        asked = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
        return None if struct.unpack(_FLOCK, asked)[0] == fcntl.F_UNLCK else _read(fd)
    finally:
        os.close(fd)


def _path(lock_dir: Path, infrastructure: str) -> Path:
    return lock_dir / f"{infrastructure}.lock"


def _open(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Misconfigured(
            f"cannot make the lock file {path}: {error.strerror}",
            "set another folder: IM_STATE_DIR, or -o state_dir=FOLDER",
        ) from error


def _try(fd: int) -> bool:
    try:
        fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
    except BlockingIOError:
        return False
    return True


def _whole_file(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def _write(fd: int, content: bytes) -> None:
    """Say who holds the lock. On a full disk the lock counts all the same, without a name."""
    with contextlib.suppress(OSError):
        os.ftruncate(fd, 0)
        os.pwrite(fd, content, 0)


def _read(fd: int) -> Holder:
    try:
        return msgspec.json.decode(os.pread(fd, 4096, 0), type=Holder)
    except msgspec.MsgspecError:
        return Holder(pid=0, verb="", host="", since=0.0)


def _locked(fd: int, name: str, now: float) -> Locked:
    return locked(_read(fd), name, now)
