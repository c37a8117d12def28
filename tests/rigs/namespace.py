"""Network namespaces of our own: nothing that is sent in them leaves the computer, and they end with their users."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.rigs.needs import need_programs, need_root

__all__ = ["Namespace", "inside", "own_network"]

_CLONE_NEWNET = 0x40000000  # sched.h
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """One network namespace, held by a file descriptor."""

    def __init__(self) -> None:
        self._fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def enter(self) -> None:
        """Let the calling thread be in it; threads and programs that it starts are, too."""
        if _libc.setns(self._fd, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._fd}"

    def close(self) -> None:
        os.close(self._fd)


@contextmanager
def inside(namespace: Namespace) -> Iterator[None]:
    """Enter a namespace for a while."""
    before = Namespace()
    namespace.enter()
    try:
        yield
    finally:
        before.enter()
        before.close()


@contextmanager
def own_network() -> Iterator[Namespace]:
    """Make a namespace with nothing but loopback, and be in it."""
    need_root()
    need_programs("ip")
    before = Namespace()
    if _libc.unshare(_CLONE_NEWNET) != 0:
        before.close()
        pytest.skip(f"no network namespace can be made: {os.strerror(ctypes.get_errno())}")
    new = Namespace()
    try:
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        yield new
    finally:
        before.enter()
        new.close()
        before.close()
