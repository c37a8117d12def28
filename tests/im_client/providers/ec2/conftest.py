"""moto's account behind a proxy that spoils requests, and providers that use it in virtual time."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from im_client.plan.model import Spec
from im_client.providers.base import Instance, MachineRequest
from im_client.providers.ec2.account import Account
from im_client.providers.ec2.cloud import Ec2
from im_client.providers.ec2.provider import Ec2Provider
from im_client.providers.ec2.settings import Ec2Settings
from infracore.clock import FakeClock
from infracore.ids import new_token
from infracore.secrets import Secret
from tests.rigs.faults import FaultProxy, faults
from tests.rigs.moto import REGION, Moto, moto

__all__ = ["Site"]

_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ8JbJ5mzr5Mq0l7cB5bQxkqf3lZr8Vx3d9V5c1mF8yA test"


@dataclass
class Site:
    """The account, the proxy, and the time that waiting takes."""

    moto: Moto
    proxy: FaultProxy
    clock: FakeClock

    def provider(self, *, key: str = "testing", **settings: Any) -> Ec2Provider:
        """Open a provider, as another process would."""
        found = Ec2Settings(**settings)
        account = Account(REGION, self.proxy.url, key, Secret("testing") if key else None)
        return Ec2Provider(Ec2(found, account, self.clock), found, self.clock)

    def request(
        self, name: str = "wn-1", *, is_new: bool = True, infrastructure: str = "i", **spec: Any
    ) -> MachineRequest:
        """Ask for a small machine."""
        wanted = Spec(**{"num_cpus": 1, "mem_bytes": 2**30, **spec})
        return MachineRequest(infrastructure, name, new_token(), wanted, (_KEY,), is_new=is_new)

    def told(self, machine: Instance) -> Any:
        """Return what EC2 itself says of a machine."""
        ids = [machine.provider_id]
        return self.moto.client.describe_instances(InstanceIds=ids)["Reservations"][0]["Instances"][0]


@pytest.fixture(scope="package")
def _running() -> Iterator[tuple[Moto, FaultProxy]]:
    with moto() as running, faults(running.url) as proxy:
        yield running, proxy


@pytest.fixture
def site(_running: tuple[Moto, FaultProxy]) -> Site:
    """A new account."""
    running, proxy = _running
    running.reset()
    proxy.plan()
    return Site(running, proxy, FakeClock())


@pytest.fixture
def aws_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put keys where AWS's own chain finds them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
