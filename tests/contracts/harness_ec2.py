"""The provider `ec2` under the contract suite: moto's account on loopback."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from im_client.plan.model import Spec
from im_client.providers.base import Instance, Provider
from im_client.providers.ec2 import open_provider
from tests.rigs.faults import Fault, FaultProxy, faults
from tests.rigs.moto import REGION, Moto, moto

_CREATE = """
import sys
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.ec2 import open_provider
provider = open_provider({"endpoint": sys.argv[1]})
provider.create(MachineRequest("contract", sys.argv[2], sys.argv[3], Spec(num_cpus=1), ("ssh-ed25519 AAAA a",)))
"""


class Ec2Harness:
    """See `Harness`."""

    name = "ec2"
    can_stop = True
    can_reboot = True
    injects_host_key = False
    brings_keys = False
    has_addresses = True
    has_ssh = False
    concurrent = 8
    settle_s = 20.0

    def __init__(self, running: Moto, proxy: FaultProxy) -> None:
        self.moto = running
        self.proxy = proxy

    def provider(self) -> Provider:
        return open_provider({"endpoint": self.moto.url, "region": REGION, "elastic_ip": True})

    def spec(self) -> Spec:
        return Spec(num_cpus=1, mem_bytes=2**30)

    def names(self, count: int) -> list[str]:
        return [f"wn-{number}" for number in range(1, count + 1)]

    def unsupported(self) -> Spec | None:
        return Spec(image="ost://cloud.example/0123")

    def kill_during_create(self, instance_name: str, token: str) -> Iterator[None] | None:
        """Before the machine is there, and before `create` has heard of it."""

        def kills() -> Iterator[None]:
            for is_after in (False, True):
                self.proxy.plan(Fault("RunInstances", kills="after" if is_after else "before"))
                words = [sys.executable, "-c", _CREATE, self.proxy.url, instance_name, token]
                with subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}) as child:
                    self.proxy.aim(child)
                    assert child.wait(60) == -signal.SIGKILL
                yield

        return kills()

    def shown_host_key(self, instance: Instance) -> str | None:
        return None


@contextmanager
def harness(folder: Path) -> Iterator[Ec2Harness]:
    """Open the harness on an account of its own; nothing of ours is left in it."""
    del folder
    before = {key: os.environ.get(key) for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")}
    os.environ.update(dict.fromkeys(before, "testing"))
    try:
        with moto() as running, faults(running.url) as proxy:
            yield Ec2Harness(running, proxy)
            provider = open_provider({"endpoint": running.url})
            assert provider.release("contract") == []
            provider.close()
            assert running.left() == {}
    finally:
        for key, value in before.items():
            os.environ.pop(key) if value is None else os.environ.update({key: value})
