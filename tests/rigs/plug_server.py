"""A smart plug with some outlets on loopback, as the makers' documents say of each kind."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

__all__ = ["PASSWORD", "PlugServer", "plug_server"]

PASSWORD = 'pass & "word" %'
_REALM = "shellyplus4-0123456789ab"


class PlugServer:
    """The plug; its outlets, counted from 1, are off at first."""

    def __init__(self, kind: str, outlets: int, password: str) -> None:
        self.kind = kind
        self.password = password
        self.outlets = dict.fromkeys(range(1, outlets + 1), False)
        self.on_switch: Callable[[int, bool], None] = lambda _outlet, _on: None
        """What hangs on the outlets."""
        self.is_stuck = False
        """Says yes to orders and carries none out."""
        self.answer: tuple[int, str] | None = None
        """What it says to everything instead."""
        self.orders: list[tuple[int, bool]] = []
        self.address = ""
        self.silent = threading.Event()
        self.ended = threading.Event()

    def switch(self, outlet: int, on: bool) -> None:
        """Press the button."""
        self.outlets[outlet] = on
        self.on_switch(outlet, on)

    def hang(self) -> None:
        """Let it take connections and say nothing."""
        self.silent.set()

    def order(self, outlet: int, on: bool) -> None:
        """Carry out what was asked for."""
        self.orders.append((outlet, on))
        if not self.is_stuck and self.outlets[outlet] is not on:
            self.switch(outlet, on)

    def reply(self, path: str, words: dict[str, str]) -> tuple[int, Any]:
        """Return status and document, as the kind does."""
        if self.kind == "tasmota":
            return self._tasmota(path, words)
        found = re.fullmatch(r"/relay/(\d+)", path) if self.kind == "shelly1" else None
        number = int(found[1] if found else words.get("id", "-1")) + 1
        if self.kind == "shelly1":
            if found is None or number not in self.outlets:
                return 404, "Not Found"
            if "turn" in words:
                self.order(number, words["turn"] == "on")
            return 200, {"ison": self.outlets[number], "has_timer": False, "source": "http"}
        if path not in {"/rpc/Switch.Set", "/rpc/Switch.GetStatus"}:
            return 404, {"code": 404, "message": f"No handler for {path}"}
        if number not in self.outlets:
            return 500, {"code": -105, "message": f"Argument 'id', value {number - 1} not found!"}
        was = self.outlets[number]
        if path == "/rpc/Switch.Set":
            self.order(number, words["on"] == "true")
            return 200, {"was_on": was}
        return 200, {"id": number - 1, "source": "HTTP_in", "output": was, "apower": 0.0}

    def _tasmota(self, path: str, words: dict[str, str]) -> tuple[int, Any]:
        if path != "/cm":
            return 404, "File not found"
        if self.password and (words.get("user"), words.get("password")) != ("admin", self.password):
            return 401, {"WARNING": "Need user=<username>&password=<password>"}
        found = re.fullmatch(r"Power(\d+)(?: (On|Off))?", words.get("cmnd", ""))
        number = int(found[1]) if found else 0
        if found is None or number not in self.outlets:
            return 200, {"Command": "Unknown"}
        if found[2]:
            self.order(number, found[2] == "On")
        name = "POWER" if len(self.outlets) == 1 else f"POWER{number}"
        return 200, {name: "ON" if self.outlets[number] else "OFF"}

    def lets_in(self, uri: str, header: str) -> bool:
        """Check the header by which a Shelly is told the password."""
        if self.kind == "shelly1":
            return header == "Basic " + base64.b64encode(f"admin:{self.password}".encode()).decode()
        scheme, _, rest = header.partition(" ")
        if scheme != "Digest":
            return False
        said = parse_keqv_list(parse_http_list(rest))
        first = _sha256("admin", _REALM, self.password)
        second = _sha256("GET", said["uri"])
        wanted = _sha256(first, said["nonce"], said["nc"], said["cnonce"], said["qop"], second)
        return (said["uri"], said["username"], said["response"]) == (uri, "admin", wanted)


def _sha256(*parts: str) -> str:
    return hashlib.sha256(":".join(parts).encode()).hexdigest()


@contextmanager
def plug_server(kind: str, outlets: int = 2, password: str = PASSWORD) -> Iterator[PlugServer]:
    """Start a plug; it answers when this returns."""
    plug = PlugServer(kind, outlets, password)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if plug.silent.is_set():
                plug.ended.wait(60)
                return
            parts = urlsplit(self.path)
            words = {key: values[0] for key, values in parse_qs(parts.query).items()}
            asks = plug.kind != "tasmota" and bool(plug.password)
            if plug.answer is not None:
                status, document = plug.answer
            elif asks and not plug.lets_in(self.path, self.headers.get("Authorization", "")):
                status, document = 401, "Unauthorized"
            else:
                status, document = plug.reply(parts.path, words)
            body = (document if isinstance(document, str) else json.dumps(document)).encode()
            self.send_response(status)
            if status == 401 and plug.kind == "shelly2":
                nonce = "60dc59c6"
                said = f'Digest qop="auth", realm="{_REALM}", nonce="{nonce}", algorithm=SHA-256'
                self.send_header("WWW-Authenticate", said)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        plug.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="plug", daemon=True)
        thread.start()
        try:
            yield plug
        finally:
            plug.ended.set()
            server.shutdown()
            thread.join()
