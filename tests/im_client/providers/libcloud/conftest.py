"""The imitations, and providers on them whose pauses take no time."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from im_client.plan.model import Spec
from im_client.providers.base import MachineRequest
from im_client.providers.cloud.provider import CloudProvider
from im_client.providers.libcloud.azure import AZURE
from im_client.providers.libcloud.cloud import LibcloudCloud
from im_client.providers.libcloud.cloudstack import CLOUDSTACK
from im_client.providers.libcloud.digitalocean import DIGITALOCEAN
from im_client.providers.libcloud.gce import GCE
from im_client.providers.libcloud.linode import LINODE
from im_client.providers.libcloud.settings import LibcloudSettings
from im_client.providers.libcloud.vultr import VULTR
from infracore.clock import FakeClock
from infracore.ids import new_token
from tests.contracts.libcloud_site import CLOUDS, credential, settings
from tests.rigs.small_clouds import SmallApi, serving

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKilledWhileItWasBeingWrittenDownThereAAAAA"
DESCRIPTORS = {one.kind: one for one in (AZURE, CLOUDSTACK, DIGITALOCEAN, GCE, LINODE, VULTR)}

Opened = Callable[..., CloudProvider]


@pytest.fixture(params=sorted(CLOUDS))
def kind(request: pytest.FixtureRequest) -> str:
    """Name of a provider: each in turn, or those of `parametrize`."""
    return str(request.param)


@pytest.fixture
def cloud(kind: str) -> Iterator[SmallApi]:
    with serving(CLOUDS[kind][0]()) as opened:
        yield opened


@pytest.fixture
def opened(kind: str, cloud: SmallApi) -> Iterator[Opened]:
    """Open providers with settings and words of the auth file of their own."""
    made: list[CloudProvider] = []

    def opened(words: dict[str, str] | None = None, **other: Any) -> CloudProvider:
        own = LibcloudSettings(**settings(kind, cloud, **other))
        clock = FakeClock()
        login = DESCRIPTORS[kind].login(credential(kind, cloud, **(words or {})).fields, own)
        made.append(CloudProvider(LibcloudCloud(DESCRIPTORS[kind], own, login, clock), own, clock))
        return made[-1]

    yield opened
    for one in made:
        one.close()


@pytest.fixture
def provider(opened: Opened) -> CloudProvider:
    return opened()


def request(spec: Spec | None = None, *, name: str = "web", is_new: bool = True, **more: Any) -> MachineRequest:
    """Return a request for a machine."""
    own = {"infrastructure": "i-1", "token": new_token(), "authorized_keys": (KEY,), **more}
    return MachineRequest(name=name, spec=spec or Spec(num_cpus=1, os_distribution="debian"), is_new=is_new, **own)
