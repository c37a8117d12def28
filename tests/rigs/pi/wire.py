"""The wire that boards hang on: a bridge in a network namespace of its own, with dnsmasq's DHCP server.

The caller is in the namespace, too: neighbours, leases and multicast are as at home. The one way out is a relay to an
apt proxy: the image's apt knows its address.
"""

import contextlib
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from tests.rigs.namespace import Namespace, own_network
from tests.rigs.needs import need_programs
from tests.rigs.process import daemon

__all__ = ["BRIDGE", "GATEWAY", "PROXY", "Wire", "wire"]

BRIDGE: Final = "pi0"
GATEWAY: Final = "10.78.0.1"
_PORT: Final = 3142
PROXY: Final = f"http://{GATEWAY}:{_PORT}"
"""What the image's apt asks."""


@dataclass(frozen=True)
class Wire:
    """The bridge, which is up."""

    leases: Path
    """dnsmasq's file of leases."""

    def tap(self, number: int) -> str:
        """Make a socket in the wall for a board's network card; return its name."""
        name = f"pitap{number}"
        for words in (
            ["tuntap", "add", name, "mode", "tap"],
            ["link", "set", name, "master", BRIDGE],
            ["link", "set", name, "up"],
        ):
            subprocess.run(["ip", *words], check=True, timeout=20)
        return name


@contextmanager
def wire(folder: Path, proxy: str | None = None) -> Iterator[Wire]:
    """Lay the wire and be on it; `proxy` is the URL of an apt proxy that this computer reaches."""
    need_programs("dnsmasq", "ip")
    home = Namespace()
    try:
        with own_network(), contextlib.ExitStack() as stack:
            for line in (
                f"link add {BRIDGE} type bridge stp_state 0 forward_delay 0",
                f"addr add {GATEWAY}/24 dev {BRIDGE}",
                f"link set {BRIDGE} up",
            ):
                subprocess.run(["ip", *line.split()], check=True, timeout=20)
            leases = folder / "leases"
            stack.enter_context(daemon(_dnsmasq(folder, leases), folder)).wait_for((folder / "dnsmasq.pid").exists)
            if proxy is not None:
                stack.enter_context(_relay(home, proxy))
            yield Wire(leases)
    finally:
        home.close()


def _dnsmasq(folder: Path, leases: Path) -> list[str]:
    network = GATEWAY.rpartition(".")[0]
    return [
        "dnsmasq",
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--user=root",
        f"--interface={BRIDGE}",
        "--bind-interfaces",
        "--no-resolv",
        "--no-hosts",
        f"--dhcp-range={network}.50,{network}.99,12h",
        f"--dhcp-leasefile={leases}",
        f"--pid-file={folder / 'dnsmasq.pid'}",
        "--log-dhcp",
        "--log-facility=-",
    ]


@contextmanager
def _relay(home: Namespace, proxy: str) -> Iterator[None]:
    """Listen on the wire and pass on to the proxy, from the namespace that reaches it."""
    parts = urlsplit(proxy)
    there = (parts.hostname or "", parts.port or 80)

    class Pass(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(OSError), socket.create_connection(there, timeout=30) as far:
                far.settimeout(None)
                back = threading.Thread(target=_pump, args=(far, self.request), name="relay-back", daemon=True)
                back.start()
                _pump(self.request, far)
                back.join()

    class Relay(socketserver.ThreadingTCPServer):
        daemon_threads = True
        block_on_close = False
        allow_reuse_address = True

    with Relay((GATEWAY, _PORT), Pass) as server:

        def serve() -> None:
            home.enter()  # this thread alone, and those that it starts
            server.serve_forever(poll_interval=0.2)

        thread = threading.Thread(target=serve, name="relay")
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def _pump(near: socket.socket, far: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while block := near.recv(65536):
            far.sendall(block)
    with contextlib.suppress(OSError):
        far.shutdown(socket.SHUT_WR)
