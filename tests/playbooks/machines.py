"""Machines of the `local` provider for molecule: `machines.py create|delete FOLDER INFRASTRUCTURE [NAME ...]`.

`create` writes the machines' keys into FOLDER and the inventory `inventory/machines.yml` below it, which molecule
reads with its own, and returns when they answer by ssh. The group of a machine is its name without the number
(`worker-2` is in `worker`), as in a deployment.
Both may be repeated.
"""

import json
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from im_client.plan.model import Phase, Spec
from im_client.providers.base import Instance, MachineRequest, Provider
from im_client.providers.registry import provider
from im_client.remote.access import Access
from im_client.remote.hostkeys import known_hosts, new_host_key, new_key_pair
from im_client.remote.wait import wait_reachable
from infracore.clock import SystemClock
from infracore.errors import CommandFailed
from infracore.ids import new_token

_BOOT_LIMIT_S = 180.0
_MEMORY_BYTES = 768 * 1024**2
_SUITE = "IM_MOLECULE_SUITE"
"""Environment variable: release of the machines where it is not this computer's own, such as `trixie`."""


def open_provider() -> Provider:
    """Open the provider with its defaults: the base image is the one of ordinary deployments."""
    suite = os.environ.get(_SUITE, "")
    return provider("local", {"suite": suite} if suite else {})


def create(machines: Provider, folder: Path, infrastructure: str, names: Sequence[str]) -> None:
    """Make the machines anew and write their inventory."""
    delete(machines, infrastructure)
    machines.prepare(lambda text: print(text, file=sys.stderr))
    public, private = new_key_pair("molecule")
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "id_ed25519"
    key.unlink(missing_ok=True)
    key.touch(mode=0o600)
    key.write_text(private.reveal(), encoding="utf-8")
    made = []
    for name in names:
        spec = Spec(num_cpus=1, mem_bytes=_MEMORY_BYTES)
        host_key = new_host_key()
        request = MachineRequest(infrastructure, name, new_token(), spec, authorized_keys=(public,), host_key=host_key)
        made.append(machines.create(request))
    running = {name: _wait(machines, one, str(key)) for name, one in zip(names, made, strict=True)}
    (folder / "known_hosts").write_text(known_hosts(running.values()), encoding="utf-8")
    text = json.dumps(_inventory(running, folder), indent=2)
    (folder / "inventory").mkdir(exist_ok=True)
    (folder / "inventory" / "machines.yml").write_text(text + "\n", encoding="utf-8")


def delete(machines: Provider, infrastructure: str) -> None:
    """Remove all machines of the scenario."""
    for one in machines.list_machines(infrastructure):
        machines.delete(one.provider_id)


def _wait(machines: Provider, machine: Instance, key: str) -> Access:
    pause, clock = threading.Event(), SystemClock()
    deadline = clock.monotonic() + _BOOT_LIMIT_S
    while machine.phase is not Phase.RUNNING or machine.access is None:
        if machine.phase is Phase.FAILED or clock.monotonic() > deadline:
            raise CommandFailed(f"{machine.name} does not run: {machine.fault}", machines.console(machine.provider_id))
        pause.wait(0.2)
        machine = machines.get(machine.provider_id)
    found = machine.access
    access = Access(found.address, found.user, found.port, private_key_file=key, host_key=found.host_key)
    wait_reachable(access, timeout_s=_BOOT_LIMIT_S, clock=clock, cancel=threading.Event())
    return access


def _inventory(machines: dict[str, Access], folder: Path) -> dict[str, object]:
    groups: dict[str, dict[str, object]] = {}
    for name in machines:
        groups.setdefault(_group(name), {"hosts": {}})["hosts"][name] = {}  # type: ignore[index]
    hosts = {
        name: {
            "ansible_host": access.address,
            "ansible_port": access.port,
            "ansible_user": access.user,
            "ansible_connection": "ssh",
            "ansible_ssh_private_key_file": str(folder / "id_ed25519"),
            "ansible_ssh_common_args": f"-F /dev/null -o UserKnownHostsFile={folder}/known_hosts",
            "ansible_host_key_checking": True,
            "ansible_python_interpreter": access.python,
        }
        for name, access in machines.items()
    }
    nodes = [
        {"name": name, "group": _group(name), "private_address": access.address, "public_address": None}
        for name, access in machines.items()
    ]
    return {"all": {"hosts": hosts, "vars": {"im_nodes": nodes}, "children": groups}}


def _group(name: str) -> str:
    return name.rstrip("0123456789").rstrip("-")


def main(argv: Sequence[str]) -> int:
    """Do what the command line asks."""
    action, folder, infrastructure, *names = argv
    machines = open_provider()
    try:
        if action == "create":
            create(machines, Path(folder), infrastructure, names)
        else:
            delete(machines, infrastructure)
    finally:
        machines.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
