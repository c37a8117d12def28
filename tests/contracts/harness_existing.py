"""Hosts of the `existing` provider: sshd servers on the loopback address, each a host of the file."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec
import yaml

from im_client.plan.model import Spec, SpecVolume
from im_client.providers.base import Instance, Provider
from im_client.providers.existing import ExistingProvider
from im_client.providers.existing.settings import ExistingSettings
from infracore.process import run
from tests.im_client.remote.loopback import Loopback, serve

MARKERS = ("sshd",)
_CREATE = """
import json, sys
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.existing import open_provider
settings, name, token = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
print("go", flush=True)
open_provider(settings).create(MachineRequest("contract", name, token, Spec(), authorized_keys=(sys.argv[4],)))
"""
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKilledWhileItWasBeingWrittenDownThereAAAAA"
_KILL_AFTER_S = (0.0, 0.05, 0.15, 0.3, 0.6)


class ExistingHarness:
    """See `Harness`."""

    name = "existing"
    can_stop = False
    can_reboot = True
    injects_host_key = False
    brings_keys = False
    has_addresses = True
    has_ssh = True
    concurrent = 3
    settle_s = 20.0

    def __init__(self, settings: ExistingSettings) -> None:
        self.settings = settings

    def provider(self) -> Provider:
        return ExistingProvider(self.settings)

    def spec(self) -> Spec:
        return Spec(num_cpus=1, mem_bytes=256 * 1024**2)

    def names(self, count: int) -> list[str]:
        return [f"node-{number}" for number in range(count)]

    def unsupported(self) -> Spec | None:
        return Spec(volumes=(SpecVolume("data", 1024**3),))

    def kill_during_create(self, instance_name: str, token: str) -> Iterator[None] | None:
        return self._kills(instance_name, token)

    def _kills(self, name: str, token: str) -> Iterator[None]:
        settings = msgspec.json.encode(self.settings).decode()
        for delay_s in _KILL_AFTER_S:
            with subprocess.Popen(
                [sys.executable, "-c", _CREATE, settings, name, token, _KEY],
                stdout=subprocess.PIPE,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
            ) as child:
                assert child.stdout is not None
                assert child.stdout.readline() == b"go\n"
                try:
                    child.wait(delay_s)
                except subprocess.TimeoutExpired:
                    os.killpg(child.pid, signal.SIGKILL)
            yield

    def shown_host_key(self, instance: Instance) -> str | None:
        assert instance.access is not None
        words = ["ssh-keyscan", "-T", "2", "-t", "ed25519", "-p", str(instance.access.port), instance.access.address]
        lines = [line for line in run(words, timeout_s=10, check=False).stdout.splitlines() if "ssh-ed25519" in line]
        return lines[0].partition(" ")[2] if lines else None


@contextmanager
def harness(folder: Path) -> Iterator[ExistingHarness]:
    """Start three servers and write the file that names them."""
    with ExitStack() as stack:
        servers = [serve(folder / f"host-{number}") for number in range(3)]
        for server in servers:
            stack.callback(server.stop)
        hosts = folder / "hosts.yaml"
        hosts.write_text(yaml.safe_dump({"hosts": [_row(folder, n, s) for n, s in enumerate(servers)]}))
        yield ExistingHarness(ExistingSettings(hosts_file=str(hosts), state_dir=str(folder / "state")))
        for server in servers:
            assert "im-clues" not in (server.home / ".ssh" / "authorized_keys").read_text()


def _row(folder: Path, number: int, server: Loopback) -> dict[str, object]:
    key = folder / f"key-{number}"
    assert server.access.private_key is not None
    key.touch(mode=0o600)
    key.write_text(server.access.private_key.reveal())
    return {
        "name": f"host-{number}",
        "address": server.access.address,
        "port": server.access.port,
        "user": server.access.user,
        "key_file": str(key),
        "host_key": server.access.host_key,
        "cpus": 2,
        "mem": "1 GiB",
    }
