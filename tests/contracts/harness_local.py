"""Root's machines of the `local` provider, with a state folder, bridge and network of their own.

The base image is shared with the ordinary provider: it takes a minute to make.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from im_client.plan.model import Spec
from im_client.providers.base import Instance, Provider
from im_client.providers.local.nspawn_provider import NspawnProvider
from im_client.providers.local.settings import LocalSettings, default_state_dir
from infracore.process import run

MARKERS = ("machines",)
_CREATE = """
import json, sys
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.local.nspawn_provider import NspawnProvider
from im_client.providers.local.settings import LocalSettings
settings, name, token = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
print("go", flush=True)
NspawnProvider(LocalSettings(**settings)).create(MachineRequest("contract", name, token, Spec()))
print("made", flush=True)
"""
_KILL_AFTER_S = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.6)


class LocalHarness:
    """See `Harness`."""

    name = "local"
    can_stop = True
    can_reboot = True
    injects_host_key = True
    brings_keys = False
    has_addresses = True
    has_ssh = True
    concurrent = 4
    settle_s = 60.0

    def __init__(self, settings: LocalSettings) -> None:
        self.settings = settings

    def provider(self) -> Provider:
        return NspawnProvider(self.settings)

    def spec(self) -> Spec:
        return Spec(num_cpus=1, mem_bytes=256 * 1024**2)

    def names(self, count: int) -> list[str]:
        return [f"node-{number}" for number in range(count)]

    def unsupported(self) -> Spec | None:
        return Spec(image="ost://cloud.example/0123")

    def kill_during_create(self, instance_name: str, token: str) -> Iterator[None] | None:
        return self._kills(instance_name, token)

    def _kills(self, name: str, token: str) -> Iterator[None]:
        settings = msgspec.json.encode(self.settings).decode()
        for delay_s in _KILL_AFTER_S:
            with subprocess.Popen(
                [sys.executable, "-c", _CREATE, settings, name, token],
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
def harness(folder: Path) -> Iterator[LocalHarness]:
    """Open a provider of its own; everything that it made is gone afterwards."""
    settings = LocalSettings(
        kind="nspawn",
        state_dir=str(folder / "state"),
        image_dir=str(default_state_dir() / "images"),
        bridge=f"imct{os.getpid() % 100000}",
        nat="off",
        apt_proxy="none",
    )
    opened = LocalHarness(settings)
    provider = opened.provider()
    provider.prepare(lambda _text: None)
    try:
        yield opened
    finally:
        for machine in provider.list_machines():
            provider.delete(machine.provider_id)
        assert not Path("/sys/class/net", settings.bridge).exists()
