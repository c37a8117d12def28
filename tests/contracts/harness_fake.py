"""The fake provider under the contract suite: a world in a folder, so that another process finds it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from im_client.plan.model import Spec
from im_client.providers.base import Instance
from im_client.providers.fake import FakeProvider, FakeSettings

_CREATE = """
import sys
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.fake import FakeProvider, FakeSettings
provider = FakeProvider(FakeSettings(state_dir=sys.argv[1], delay_s={sys.argv[4]: 600}))
print("begun", flush=True)
provider.create(MachineRequest("contract", sys.argv[2], sys.argv[3], Spec(num_cpus=1)))
"""


class FakeHarness:
    name = "fake"
    can_stop = True
    can_reboot = True
    injects_host_key = True
    brings_keys = False
    has_addresses = True
    has_ssh = False
    concurrent = 50
    settle_s = 5.0

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def provider(self) -> FakeProvider:
        return FakeProvider(FakeSettings(state_dir=str(self._folder), unsupported=("num_gpus",)))

    def spec(self) -> Spec:
        return Spec(num_cpus=1, mem_bytes=2**28)

    def names(self, count: int) -> list[str]:
        return [f"wn-{number}" for number in range(1, count + 1)]

    def unsupported(self) -> Spec | None:
        return Spec(num_gpus=1)

    def kill_during_create(self, instance_name: str, token: str) -> Iterator[None] | None:
        def kills() -> Iterator[None]:
            for moment in ("create", "created"):  # before the machine is there, and before create has said so
                words = [sys.executable, "-c", _CREATE, str(self._folder), instance_name, token, moment]
                with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
                    assert process.stdout is not None
                    process.stdout.readline()
                    if moment == "created":
                        while not self.provider().list_machines("contract"):
                            assert process.poll() is None
                    process.send_signal(signal.SIGKILL)
                yield

        return kills()

    def shown_host_key(self, instance: Instance) -> str | None:
        return None


@contextmanager
def harness(folder: Path) -> Iterator[FakeHarness]:
    """Open the harness on a folder of its own."""
    yield FakeHarness(folder)
