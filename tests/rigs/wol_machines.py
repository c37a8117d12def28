"""Machines that wake on LAN: network cards at the far end of a veth pair, each with a real sshd while it is on.

A card reads whole Ethernet frames, as a real one does, and wakes its machine where its magic packet is in one. The
caller is at the near end, in a network namespace of its own.
"""

import os
import select
import socket
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from im_client.remote.hostkeys import new_key_pair
from tests.im_client.remote.loopback import Loopback, serve
from tests.rigs.namespace import Namespace, inside, own_network
from tests.rigs.needs import need_programs

__all__ = ["BROADCAST", "INTERFACE", "Machine", "Network", "wol_machines"]

INTERFACE: Final = "near"
BROADCAST: Final = "192.0.2.255"
_SSH_PORT: Final = 22
_ETH_P_ALL: Final = 3  # linux/if_ether.h


class Machine:
    """One machine, off at first."""

    def __init__(self, folder: Path, number: int, public_key: str) -> None:
        self.mac = f"52:54:00:12:34:{number:02x}"
        self.address = f"192.0.2.{10 + number}"
        self.secure_on = b""
        """What must follow the packet."""
        self.woken = 0
        """How many of its packets came."""
        self.key = new_key_pair()
        self._folder = folder / f"machine-{number}"
        self._public_key = public_key
        self._server: Loopback | None = None
        self._lock = threading.Lock()

    @property
    def is_on(self) -> bool:
        server = self._server
        return server is not None and server.process.poll() is None

    def turn_on(self) -> None:
        """Boot; to be called in the machines' namespace."""
        with self._lock:
            if self.is_on:
                return
            self._folder.mkdir(exist_ok=True)
            server = serve(self._folder, host_key=self.key, port=_SSH_PORT, address=self.address, key=self._public_key)
            (self._folder / "bin" / "poweroff").write_text(f"#!/bin/sh\nexec kill {server.process.pid}\n")
            self._server = server

    def turn_off(self) -> None:
        with self._lock:
            if self._server is not None and self.is_on:
                self._server.stop()

    def hang(self) -> None:
        """Accept connections, and say nothing."""
        assert self._server is not None
        self._server.hang()


class Network:
    """The machines, and how they are reached."""

    def __init__(self, folder: Path, far: Namespace, count: int) -> None:
        public, private = new_key_pair("test")
        self.far = far
        self.machines = [Machine(folder, number, public) for number in range(1, count + 1)]
        key, known = folder / "key", folder / "known_hosts"
        key.touch(mode=0o600)
        key.write_text(private.reveal())
        known.write_text("".join(f"{machine.address} {machine.key[0]}\n" for machine in self.machines))
        self.ssh: Mapping[str, Any] = {
            "user": "root",
            "key": str(key),
            "known_hosts": str(known),
            "off_command": ["poweroff"],
        }
        """As `ssh` of a driver."""

    def turn_on(self, machine: Machine) -> None:
        """Press a machine's button."""
        with inside(self.far):
            machine.turn_on()

    def heard(self, frame: bytes) -> None:
        """Let the cards read a frame."""
        for machine in self.machines:
            packet = b"\xff" * 6 + bytes.fromhex(machine.mac.replace(":", "")) * 16 + machine.secure_on
            if packet in frame:
                machine.woken += 1
                machine.turn_on()


@contextmanager
def wol_machines(folder: Path, count: int = 2) -> Iterator[Network]:
    """Make the machines; the caller is in the near namespace until it leaves."""
    need_programs("ip", "sshd", "ssh")
    with own_network() as near, own_network() as far:
        _wire(near, far, count)
        network = Network(folder, far, count)
        end, stop = os.pipe()
        card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
        card.bind(("far", 0))
        listener = threading.Thread(target=_listen, args=(network, card, end), name="wol-cards")
        listener.start()  # in the far namespace, as what it starts
        try:
            with inside(near):
                yield network
        finally:
            os.close(stop)
            listener.join()
            card.close()
            os.close(end)
            for machine in network.machines:
                machine.turn_off()


def _wire(near: Namespace, far: Namespace, count: int) -> None:
    """Connect the namespaces; we are in the far one."""
    _ip("link", "add", "far", "type", "veth", "peer", "name", INTERFACE, "netns", near.path)
    for number in range(1, count + 1):
        _ip("addr", "add", f"192.0.2.{10 + number}/24", "dev", "far")
    _ip("link", "set", "far", "up")
    with inside(near):
        _ip("addr", "add", "192.0.2.1/24", "broadcast", BROADCAST, "dev", INTERFACE)
        _ip("link", "set", INTERFACE, "up")


def _ip(*words: str) -> None:
    argv: Sequence[str] = ["ip", *words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(argv)}: {done.stderr}"


def _listen(network: Network, card: socket.socket, end: int) -> None:
    """Read frames until the other end of a pipe is closed."""
    while True:
        ready, _, _ = select.select([card.fileno(), end], [], [])
        if end in ready:
            return
        network.heard(card.recv(65536))
