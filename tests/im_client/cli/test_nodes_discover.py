"""Raspberry Pis in network namespaces, each with a real sshd, are found and told from impostors."""

import json
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from im_client.remote.hostkeys import new_key_pair
from infracore.secrets import Secret
from tests.im_client.remote.loopback import Loopback, serve
from tests.rigs.lan import Lan, lan, responder
from tests.rigs.namespace import Namespace, inside
from tests.rigs.needs import need_programs
from tests.rigs.process import daemon

pytestmark = [pytest.mark.netns, pytest.mark.sshd, pytest.mark.slow]
FLEET = """
all:
  hosts:
    pi-1: {raspberry_pi_mac: "dc:a6:32:00:00:01"}
    pi-2: {}
    pi-3: {raspberry_pi_mac: "dc:a6:32:00:00:03"}
    pi-4: {}
  vars:
    raspberry_pi_defaults: {user: pi, authorized_keys: [KEY]}
"""


@dataclass
class World:
    """The network, the state folder of `im`, and the machines."""

    lan: Lan
    folder: Path
    stack: ExitStack
    keys: dict[str, tuple[str, Secret]] = field(default_factory=dict)
    machines: dict[str, Namespace] = field(default_factory=dict)
    servers: dict[str, Loopback] = field(default_factory=dict)

    def flashed(self, hostname: str) -> tuple[str, Secret]:
        """Record a host key, as `im flash` does."""
        key = new_key_pair()
        path = self.folder / "state" / "raspberry_pi" / hostname / "host_key.pub"
        path.parent.mkdir(parents=True)
        path.write_text(f"{key[0]}\n")
        self.keys[hostname] = key
        return key

    def boot(self, name: str, number: int, *, mac: str, key: tuple[str, Secret] | None = None) -> None:
        """Start a machine at 10.77.0.NUMBER with an SSH server."""
        machine = self.lan.join(mac, f"10.77.0.{number}/24")
        self.machines[name] = machine
        with inside(machine):
            server = serve(self.folder / name, address=f"10.77.0.{number}", port=22, host_key=key)
        self.servers[name] = server
        self.stack.callback(server.stop)

    def door_key(self, name: str) -> str:
        """Let a machine tell its serial number to whoever logs in with the key in this file."""
        cat = self.folder / name / "bin" / "cat"
        cat.write_text("#!/bin/sh\nprintf '10000000abcdef01\\0'\n")
        cat.chmod(0o755)
        secret = self.servers[name].access.private_key
        assert secret is not None
        path = self.folder / "key"
        path.touch(mode=0o600)
        path.write_text(secret.reveal())
        return str(path)

    def call(self, name: str, hostname: str, number: int) -> None:
        """Let a machine answer multicast DNS."""
        self.stack.enter_context(responder(self.machines[name], hostname, f"10.77.0.{number}"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    need_programs("sshd", "ssh", "ssh-keyscan")
    with lan() as net, ExitStack() as stack:
        yield World(net, tmp_path, stack)


def rows(answer: Any) -> dict[str, tuple[str | None, str, str | None]]:
    return {one["address"]: (one["board"], one["key"], one["matched_by"]) for one in answer.json["machines"]}


def test_a_fleet_is_found_each_board_by_what_it_shows(world: World, im: Any) -> None:
    inventory = world.folder / "fleet" / "hosts.yaml"
    inventory.parent.mkdir()
    public = new_key_pair()[0]
    inventory.write_text(FLEET.replace("KEY", public))
    (inventory.parent / "host_vars").mkdir()
    (inventory.parent / "host_vars" / "pi-1.yml").write_text("ansible_host: 10.0.0.9 # old\nrack: 3\n")
    for name in ("pi-1", "pi-2", "pi-3", "pi-4"):
        world.flashed(name)
    world.boot("one", 11, mac="dc:a6:32:00:00:01", key=world.keys["pi-1"])
    world.boot("two", 12, mac="52:54:00:00:00:02", key=world.keys["pi-2"])
    world.boot("three", 13, mac="dc:a6:32:00:00:03")  # the board of the inventory with a key of its own
    world.boot("guest", 14, mac="2c:cf:67:00:00:09")
    world.boot("cunning", 15, mac="2c:cf:67:00:00:0a")
    world.call("two", "pi-2", 12)
    world.call("cunning", "pi-2", 15)
    answer = im("nodes", "discover", "-i", str(inventory), "--sweep", "10.77.0.0/27", "--write", "--json")
    assert rows(answer) == {
        "10.77.0.11": ("pi-1", "known", "mac"),
        "10.77.0.12": ("pi-2", "known", "hostname"),
        "10.77.0.13": ("pi-3", "changed", "mac"),
        "10.77.0.14": (None, "unknown", None),
        "10.77.0.15": ("pi-2", "changed", "hostname"),
    }
    assert answer.status == 1
    assert answer.json["missing"] == ["pi-4"]
    assert [one["board"] for one in answer.json["written"]] == ["pi-1", "pi-2"]
    assert [one["board"] for one in answer.json["unwritten"]] == ["pi-3", "pi-4"]
    host_vars = inventory.parent / "host_vars"
    assert (host_vars / "pi-1.yml").read_text() == "ansible_host: 10.77.0.11 # old\nrack: 3\n"
    assert (host_vars / "pi-2.yml").read_text() == "---\nansible_host: 10.77.0.12\n"
    known = (world.folder / "state" / "raspberry_pi" / "known_hosts").read_text().splitlines()
    assert f"10.77.0.11 {world.keys['pi-1'][0]}" in known
    assert f"pi-1.local {world.keys['pi-1'][0]}" in known
    assert not any(line.startswith("10.77.0.13 ") for line in known)
    assert sorted(path.name for path in host_vars.iterdir()) == ["pi-1.yml", "pi-2.yml"]


def test_without_an_inventory_boards_that_were_flashed_here_are_known_by_their_key(world: World, im: Any) -> None:
    world.boot("one", 11, mac="d8:3a:dd:00:00:01", key=world.flashed("pi-1"))
    world.boot("other", 12, mac="52:54:00:00:00:02")
    answer = im("nodes", "discover", "--sweep", "10.77.0.8/29", "--key", world.door_key("one"))
    assert answer.status == 0
    assert "pi-1" in answer.out
    assert "10000000abcdef01" in answer.out
    assert "10.77.0.12" in answer.out  # the network was named: who is on it is told
    quiet = im("nodes", "discover", "--json")
    assert rows(quiet) == {"10.77.0.11": ("pi-1", "known", "key")}  # and is a neighbour by now


def test_a_machine_that_shows_a_key_and_cannot_sign_with_it_is_an_impostor(world: World, im: Any) -> None:
    paramiko = pytest.importorskip("paramiko")
    world.flashed("pi-1")
    shown = world.keys["pi-1"][0].split()[1]
    import base64
    import socket

    class Borrowed(paramiko.Ed25519Key):  # type: ignore[misc, name-defined]
        def asbytes(self) -> bytes:
            return base64.b64decode(shown)

    machine = world.lan.join("dc:a6:32:00:00:01", "10.77.0.11/24")
    with inside(machine):
        door = socket.create_server(("10.77.0.11", 22))
    own = world.folder / "own"
    own.touch(mode=0o600)
    own.write_text(new_key_pair()[1].reveal())

    def serve_all() -> None:
        while True:
            try:
                link, _ = door.accept()
            except OSError:
                return
            transport = paramiko.Transport(link)
            transport.add_server_key(Borrowed.from_private_key_file(str(own)))
            transport.start_server(event=threading.Event(), server=paramiko.ServerInterface())

    thread = threading.Thread(target=serve_all, name="impostor", daemon=True)
    thread.start()
    try:
        answer = im("nodes", "discover", "--sweep", "10.77.0.8/29", "--json")
    finally:
        door.shutdown(socket.SHUT_RDWR)
        door.close()
        thread.join(10)
    (one,) = answer.json["machines"]
    assert one["shown_key"] == world.keys["pi-1"][0]
    assert (one["board"], one["key"]) == ("pi-1", "changed")
    assert "cannot sign" in one["note"]
    assert answer.status == 1


def test_a_host_that_is_silent_is_shown_and_waiting_for_it_has_an_end(world: World, im: Any) -> None:
    world.lan.join("dc:a6:32:00:00:01", "10.77.0.11/24")
    inventory = world.folder / "hosts.yaml"
    public = new_key_pair()[0]
    inventory.write_text(FLEET.replace("KEY", public))
    world.flashed("pi-1")
    answer = im(
        *("nodes", "discover", "-i", str(inventory), "--sweep", "10.77.0.8/29", "--wait", "--timeout", "7", "--json")
    )
    assert answer.status == 4
    assert rows(answer) == {"10.77.0.11": ("pi-1", "none", "mac")}
    assert answer.json["missing"] == ["pi-2", "pi-3", "pi-4"]
    assert "waiting for pi-1" in answer.err


def test_avahi_answers(world: World, im: Any, tmp_path: Path) -> None:
    need_programs("avahi-daemon")
    world.boot("one", 11, mac="dc:a6:32:00:00:01", key=world.flashed("pi-1"))
    config = tmp_path / "avahi.conf"
    config.write_text("[server]\nhost-name=pi-1\nuse-ipv6=no\nenable-dbus=no\n[publish]\npublish-workstation=no\n")
    program = shutil.which("avahi-daemon", path=f"{os.environ['PATH']}:/usr/sbin")
    assert program is not None
    with inside(world.machines["one"]):
        avahi = daemon([program, "--no-drop-root", "--no-chroot", "--no-proc-title", "-f", config], tmp_path)
        running = world.stack.enter_context(avahi)
    running.wait_for(lambda: "Server startup complete" in running.said())
    answer = im("nodes", "discover", "--json")
    assert json.loads(answer.out)["machines"][0]["hostname"] == "pi-1"
    assert rows(answer) == {"10.77.0.11": ("pi-1", "known", "hostname")}
