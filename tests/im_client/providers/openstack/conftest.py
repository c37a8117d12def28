"""A small cloud, and the provider on it whose pauses take no time."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from im_client.auth.credentials import Credential
from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.cloud.keeper import KeepingProvider
from im_client.providers.openstack.cloud import OpenStackCloud
from im_client.providers.openstack.session import connect_by_line
from im_client.providers.openstack.settings import OpenStackSettings
from infracore.clock import FakeClock
from infracore.ids import new_token
from infracore.secrets import Secret
from tests.im_client.providers.openstack.small_cloud import PASSWORD, SmallCloud, small_cloud

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKilledWhileItWasBeingWrittenDownThereAAAAA"

Opened = Callable[..., KeepingProvider]


@pytest.fixture
def cloud() -> Iterator[SmallCloud]:
    with small_cloud() as opened:
        yield opened


@pytest.fixture
def opened(cloud: SmallCloud) -> Iterator[Opened]:
    """Open providers with settings of their own."""
    made: list[KeepingProvider] = []

    def opened(*, password: str = PASSWORD, **settings: Any) -> KeepingProvider:
        own = OpenStackSettings(**{"request_s": 5.0, "reachable": False, **settings})
        line = Credential("ost", "OpenStack", fields(cloud, password))
        connect, place = connect_by_line(line, own)
        clock = FakeClock()
        made.append(KeepingProvider(OpenStackCloud(connect, own, place, clock=clock), own, clock))
        return made[-1]

    yield opened
    for one in made:
        one.close()


@pytest.fixture
def provider(opened: Opened) -> KeepingProvider:
    return opened()


def fields(cloud: SmallCloud, password: str = PASSWORD) -> dict[str, Secret]:
    """Return the line of an auth file for it."""
    words = {"host": f"{cloud.url}/identity", "username": "demo", "password": password, "tenant": "demo"}
    return {key: Secret(value) for key, value in words.items()}


def request(spec: Spec | None = None, *, name: str = "web", is_new: bool = True, **more: Any) -> MachineRequest:
    """Return a request for a machine."""
    own = {"infrastructure": "i-1", "token": new_token(), "authorized_keys": (KEY,), **more}
    return MachineRequest(name=name, spec=spec or Spec(num_cpus=1, os_distribution="debian"), is_new=is_new, **own)
