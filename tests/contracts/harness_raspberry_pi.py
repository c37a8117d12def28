"""Boards of the `raspberry_pi` provider: sshd servers on loopback behind a smart plug."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from im_client.plan.model import Spec, SpecVolume
from im_client.providers.base import Provider
from im_client.providers.raspberry_pi import open_provider
from tests.contracts.harness_existing import ExistingHarness
from tests.rigs.pi_boards import Shelf, shelf

MARKERS = ("sshd", "ansible")
_CREATE = """
import json, sys
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.raspberry_pi import open_provider
settings, name, token = json.loads(sys.argv[1]), sys.argv[2], sys.argv[3]
provider = open_provider(settings)
provider.prepare(lambda _text: None)
print("go", flush=True)
provider.create(MachineRequest("contract", name, token, Spec(), authorized_keys=(sys.argv[4],)))
"""
_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKilledWhileItWasBeingWrittenDownThereAAAAA"
_KILL_AFTER_S = (0.0, 0.03, 0.1, 0.3)


class RaspberryPiHarness:
    """See `Harness`."""

    name = "raspberry_pi"
    can_stop = True
    can_reboot = True
    injects_host_key = False
    brings_keys = False
    has_addresses = True
    has_ssh = True
    concurrent = 3
    settle_s = 30.0
    shown_host_key = ExistingHarness.shown_host_key

    def __init__(self, made: Shelf) -> None:
        self._shelf = made

    def provider(self) -> Provider:
        return open_provider(self._shelf.settings())

    def spec(self) -> Spec:
        return Spec(num_cpus=2, mem_bytes=1024**3, architecture="arm64", board={"model": "4B"})

    def names(self, count: int) -> list[str]:
        return [f"node-{number}" for number in range(count)]

    def unsupported(self) -> Spec | None:
        return Spec(volumes=(SpecVolume("data", 1024**3),))

    def kill_during_create(self, instance_name: str, token: str) -> Iterator[None] | None:
        return self._kills(instance_name, token)

    def _kills(self, name: str, token: str) -> Iterator[None]:
        settings = msgspec.json.encode(self._shelf.settings()).decode()
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


@contextmanager
def harness(folder: Path) -> Iterator[RaspberryPiHarness]:
    """Fill a shelf; at the end every board is off, was never cut off while it ran, and knows no key of ours."""
    with shelf(folder) as made:
        yield RaspberryPiHarness(made)
        for board in made.boards:
            assert (board.has_power, board.runs, board.died_by_power, board.authorized) == (False, False, False, "")
