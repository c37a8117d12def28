"""`raspberry_pi_cluster.yml` finds boards whose addresses a DHCP server gave: real sshds, a network of namespaces."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from im_client.remote.hostkeys import new_key_pair
from tests.im_client.remote.loopback import serve
from tests.rigs.lan import Lan, lan
from tests.rigs.namespace import inside
from tests.rigs.needs import need_programs

ROOT = Path(__file__).parents[2]
PLAYBOOK = ROOT / "playbooks" / "raspberry_pi_cluster.yml"
MACS = {"pi-1": "dc:a6:32:00:00:01", "pi-2": "2c:cf:67:00:00:02"}

pytestmark = [pytest.mark.netns, pytest.mark.sshd, pytest.mark.ansible, pytest.mark.slow, pytest.mark.timeout(180)]


class Boards:
    """Boards that `im flash` wrote, on a network whose DHCP server's leases are a file."""

    def __init__(self, folder: Path, net: Lan, stack: ExitStack) -> None:
        self.folder, self.net, self.stack = folder, net, stack
        public, private = new_key_pair()
        self.public = public
        (folder / "key").touch(mode=0o600)
        (folder / "key").write_text(private.reveal())
        self.inventory = folder / "fleet" / "hosts.yml"
        self.inventory.parent.mkdir()
        (folder / "leases").touch()

    def boot(self, name: str, address: str, *, is_impostor: bool = False) -> None:
        """Record a host key as `im flash` does, start the board, and note its lease."""
        key = new_key_pair()
        path = self.folder / "state" / "raspberry_pi" / name / "host_key.pub"
        path.parent.mkdir(parents=True)
        path.write_text(f"{key[0]}\n")
        machine = self.net.join(MACS[name], f"{address}/24")
        shown = new_key_pair() if is_impostor else key
        with inside(machine):
            server = serve(self.folder / name, address=address, port=22, host_key=shown, key=self.public)
        self.stack.callback(server.stop)
        with (self.folder / "leases").open("a") as file:
            file.write(f"0 {MACS[name]} {address} * *\n")

    def play(self, hosts: dict[str, dict[str, Any]], *words: str) -> "subprocess.CompletedProcess[str]":
        """Run what comes before anything is changed, for these boards of the inventory."""
        (self.folder / "im").write_text(f'#!/bin/sh\nexec {sys.executable} -m im_client.cli.main "$@"\n')
        (self.folder / "im").chmod(0o755)
        known = f"{self.folder}/state/raspberry_pi/known_hosts"
        said = {
            "ansible_user": "root",
            "ansible_python_interpreter": sys.executable,
            "ansible_ssh_private_key_file": str(self.folder / "key"),
            "ansible_ssh_common_args": f"-F /dev/null -o StrictHostKeyChecking=yes -o UserKnownHostsFile={known}",
            "raspberry_pi_defaults": {"user": "pi", "authorized_keys": [self.public]},
            "raspberry_pi_flash_program": str(self.folder / "im"),
            "raspberry_pi_find_options": ["--leases", str(self.folder / "leases"), "--key", str(self.folder / "key")],
            "raspberry_pi_wait_s": 5,
        }
        groups = {"raspberry_pi": {"hosts": hosts}, "k3s_cluster": {"hosts": dict.fromkeys(hosts), "vars": said}}
        self.inventory.write_text(yaml.safe_dump({"all": {"children": groups}}))
        argv = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(self.inventory), str(PLAYBOOK)]
        env = {**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1"}
        env |= {"IM_STATE_DIR": str(self.folder / "state"), "PYTHONPATH": str(ROOT)}
        argv += ["--tags", "wait", *words]
        return subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)

    def written(self) -> dict[str, Any]:
        files = sorted((self.inventory.parent / "host_vars").glob("*.yml"))
        return {path.stem: yaml.safe_load(path.read_text()) for path in files}


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[Boards]:
    need_programs("sshd", "ssh", "ssh-keyscan")
    with lan() as net, ExitStack() as stack:
        yield Boards(tmp_path, net, stack)


def test_a_board_is_found_by_its_mac_gone_to_and_written_down_and_needs_no_search_afterwards(boards: Boards) -> None:
    boards.boot("pi-1", "10.77.0.11")
    hosts = {name: {"raspberry_pi_mac": mac} for name, mac in MACS.items()}  # the other one has no power
    done = boards.play(hosts, "--limit", "pi-1")
    assert done.returncode == 0, done.stdout
    assert boards.written() == {"pi-1": {"ansible_host": "10.77.0.11"}}
    again = boards.play(hosts, "--limit", "pi-1")
    assert again.returncode == 0, again.stdout
    assert "changed=0" in again.stdout
    assert "item=" not in again.stdout


def test_an_impostor_and_a_board_without_power_are_left_out_with_the_reason_and_others_go_on(boards: Boards) -> None:
    boards.boot("pi-1", "10.77.0.11")
    boards.boot("pi-2", "10.77.0.12", is_impostor=True)
    hosts: dict[str, dict[str, Any]] = {name: {"raspberry_pi_mac": mac} for name, mac in MACS.items()}
    hosts["pi-3"] = {"raspberry_pi_mac": "d8:3a:dd:00:00:03"}
    done = boards.play(hosts)
    assert done.returncode != 0
    assert "pi-2 was not found: not the key that was put on the card of pi-2" in done.stdout
    assert "pi-3 was not found: not found" in done.stdout
    recap = {line.split()[0]: line for line in done.stdout.partition("PLAY RECAP")[2].splitlines() if ":" in line}
    assert "failed=0" in recap["pi-1"]
    assert all("failed=1" in recap[name] for name in ("pi-2", "pi-3"))
    assert boards.written() == {"pi-1": {"ansible_host": "10.77.0.11"}}


def test_boards_with_fixed_addresses_are_not_looked_for(boards: Boards) -> None:
    boards.boot("pi-1", "10.77.0.11")
    wired = {"interfaces": [{"name": "eth0", "address": "10.77.0.99/24"}]}
    node = {"ansible_host": "10.77.0.99", "raspberry_pi_node": wired, "raspberry_pi_mac": MACS["pi-1"]}
    done = boards.play({"pi-1": node})
    assert done.returncode != 0
    assert boards.written() == {}
