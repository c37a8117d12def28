"""A small HTTP server that nobody can keep busy: few connections at once, each with an end, bodies with a limit."""

import socket
import socketserver
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from clues.api.wire import MOST_BODY_BYTES
from infracore.errors import InvalidUsage

__all__ = ["Handler", "LimitedServer"]

_IDLE_S: Final = 10.0
"""A connection that says nothing for so long is closed."""
_MOST_S: Final = 120.0
"""Nobody is served longer at a stretch, however slowly it reads or writes."""
_MOST_CONNECTIONS: Final = 64


class LimitedServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves in threads, `_MOST_CONNECTIONS` at most; one more is closed at once."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    allow_reuse_address = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._open: dict[socket.socket, float] = {}
        self._guard = threading.Lock()
        super().__init__(*args, **kwargs)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the library's signature
        """Refuse where there are too many."""
        with self._guard:
            if len(self._open) >= _MOST_CONNECTIONS:
                return False
            self._open[request] = time.monotonic()
        return True

    def service_actions(self) -> None:
        """Close what has lasted too long (called about twice a second)."""
        ends = time.monotonic() - _MOST_S
        with self._guard:
            late = [connection for connection, began in self._open.items() if began < ends]
        for connection in late:
            _hang_up(connection)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection and close it."""
        with self._guard:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a peer that went away in the middle: handlers answer for all else."""

    def close_all(self) -> None:
        """Stop serving, and hang up on everybody."""
        self.shutdown()
        self.server_close()
        with self._guard:
            connections = list(self._open)
        for connection in connections:
            _hang_up(connection)


def _hang_up(connection: socket.socket) -> None:
    with suppress(OSError):  # closed meanwhile
        connection.shutdown(socket.SHUT_RDWR)


class Handler(BaseHTTPRequestHandler):
    """One request a connection, read and answered within limits. Subclasses have `do_GET` and the like."""

    timeout = _IDLE_S
    server_version = "cluesd"
    sys_version = ""

    def address_string(self) -> str:
        """Return no name: unix peers have none, and none is looked up."""
        return ""

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Log nothing: whoever changes something is logged by the daemon."""

    def split_path(self) -> tuple[str, dict[str, str]]:
        """Return path and query; of a word that is given twice the last holds.

        Raises:
            InvalidUsage: the query is no query.
        """
        parts = urlsplit(self.path)
        try:
            return parts.path, dict(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=20))
        except ValueError as error:
            raise InvalidUsage(f"this is no query: {error}") from error

    def read_body(self) -> bytes:
        """Return the request's body.

        Raises:
            InvalidUsage: it has no length, a wrong one, or is too long.
        """
        said = self.headers.get("Content-Length", "")
        if not (said.isascii() and said.isdigit()):
            raise InvalidUsage("the request needs a Content-Length")
        if len(said) > 9 or int(said) > MOST_BODY_BYTES:
            raise InvalidUsage(f"the request is larger than {MOST_BODY_BYTES >> 20} MiB")
        content = self.rfile.read(int(said))
        if len(content) < int(said):
            raise InvalidUsage("the request ends before its Content-Length")
        return content

    def answer(
        self, status: int, content: bytes, kind: str = "application/json", more: Mapping[str, str] | None = None
    ) -> None:
        """Send a whole answer."""
        self.send_response(HTTPStatus(status))
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def answer_lines(self, lines: Iterator[bytes]) -> None:
        """Send lines of JSON as they come; the end of the connection is their end."""
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Connection", "close")
        self.end_headers()
        for line in lines:
            self.wfile.write(line)
