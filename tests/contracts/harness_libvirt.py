"""Machines of a libvirtd of its own. They have a tiny disk and no system: their life is tested, not their inside."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from im_client.plan.model import Spec
from im_client.providers.base import Instance, Provider
from im_client.providers.registry import provider as open_provider
from tests.rigs.libvirt import libvirt

MARKERS = ("libvirt",)
_CREATE = """
import json, sys
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.registry import provider
settings, name, token = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
print("go", flush=True)
provider("libvirt", settings).create(MachineRequest("contract", name, token, Spec(mem_bytes=64 * 1024**2)))
print("made", flush=True)
"""
_KILL_AFTER_S = (0.1, 0.4, 0.6, 0.8, 1.0, 1.3, 1.7, 2.2)


def tiny_disk(folder: Path, block: int = 1024) -> Path:
    """Make a file system with a secret and nothing to boot from."""
    tree = folder / f"tree-{block}"
    (tree / "etc" / "ssh").mkdir(parents=True)
    (tree / "etc" / "os-release").write_text("ID=tiny\n")
    (tree / "etc" / "ssh" / "ssh_host_ed25519_key").write_text("a secret of this machine\n")
    disk = folder / ("tiny.raw" if block == 1024 else f"tiny-{block}.raw")
    words = ["mke2fs", "-q", "-b", str(block), "-t", "ext4", "-L", "root", "-d", str(tree), str(disk), "16M"]
    subprocess.run(words, check=True, env={**os.environ, "PATH": f"{os.environ['PATH']}:/sbin:/usr/sbin"})
    return disk


class LibvirtHarness:
    """See `Harness`."""

    name = "libvirt"
    can_stop = True
    can_reboot = True
    injects_host_key = True
    brings_keys = False
    has_addresses = True
    has_ssh = False
    concurrent = 3
    settle_s = 60.0

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def provider(self) -> Provider:
        return open_provider("libvirt", self.settings)

    def spec(self) -> Spec:
        return Spec(num_cpus=1, mem_bytes=64 * 1024**2)

    def names(self, count: int) -> list[str]:
        return [f"node-{number}" for number in range(count)]

    def unsupported(self) -> Spec | None:
        return Spec(image="ost://cloud.example/0123")

    def kill_during_create(self, instance_name: str, token: str) -> Iterator[None] | None:
        return self._kills(instance_name, token)

    def _kills(self, name: str, token: str) -> Iterator[None]:
        for delay_s in _KILL_AFTER_S:
            with subprocess.Popen(
                [sys.executable, "-c", _CREATE, json.dumps(self.settings), name, token],
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
        return None


@contextmanager
def harness(folder: Path) -> Iterator[LibvirtHarness]:
    """Open a provider of its own; everything that it made is gone afterwards."""
    with libvirt(folder) as host:
        opened = LibvirtHarness(
            {
                "uri": host.uri,
                "images": {"tiny": {"path": str(tiny_disk(folder)), "distribution": "tiny", "user": "root"}},
                "disk_bytes": 32 * 1024**2,
                "stop_timeout_s": 1,
            }
        )
        yield opened
        provider = opened.provider()
        for machine in provider.list_machines():
            provider.delete(machine.provider_id)
        assert [name for name in os.listdir(host.pool) if not name.startswith("imc.base.")] == []
        assert "<host " not in host.virsh("net-dumpxml", "default")
