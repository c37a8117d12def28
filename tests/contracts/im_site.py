"""The provider `im` under the contract suite: its machines come from a server on loopback."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from im_client.plan.model import Spec, SpecVolume
from im_client.providers.base import Instance, Provider
from im_client.providers.im import ImProvider
from im_client.providers.im.settings import ImSettings
from tests.rigs.servers import site

__all__ = ["ImHarness", "opened"]

_CREATE = """
import sys
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.im import open_provider
provider = open_provider({"server": sys.argv[1], "auth_file": sys.argv[2], "reachable": False})
print("begun", flush=True)
provider.create(MachineRequest("contract", sys.argv[3], sys.argv[4], Spec(num_cpus=1, mem_bytes=2**28)))
"""
_KILL_AFTER_S = (0.0, 0.02, 0.05, 0.1, 0.3)


class ImHarness:
    """See `Harness`."""

    can_stop = True
    can_reboot = True
    injects_host_key = False
    brings_keys = True
    has_ssh = False
    settle_s = 90.0

    def __init__(self, name: str, settings: ImSettings, concurrent: int, *, has_addresses: bool) -> None:
        self.name = name
        self.has_addresses = has_addresses
        self.settings = settings
        self.concurrent = concurrent

    def provider(self) -> Provider:
        return ImProvider(self.settings)

    def spec(self) -> Spec:
        return Spec(num_cpus=1, mem_bytes=2**28)

    def names(self, count: int) -> list[str]:
        return [f"wn-{number}" for number in range(1, count + 1)]

    def unsupported(self) -> Spec | None:
        return Spec(volumes=(SpecVolume("data", 2**30),))

    def kill_during_create(self, instance_name: str, token: str) -> Iterator[None] | None:
        def kills() -> Iterator[None]:
            words = [self.settings.server, self.settings.auth_file, instance_name, token]
            for delay_s in _KILL_AFTER_S:
                with subprocess.Popen(
                    [sys.executable, "-c", _CREATE, *words],
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                    env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                ) as child:
                    assert child.stdout is not None
                    assert child.stdout.readline() == b"begun\n"
                    try:
                        child.wait(delay_s)
                    except subprocess.TimeoutExpired:
                        os.killpg(child.pid, signal.SIGKILL)
                yield

        return kills()

    def shown_host_key(self, instance: Instance) -> str | None:
        return None


@contextmanager
def opened(which: str, folder: Path, concurrent: int) -> Iterator[ImHarness]:
    """Run the server, and leave nothing of ours there."""
    with site(which, folder) as running:
        settings = ImSettings(server=running.url, auth_file=str(running.auth_file), reachable=False)
        yield ImHarness(f"im-{which}", settings, concurrent, has_addresses=not running.is_original)  # Dummy has one
