"""A small HTTP server that says what a test tells it to, fault by fault."""

import gzip
import json
import threading
from collections import deque
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from clues.kubeapi.api import Api, Connection

Speech = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers with the next speech of its server; with none left a watch is held open and a list is empty."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        query = dict(parse_qsl(target.query))
        with self.server.lock:
            self.server.asked.append((target.path, query, dict(self.headers)))
            speech = self.server.speeches.popleft() if self.server.speeches else None
        try:
            (speech or (stream() if "watch" in query else page([], "1")))(self)
        except OSError:
            self.close_connection = True

    do_POST = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Keep still."""

    def say(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    """On loopback; `speeches` are given in order, `asked` is (path, query, headers) of every request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = threading.Lock()
        self.speeches: deque[Speech] = deque()
        self.asked: list[tuple[str, dict[str, str], dict[str, str]]] = []
        self.over = threading.Event()
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def api(self) -> Api:
        return Api(Connection(self.url, {}), connect_s=2, request_s=2)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is what many tests are about."""

    def end(self) -> None:
        self.over.set()
        self.shutdown()
        self.server_close()
        self._thread.join(2)


def status(code: int, message: str = "", **headers: str) -> Speech:
    """A refusal, as the API server words it."""
    body = json.dumps({"kind": "Status", "code": code, "message": message}).encode()
    return lambda handler: handler.say(code, body, {k.replace("_", "-"): v for k, v in headers.items()})


def page(items: list[Any], version: str, token: str = "", *, zipped: bool = False) -> Speech:
    """A list, or one page of it."""
    body = json.dumps({"metadata": {"resourceVersion": version, "continue": token}, "items": items}).encode()
    if zipped:
        return lambda handler: handler.say(200, gzip.compress(body), {"content-encoding": "gzip"})
    return lambda handler: handler.say(200, body, {})


def stream(*lines: bytes, then: str = "hold") -> Speech:
    """A watch that says the lines and then is held open (`hold`), ended (`end`) or torn off (`cut`)."""

    def speech(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("transfer-encoding", "chunked")
        handler.end_headers()
        for line in lines:
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        handler.wfile.flush()
        if then == "hold":
            handler.server.over.wait(5)
        elif then == "end":
            handler.wfile.write(b"0\r\n\r\n")
            return
        handler.close_connection = True

    return speech


def event(kind: str, item: Any) -> bytes:
    """A line of a watch, as the API server writes it."""
    return json.dumps({"type": kind, "object": item}, separators=(",", ":")).encode() + b"\n"


def named(name: str, version: str = "1", **more: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "uid": f"u-{name}", "resourceVersion": version}, **more}


def bookmark(version: str, *, ends_list: bool = False) -> bytes:
    marks = {"annotations": {"k8s.io/initial-events-end": "true"}} if ends_list else {}
    return event("BOOKMARK", {"metadata": {"resourceVersion": version, **marks}})
