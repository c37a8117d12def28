"""A proxy in front of any HTTP API: counts the requests, and does to them what APIs do on a bad day.

    with faults(api.url) as proxy:
        proxy.plan(Fault("RunInstances", status=503, headers={"Retry-After": "1"}))
        ...
        assert proxy.count("RunInstances") == 2

As a program it puts a latency on every request, and nothing else: `python -m tests.rigs.faults URL SECONDS` prints its
own address, and for each line that it reads, how many requests of which kind have come since the last.
"""

import http.client
import json
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

__all__ = ["Call", "Fault", "FaultProxy", "faults"]

_ACTION = re.compile(rb"(?:^|&)Action=(\w+)")
_NOT_ON = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"})
_HANG_S = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """One request that arrived."""

    number: int
    """From 1."""
    what: str
    """`RunInstances` where the API is one of actions (EC2), else `POST /v2.1/servers`."""
    peer: int = 0
    """Port of the client."""


@dataclass
class Fault:
    """What happens to the next `times` requests that fit. Without any of the rest: they are counted."""

    what: str = "*"
    """Shell wildcards."""
    number: int = 0
    """Of the request; 0: any."""
    times: int = 1
    status: int = 0
    """Answered in place of the API's own."""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    hangs: bool = False
    """Is never answered. The API does not hear of it."""
    cuts: bool = False
    """Half of the answer is sent, after the API has done what was asked."""
    drops: bool = False
    """The connection is closed after the API has done what was asked."""
    kills: str = ""
    """`before` the API hears of it, or `after` it has done what was asked: the client process is killed (SIGKILL)."""


class FaultProxy:
    """The proxy. Safe under threads."""

    def __init__(self, upstream: str, latency_s: float = 0.0) -> None:
        self._upstream = urlsplit(upstream)
        self.latency_s = latency_s
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._calls: list[Call] = []
        self._victim: subprocess.Popen[bytes] | subprocess.Popen[str] | None = None
        self._aimed = threading.Event()
        self._over = threading.Event()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="faults", daemon=True)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def calls(self) -> list[Call]:
        """What arrived, in order."""
        with self._lock:
            return list(self._calls)

    def count(self, what: str = "*") -> int:
        """Count the requests that fit."""
        return sum(fnmatchcase(call.what, what) for call in self.calls)

    def plan(self, *planned: Fault) -> None:
        """Forget what was planned and counted, and plan anew."""
        with self._lock:
            self._faults = list(planned)
            self._calls = []
        self._aimed.clear()

    def aim(self, victim: "subprocess.Popen[bytes] | subprocess.Popen[str]") -> None:
        """Name the process that is to be killed; a request that kills waits for it."""
        self._victim = victim
        self._aimed.set()

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """End, and let hanging requests go."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def arrived(self, what: str) -> Fault:
        """Count a request and say what is to be done to it."""
        with self._lock:
            call = Call(len(self._calls) + 1, what)
            self._calls.append(call)
            for fault in self._faults:
                if fault.times and fault.number in {0, call.number} and fnmatchcase(what, fault.what):
                    fault.times -= 1
                    return fault
        return Fault()

    def pause(self, seconds: float) -> None:
        """Wait, or until the proxy ends."""
        self._over.wait(seconds)

    def kill(self) -> None:
        """Kill the client process, and wait until it is dead."""
        if not self._aimed.wait(30) or self._victim is None:
            raise AssertionError("no process is aimed at")
        self._victim.kill()
        self._victim.wait(30)

    def forward(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """Ask the API itself."""
        kind = http.client.HTTPSConnection if self._upstream.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._upstream.netloc, timeout=120)
        try:
            connection.request(method, self._upstream.path + path, body or None, dict(headers))
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    owner: FaultProxy

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        action = _ACTION.search(body) if self.command == "POST" else None
        fault = self.owner.arrived(action[1].decode() if action else f"{self.command} {self.path.partition('?')[0]}")
        if self.owner.latency_s:
            self.owner.pause(self.owner.latency_s)
        if fault.kills == "before":
            self.owner.kill()
        if fault.hangs:
            self.owner.pause(_HANG_S)
        if fault.kills == "before" or fault.hangs:
            self.close_connection = True
            return
        if fault.status:
            self._answer(fault.status, fault.headers.items(), fault.body.encode())
            return
        status, headers, answer = self.owner.forward(self.command, self.path, self.headers, body)
        if fault.kills == "after":
            self.owner.kill()
        if fault.kills == "after" or fault.drops:
            self.close_connection = True
            return
        self._answer(status, headers, answer, part=0.5 if fault.cuts else 1.0)

    def _answer(self, status: int, headers, body: bytes, part: float = 1.0) -> None:  # type: ignore[no-untyped-def]
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _NOT_ON:
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: int(len(body) * part)])
        self.close_connection = part < 1.0

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _serve

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def faults(upstream: str, latency_s: float = 0.0) -> Iterator[FaultProxy]:
    """Run a proxy."""
    proxy = FaultProxy(upstream, latency_s)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


if __name__ == "__main__":
    with faults(sys.argv[1], float(sys.argv[2])) as running:
        print(json.dumps(running.url), flush=True)
        for _ in sys.stdin:  # until whoever started it lets go
            print(json.dumps(Counter(call.what for call in running.calls)), flush=True)
            running.plan()
