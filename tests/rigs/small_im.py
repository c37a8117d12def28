"""A server on loopback that says what a test tells it to, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Reply", "SmallIm", "small_im"]


@dataclass(frozen=True)
class Reply:
    """One answer."""

    status: int = 200
    body: Any = ""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class SmallIm:
    """`answers` maps `GET /path` (without the query) to a reply, or to what makes one; all else is 404."""

    answers: dict[str, Reply | Callable[[], Reply]]
    url: str = ""
    asked: list[tuple[str, dict[str, str], str]] = field(default_factory=list)
    """Request line, headers in small letters, and body, in the order of their coming."""

    def count(self, line: str) -> int:
        """Return how often something was asked; the query counts."""
        return sum(asked == line for asked, _, _ in self.asked)


@contextmanager
def small_im(answers: dict[str, Reply | Callable[[], Reply]]) -> Iterator[SmallIm]:
    """Serve until the end of the context."""
    server = SmallIm(answers)

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            size = int(self.headers.get("content-length") or 0)
            said = {name.lower(): value for name, value in self.headers.items()}
            server.asked.append((f"{self.command} {self.path}", said, self.rfile.read(size).decode()))
            found = server.answers.get(f"{self.command} {self.path.partition('?')[0]}", Reply(404, {"message": "no"}))
            reply = found() if callable(found) else found
            is_text = isinstance(reply.body, str)
            raw = reply.body.encode() if is_text else json.dumps(reply.body).encode()
            self.send_response(reply.status)
            for name, value in {"Content-Type": "text/plain" if is_text else "application/json"}.items():
                self.send_header(name, value)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        do_GET = do_POST = do_PUT = do_DELETE = _do

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        yield server
        http.shutdown()
        thread.join(10)
