"""The role raspberry_pi_netboot writes into a folder, and a real dnsmasq serves what it wrote."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.rigs.process import daemon

__all__ = ["ROLES", "SERVER", "render", "run_role", "serving"]

ROLES = Path(__file__).parents[2] / "playbooks" / "roles"
SERVER = "10.77.0.1"
PLAY = [
    {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.include_role": {"name": "raspberry_pi_netboot", "tasks_from": part}}
            for part in ("check", "files", "settings")
        ],
    }
]


def render(folder: Path, **variables: Any) -> Path:
    """Let the role write into a folder; return the settings."""
    done = run_role(folder, **variables)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder / "etc" / "dnsmasq.conf"


def run_role(folder: Path, **variables: Any) -> "subprocess.CompletedProcess[str]":
    """Run the parts of the role that need no machine of their own."""
    values = {
        "raspberry_pi_netboot_interface": "br0",
        "raspberry_pi_netboot_address": SERVER,
        "raspberry_pi_netboot_subnet": "10.77.0.0",
        "raspberry_pi_netboot_root": str(folder / "served"),
        "raspberry_pi_netboot_folder": str(folder / "etc"),
        "raspberry_pi_netboot_state": str(folder),
        "raspberry_pi_netboot_user": "nobody",
        "raspberry_pi_netboot_is_started": False,
        "raspberry_pi_netboot_bootcode": str(folder / "image" / "bootcode.bin"),
        **variables,
    }
    (folder / "play.yml").write_text(json.dumps(PLAY))
    return subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-e", json.dumps(values), folder / "play.yml"],
        env={**os.environ, "ANSIBLE_ROLES_PATH": str(ROLES), "ANSIBLE_LOCALHOST_WARNING": "0", "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


@contextlib.contextmanager
def serving(config: Path, folder: Path) -> Iterator[None]:
    words = ["--keep-in-foreground", "--log-facility=-", "--pid-file=", f"--conf-file={config}"]
    with daemon(["dnsmasq", *words], folder) as server:
        server.wait_for(lambda: "DHCP" in server.said() and "TFTP" in server.said())
        yield
