"""From a blank card to a configured board: flashed, booted, found, trusted and set up; and again, with nothing to do.

The board is QEMU's, emulated; its image is laid out as Raspberry Pi OS is, of Debian's packages. `tests/rigs/pi` says
what is real.
"""

import functools
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from im_client.remote.hostkeys import new_key_pair
from tests.e2e.conftest import Im
from tests.rigs.needs import need_programs, need_root
from tests.rigs.pi.apt_cache import apt_cache
from tests.rigs.pi.board import Board
from tests.rigs.pi.image import PiImage, pi_image
from tests.rigs.pi.wire import Wire, wire
from tests.rigs.process import wait_until

pytestmark = [pytest.mark.pi, pytest.mark.ansible, pytest.mark.long, pytest.mark.timeout(5400)]

ROOT = Path(__file__).parents[2]
NAME = "Like Raspberry Pi OS Lite (64-bit)"
MAC = "dc:a6:32:0a:0b:0c"
SERIAL = "10000000a1b2c3d4"
CARD_BYTES = 4 * 1024**3
BOOT_S = 1500
"""An emulated board that shares two cores with others boots in minutes."""


@contextmanager
def card_reader(card: Path) -> Iterator[str]:
    """Have the card in a reader: a loop device."""
    with card.open("wb") as file:
        file.truncate(CARD_BYTES)
    device = subprocess.run(
        ["losetup", "--find", "--show", card], capture_output=True, text=True, check=True, timeout=20
    ).stdout.strip()
    try:
        yield device
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=60)


class Site:
    """The fleet of one board, its inventory, and the programs that are run for it."""

    def __init__(self, folder: Path, image: PiImage) -> None:
        self.folder = folder
        self.im = Im(folder / "state")
        self.im.env |= {"PYTHONPATH": str(ROOT), "ANSIBLE_ROLES_PATH": str(ROOT / "playbooks" / "roles")}
        self.inventory = folder / "inventory"
        self.known_hosts = folder / "state" / "raspberry_pi" / "known_hosts"
        self.key = folder / "key"
        public, private = new_key_pair("me")
        self.key.touch(mode=0o600)
        self.key.write_text(private.reveal())
        self.image = image
        shutil.copytree(ROOT / "inventories" / "raspberry_pi", self.inventory)
        shutil.rmtree(self.inventory / "host_vars")
        (self.inventory / "host_vars").mkdir()
        groups: dict[str, object] = {
            "raspberry_pi": {"hosts": {"pi-1": {}}},
            "k3s_cluster": {"children": {"k3s_server": {}}},
        }
        groups["k3s_server"] = {"hosts": {"pi-1": {}}}
        (self.inventory / "hosts.yml").write_text(json.dumps({"all": {"children": groups}}))
        node = {"user": "ana", "authorized_keys": [public], "cmdline": ["panic=30"]}
        board = {
            "raspberry_pi_node": {**node, "locale": "", "keyboard": ""},  # the image has no package to make them
            "raspberry_pi_mac": MAC,
            "raspberry_pi_serial": SERIAL,
            "raspberry_pi_base_clock_wait_s": 5,  # there is no time server
            "ansible_user": "ana",
            "ansible_ssh_private_key_file": str(self.key),
        }
        (self.inventory / "host_vars" / "pi-1.yml").write_text(yaml.safe_dump(board))

    def discover(self, line: Wire, board: Board) -> dict[str, str]:
        """Look for the board until it has proved its key; note where it is, for Ansible and for ssh.

        Not by `--wait`: what it gives up on stays with the sshd of an emulated board, which then lets nobody in.
        """
        words = ["-i", str(self.inventory), "--leases", str(line.leases), "--key", str(self.key), "--write"]
        found: list[dict[str, str]] = []

        def is_known() -> bool:
            assert board.is_on, board.said()
            done = self.im("nodes", "discover", *words, "--timeout", "120", "--json", status=None)
            found[:] = json.loads(done.stdout)["machines"] if done.returncode == 0 else []
            return bool(found)

        wait_until(is_known, "the board is found", BOOT_S, board.said, every_s=30)
        return found[0]

    def ssh(self, address: str, command: str) -> "subprocess.CompletedProcess[str]":
        """Run a command on the board, whose host key must be the one that is known."""
        options = ["-F", "none", "-i", str(self.key), "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"]
        options += ["-o", f"UserKnownHostsFile={self.known_hosts}", "-o", "StrictHostKeyChecking=yes"]
        argv = ["ssh", *options, "-o", "ConnectTimeout=60", f"ana@{address}", command]
        return subprocess.run(argv, capture_output=True, text=True, timeout=600, check=False, stdin=subprocess.DEVNULL)

    def play(self) -> str:
        """Apply the role as the cluster's playbook does; return the line of the recap."""
        playbook = ROOT / "playbooks" / "raspberry_pi_cluster.yml"
        env = self.im.env | {"ANSIBLE_TIMEOUT": "300", "ANSIBLE_PIPELINING": "True"}
        argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.inventory), str(playbook)]
        done = subprocess.run(
            [*argv, "--tags", "base"], env=env, capture_output=True, text=True, timeout=2400, check=False
        )
        assert done.returncode == 0, f"{done.stdout[-6000:]}\n{done.stderr[-2000:]}"
        return next(str(line) for line in done.stdout.splitlines() if re.match(r"pi-1\s+: ok=", line))


@contextmanager
def os_list(image: PiImage, folder: Path) -> Iterator[str]:
    """Serve the image on loopback; return the path of a list of images as rpi-imager reads it."""
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(image.packed.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, name="images")
        thread.start()
        path = folder / "os_list.json"
        path.write_text(json.dumps({"os_list": [_listed(image, server.server_port)]}))
        try:
            yield str(path)
        finally:
            server.shutdown()
            thread.join()


def _listed(image: PiImage, port: int) -> dict[str, object]:
    return {
        "name": NAME,
        "url": f"http://127.0.0.1:{port}/{image.packed.name}",
        "extract_size": image.size,
        "extract_sha256": image.sha256,
        "image_download_size": image.packed.stat().st_size,
        "image_download_sha256": image.packed_sha256,
        "init_format": "cloudinit-rpi",
    }


@pytest.fixture
def proxy() -> Iterator[str]:
    need_root()
    need_programs("losetup", "ssh")
    with apt_cache() as url:
        yield url


@pytest.fixture
def site(tmp_path: Path, proxy: str) -> Site:
    del proxy  # the image is made through it where it is not there yet
    return Site(tmp_path, pi_image())


def test_a_board_is_flashed_booted_found_trusted_and_set_up_once(site: Site, proxy: str, tmp_path: Path) -> None:
    card = tmp_path / "card.img"
    with card_reader(card) as device, os_list(site.image, tmp_path) as listed:
        words = [NAME, "--os-list", listed, "--to", f"pi-1={device}", "--inventory", str(site.inventory)]
        report = site.im.report("flash", *words, "-y")
    assert [one["state"] for one in report["cards"]] == ["done"]
    with wire(tmp_path, proxy) as line:
        board = Board(tmp_path, card, line.tap(1), mac=MAC, serial=SERIAL)
        board.turn_on()
        try:
            _goes_on(site, board, line)
        finally:
            if board.is_on:
                board.pull_the_plug()


def _goes_on(site: Site, board: Board, line: Wire) -> None:
    machine = site.discover(line, board)
    assert (machine["board"], machine["mac"], machine["key"]) == ("pi-1", MAC, "known")
    assert machine["serial"] == SERIAL
    address = machine["address"]
    wait_until(lambda: site.ssh(address, "cloud-init status --wait").returncode != 255, "cloud-init ends", BOOT_S)
    told = site.ssh(address, "cloud-init status --long")
    assert told.returncode == 0, told.stdout
    told = site.ssh(address, "hostname; readlink /etc/localtime; tr -d '\\0' </proc/device-tree/model").stdout
    assert told.splitlines() == ["pi-1", "/usr/share/zoneinfo/Europe/Madrid", "Raspberry Pi 4 Model B Rev 1.4"]
    assert "panic=30" in site.ssh(address, "cat /proc/cmdline").stdout.split()
    assert (
        int(site.ssh(address, "df --output=size -B1 / | tail -1").stdout) > 3 * 1024**3
    )  # the card's, not the image's

    first = site.play()
    assert board.boots == 2, "the role restarts the board for the kernel's options"
    assert "cgroup_enable=memory" in site.ssh(address, "cat /proc/cmdline").stdout.split()
    second = site.play()
    assert "changed=0 " in second, (first, second)
    assert board.boots == 2

    site.ssh(address, "sudo systemctl poweroff")
    board.wait_off(300)
