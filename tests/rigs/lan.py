"""A small network of this computer: namespaces that hang on one bridge, and nothing else."""

import contextlib
import selectors
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tests.rigs.namespace import Namespace, inside, own_network

__all__ = ["Lan", "lan", "responder"]

_LOOK_S = 0.05


class Lan:
    """The bridge `br0` in a namespace, which is the calling thread's, and the machines on it."""

    def __init__(self, hub: Namespace, stack: contextlib.ExitStack) -> None:
        self.hub = hub
        self._stack = stack
        self._count = 0

    def join(self, mac: str, address: str = "") -> Namespace:
        """Return the namespace of a new machine whose card `eth0` has this MAC, and an address such as 10.77.0.2/24."""
        machine = self._stack.enter_context(own_network())
        self.hub.enter()
        self._count += 1
        port = f"port{self._count}"
        ip("link", "add", port, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", machine.path)
        ip("link", "set", port, "master", "br0", "up")
        with inside(machine):
            ip("link", "set", "eth0", "up")
            if address:
                ip("address", "add", address, "dev", "eth0")
        return machine


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


@contextmanager
def lan(address: str = "10.77.0.1/24") -> Iterator[Lan]:
    """Make the network, with this computer on it, and be in it."""
    with own_network() as hub, contextlib.ExitStack() as stack:
        ip("link", "add", "br0", "type", "bridge")
        ip("address", "add", address, "dev", "br0")
        ip("link", "set", "br0", "up")
        yield Lan(hub, stack)


@contextmanager
def responder(machine: Namespace, hostname: str, address: str) -> Iterator[None]:
    """Answer multicast DNS for `hostname.local` in a namespace, as avahi does for a question from another port."""
    ready, over = threading.Event(), threading.Event()
    thread = threading.Thread(
        target=_respond, args=(machine, hostname, address, ready, over), name=f"mdns-{hostname}", daemon=True
    )
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def _respond(machine: Namespace, hostname: str, address: str, ready: threading.Event, over: threading.Event) -> None:
    machine.enter()
    wanted = bytes([len(hostname)]) + hostname.encode() + b"\5local\0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link, selectors.DefaultSelector() as waiting:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        link.bind(("", 5353))
        group = socket.inet_aton("224.0.0.251") + socket.inet_aton(address)
        link.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        waiting.register(link, selectors.EVENT_READ)
        ready.set()
        while not over.is_set():
            if not waiting.select(_LOOK_S):
                continue
            query, sender = link.recvfrom(9000)
            if wanted + b"\0\1" in query:
                record = wanted + struct.pack("!2HLH", 1, 1, 10, 4) + socket.inet_aton(address)
                link.sendto(query[:2] + struct.pack("!5H", 0x8400, 0, 1, 0, 0) + record, sender)
