"""A Redfish service (DSP0266) on loopback over TLS: a service root, sessions, one ComputerSystem, and its Reset.

OpenStack's emulator from PyPI runs too (sushy.py), but has no sessions, turns machines on and off seconds later at
random, and never fails. This one is what DMTF's schemas ask of these resources and nothing more, at once; and it has
the faults that the tests need: slow, dripping, full, and failing.
"""

import base64
import datetime
import ipaddress
import json
import secrets
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

__all__ = ["PASSWORD", "SYSTEM", "USER", "Bmc", "redfish_bmc"]

USER: Final = "clues"
PASSWORD: Final = "loopback-only"
SYSTEM: Final = "/redfish/v1/Systems/437XR1138R2"
_SESSIONS: Final = "/redfish/v1/SessionService/Sessions"
_RESET: Final = f"{SYSTEM}/Actions/ComputerSystem.Reset"
_INFO: Final = f"{SYSTEM}/ResetActionInfo"


class Bmc:
    """One service and the machine that it controls, which is off at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.on = False
        self.orders: list[str] = []
        """ResetTypes, as they came."""
        self.sessions: dict[str, str] = {}
        """Id to token."""
        self.most_sessions = 4
        self.reset_types = ["On", "ForceOff", "GracefulShutdown"]
        self.action_info = False
        """Name the reset types in an ActionInfo."""
        self.hears_no_shutdown = False
        self.faults: dict[tuple[str, str], list[int]] = {}
        """(method, path) to statuses that its next requests are answered with."""
        self.drips = False
        """Answer a byte at a time, for ever."""
        self.hangs = False
        self.asked = 0
        """Requests so far."""
        self.stopping = threading.Event()

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    def get(self, path: str) -> dict[str, Any] | None:
        """Return a resource."""
        action: dict[str, Any] = {"target": _RESET}
        if self.action_info:
            action["@Redfish.ActionInfo"] = _INFO
        else:
            action["ResetType@Redfish.AllowableValues"] = self.reset_types
        resources: dict[str, dict[str, Any]] = {
            "/redfish/v1": {
                "@odata.id": "/redfish/v1/",
                "RedfishVersion": "1.15.0",
                "Systems": {"@odata.id": "/redfish/v1/Systems"},
                "Links": {"Sessions": {"@odata.id": _SESSIONS}},
            },
            _SESSIONS: {"Members": [{"@odata.id": f"{_SESSIONS}/{name}"} for name in self.sessions]},
            "/redfish/v1/Systems": {"Members": [{"@odata.id": SYSTEM}], "Members@odata.count": 1},
            SYSTEM: {
                "@odata.id": SYSTEM,
                "Id": SYSTEM.rpartition("/")[2],
                "PowerState": "On" if self.on else "Off",
                "Status": {"State": "Enabled", "Health": "OK"},
                "Actions": {"#ComputerSystem.Reset": action},
            },
            _INFO: {"Parameters": [{"Name": "ResetType", "Required": True, "AllowableValues": self.reset_types}]},
        }
        return resources.get(path)

    def reset(self, kind: object) -> int:
        """Carry a reset out and return the HTTP status."""
        if kind not in self.reset_types:
            return 400
        self.orders.append(str(kind))
        if kind == "On":
            self.on = True
        elif kind == "ForceOff" or (kind == "GracefulShutdown" and not self.hears_no_shutdown):
            self.on = False
        return 204


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    bmc: Bmc

    def log_message(self, format: str, *args: object) -> None:
        return

    def do_GET(self) -> None:
        if self._may():
            found = self.bmc.get(self.path.rstrip("/"))
            self._answer(404 if found is None else 200, found or {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", "0"))) or b"{}")
        if not self._may():
            return
        if self.path == _SESSIONS:
            self._log_in(body)
        elif self.path == _RESET:
            self._answer(self.bmc.reset(body.get("ResetType")))
        else:
            self._answer(404)

    def do_DELETE(self) -> None:
        if self._may():
            gone = self.bmc.sessions.pop(self.path.rpartition("/")[2], None)
            self._answer(404 if gone is None else 204)

    def _log_in(self, body: dict[str, Any]) -> None:
        if (body.get("UserName"), body.get("Password")) != (USER, PASSWORD):
            self._answer(401)
        elif len(self.bmc.sessions) >= self.bmc.most_sessions:
            self._answer(503)
        else:
            name, token = secrets.token_hex(4), secrets.token_hex(16)
            self.bmc.sessions[name] = token
            where = f"{_SESSIONS}/{name}"
            self._answer(201, {"@odata.id": where, "Id": name}, {"X-Auth-Token": token, "Location": where})

    def _may(self) -> bool:
        """Answer with a fault, or with 401, where that is due; the service root and logging in are open to all."""
        bmc = self.bmc
        bmc.asked += 1
        if bmc.hangs:
            bmc.stopping.wait()
            self.close_connection = True
            return False
        if bmc.drips:
            self._drip()
            return False
        faults = bmc.faults.get((self.command, self.path.rstrip("/")))
        if faults:
            self._answer(faults.pop(0))
            return False
        is_open = self.path.rstrip("/") == "/redfish/v1" or (self.command, self.path) == ("POST", _SESSIONS)
        basic = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        known = self.headers.get("X-Auth-Token") in bmc.sessions.values() or self.headers.get("Authorization") == basic
        if not (is_open or known):
            self._answer(401)
        return is_open or known

    def _drip(self) -> None:
        self.close_connection = True
        try:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not self.bmc.stopping.wait(0.1):
                self.wfile.write(b".")
        except OSError:
            return

    def _answer(self, status: int, body: dict[str, Any] | None = None, headers: dict[str, str] | None = None) -> None:
        if body is None:
            body = {"error": {"code": "Base.1.8.GeneralError", "message": f"status {status}"}} if status >= 400 else {}
        raw = b"" if status == 204 else json.dumps(body).encode()
        self.send_response(status)
        for key, value in {"OData-Version": "4.0", "Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(key, value)
        if status != 204:
            self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    context: ssl.SSLContext

    def get_request(self) -> tuple[socket.socket, Any]:
        """Leave the handshake to the connection's thread."""
        raw, address = super().get_request()
        return self.context.wrap_socket(raw, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away in the middle are part of the tests."""


@contextmanager
def redfish_bmc(folder: Path) -> Iterator[Bmc]:
    """Start a service on 127.0.0.1."""
    folder.mkdir(parents=True, exist_ok=True)
    bmc = Bmc(folder)
    key = _certificate(folder)
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"bmc": bmc}))
    server.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(bmc.ca_file, key)
    bmc.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), name="redfish-rig")
    thread.start()
    try:
        yield bmc
    finally:
        bmc.stopping.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _certificate(folder: Path) -> Path:
    """Write a certificate of 127.0.0.1 that vouches for itself, with a name of its own; return its key's path."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, folder.name)])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    path = folder / "key.pem"
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path
