"""What the imitations share: a socket, what was asked, and faults on request."""

import json
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

__all__ = ["TOKEN", "Asked", "Fault", "SmallApi", "serving"]

TOKEN = "a-token-that-nobody-shows"


@dataclass(frozen=True)
class Asked:
    """One request."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: Any


@dataclass
class Fault:
    """What happens in place of an answer, or after it has been acted on."""

    on: str
    """Expression that the whole of `METHOD /path` matches."""
    status: int = 0
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    times: int = 1
    hangs: bool = False
    """Nothing comes back until the cloud is closed."""
    cut: bool = False
    """It is acted on; half an answer comes back."""


class SmallApi:
    """The state of one cloud."""

    page = 2
    """How many things an answer lists: so few that pages are turned."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.asked: list[str] = []
        self.requests: list[Asked] = []
        self.faults: list[Fault] = []
        self.closing = threading.Event()
        self.url = ""
        self.machines: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.made = 0

    def answer(self, asked: Asked) -> tuple[int, Any]:
        """Act on a request; return status and answer."""
        raise NotImplementedError

    def number(self) -> int:
        self.made += 1
        return self.made

    def count(self, pattern: str) -> int:
        """Say how often requests that match have come."""
        return sum(1 for asked in self.asked if re.fullmatch(pattern, asked))

    def last(self, pattern: str) -> Asked:
        """Return the last request that matches."""
        return next(one for one in reversed(self.requests) if re.fullmatch(pattern, f"{one.method} {one.path}"))


class _Handler(BaseHTTPRequestHandler):
    cloud: SmallApi
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _do(self) -> None:
        url = urlsplit(self.path)
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        form = "form" in self.headers.get("Content-Type", "")
        body = dict(parse_qsl(raw.decode())) if form else json.loads(raw or b"null")
        headers = {key.lower(): value for key, value in self.headers.items()}
        asked = Asked(self.command, url.path, dict(parse_qsl(url.query)), headers, body)
        cloud = self.cloud
        with cloud.lock:
            cloud.asked.append(f"{asked.method} {asked.path}")
            cloud.requests.append(asked)
            fault = next((one for one in cloud.faults if re.fullmatch(one.on, cloud.asked[-1]) and one.times), None)
            if fault is not None:
                fault.times -= 1
        if fault is not None and fault.hangs:
            cloud.closing.wait(30)
            return
        if fault is not None and not fault.cut:
            self._send(fault.status, fault.body, fault.headers)
            return
        with cloud.lock:
            status, answer = cloud.answer(asked)
        self._send(status, answer, cut=fault is not None)

    def _send(self, status: int, answer: Any, headers: Mapping[str, str] | None = None, *, cut: bool = False) -> None:
        content = b"" if answer is None else answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(status)
        for key, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        if status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = _do

    def log_message(self, format: str, *args: Any) -> None:
        pass


_Cloud = TypeVar("_Cloud", bound=SmallApi)


@contextmanager
def serving(cloud: _Cloud) -> Iterator[_Cloud]:
    """Run one on a port of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"cloud": cloud}))
    server.daemon_threads = True
    cloud.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), name="small-cloud")
    thread.start()
    try:
        yield cloud
    finally:
        cloud.closing.set()
        server.shutdown()
        server.server_close()
        thread.join(10)
