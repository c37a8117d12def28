"""HTTPS for `requests` that ends in time whatever the server does.

The time limit of `requests` counts anew with each byte, so that a server that answers a byte at a time holds its caller
for ever. Here a thread shuts the connections down when the time of the call is over, or the driver is being closed.
"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool

from infracore.deadline import Deadline
from infracore.errors import InfraError

__all__ = ["timed_https"]

_LOOK_S: Final = 0.1
"""How often it is looked whether the time is over."""


class _Adapter(HTTPAdapter):
    """Keeps the sockets that it opens."""

    def __init__(self) -> None:
        self.sockets: list[socket.socket] = []
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        kept = self.sockets

        class Connection(HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                if isinstance(self.sock, socket.socket):
                    kept.append(self.sock)

        class Pool(HTTPSConnectionPool):
            ConnectionCls = Connection

        self.poolmanager.pool_classes_by_scheme = {**self.poolmanager.pool_classes_by_scheme, "https": Pool}


@contextmanager
def timed_https(deadline: Deadline) -> Iterator[HTTPAdapter]:
    """Make an adapter for `https://` whose connections are shut down at the deadline; the reader sees an error."""
    adapter = _Adapter()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_S):
            try:
                deadline.left()
            except InfraError:
                for one in tuple(adapter.sockets):
                    with suppress(OSError):
                        socket.socket.shutdown(one, socket.SHUT_RDWR)  # TLS's own is not for other threads

    watcher = threading.Thread(target=watch, name="power-https-deadline", daemon=True)
    watcher.start()
    try:
        yield adapter
    finally:
        done.set()
        watcher.join()
        adapter.close()
