"""Ending a request from another thread, also while the server has not said a word yet.

urllib3 gives a response to its caller when the headers are there; before that nobody but the connection holds the
socket. So connections made here show theirs to the `Cut` of the thread that asks.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

__all__ = ["Cut", "CuttablePools"]


class Cut:
    """Ends the request that is made under it, and every later one. May be asked from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_done = False
        self._socket: socket.socket | None = None

    def close(self) -> None:
        """End what is under way; it raises Transient. A connection that is only being made ends by its own limit."""
        with self._lock:
            self._is_done = True
            if self._socket is not None:
                with suppress(OSError):  # it ended by itself
                    # not ssl.SSLSocket's: that takes the session away under the thread that reads
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def hold(self, sock: socket.socket | None) -> None:
        """Take the socket that the request goes by; None: it ended. Raises OSError where `close` was called before."""
        with self._lock:
            self._socket = sock
            if self._is_done and sock is not None:
                raise ConnectionAbortedError("no more requests are wanted")


class CuttablePools:
    """Makes pools of connections that can be cut."""

    def __init__(self) -> None:
        self._here = threading.local()

    def new(self, **options: Any) -> urllib3.PoolManager:
        """Return a pool manager; `options` are its own."""
        here = self._here

        class Plain(HTTPConnection):
            def getresponse(self) -> Any:
                _show(here, self.sock)
                return super().getresponse()

        class Secure(HTTPSConnection):
            def getresponse(self) -> Any:
                _show(here, self.sock)
                return super().getresponse()

        class PlainPool(HTTPConnectionPool):
            ConnectionCls = Plain

        class SecurePool(HTTPSConnectionPool):
            ConnectionCls = Secure

        made = urllib3.PoolManager(**options)
        made.pool_classes_by_scheme = {"http": PlainPool, "https": SecurePool}
        return made

    @contextmanager
    def under(self, cut: Cut | None) -> Iterator[None]:
        """Let this thread's requests be ended by `cut`."""
        self._here.cut = cut
        try:
            yield
        finally:
            self._here.cut = None
            if cut is not None:
                cut.hold(None)


def _show(here: threading.local, sock: socket.socket | None) -> None:
    cut: Cut | None = getattr(here, "cut", None)
    if cut is not None:
        cut.hold(sock)
