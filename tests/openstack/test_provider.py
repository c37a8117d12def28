"""The OpenStack provider beside what the contract suite asks, on a real control plane: addresses, disks, logins."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from im_client.auth.credentials import Credential
from im_client.plan.model import Phase, Spec, SpecInterface, SpecVolume
from im_client.providers.base import Instance, MachineRequest
from im_client.providers.cloud.keeper import KeepingProvider
from im_client.providers.openstack import open_provider
from infracore.errors import InfraError, QuotaExceeded, Unauthorised
from infracore.ids import new_token
from infracore.secrets import Secret
from tests.contracts.harness import new_key_pair
from tests.rigs.openstack import OpenStack
from tests.rigs.openstack.api import Api

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(400)]
INFRASTRUCTURE = "provider-test"
LIMIT_S = 120.0


def things(api: Api) -> dict[str, set[str]]:
    """Return the ids of what a project has."""
    lists = {
        "servers": ("compute", "/servers"),
        "volumes": ("volumev3", "/volumes"),
        "floatingips": ("network", "/v2.0/floatingips"),
        "ports": ("network", "/v2.0/ports"),
        "networks": ("network", f"/v2.0/networks?project_id={api.project_id}"),
        "routers": ("network", "/v2.0/routers"),
    }
    return {kind: {item["id"] for item in api.get(*where)[kind]} for kind, where in lists.items()}


def until(is_so: Callable[[], bool], what: str) -> None:
    limit, pause = time.monotonic() + LIMIT_S, threading.Event()
    while not is_so():
        assert time.monotonic() < limit, what
        pause.wait(0.2)


def line(cloud: OpenStack, **fields: str) -> tuple[Credential, ...]:
    base = {"host": cloud.auth_url, "username": cloud.user, "password": cloud.password, "tenant": "demo"}
    return (Credential("x", "OpenStack", {key: Secret(value) for key, value in {**base, **fields}.items()}),)


def request(spec: Spec, name: str = "web-1") -> MachineRequest:
    return MachineRequest(INFRASTRUCTURE, name, new_token(), spec, authorized_keys=(new_key_pair().public,))


def settled(provider: KeepingProvider, wanted: MachineRequest) -> Instance:
    """Make a machine and wait until nothing is left to do for it."""
    found = provider.create(wanted)
    seen: list[Instance] = []

    def is_over() -> bool:
        seen.append(provider.settle(found.provider_id, wanted))
        return seen[-1].phase in {Phase.RUNNING, Phase.FAILED}

    until(is_over, "the machine runs")
    return seen[-1]


@pytest.fixture
def opened(openstack: OpenStack) -> Iterator[Callable[..., KeepingProvider]]:
    """Open providers; afterwards each has removed what was made, and the project demo is as it was before."""
    api = openstack.api()
    before = things(api)
    made: list[KeepingProvider] = []

    def opened(settings: Mapping[str, Any] | None = None, **fields: str) -> KeepingProvider:
        provider = open_provider({"reachable": False, **(settings or {})}, line(openstack, **fields))
        assert isinstance(provider, KeepingProvider)
        made.append(provider)
        return provider

    yield opened
    for provider in made:
        try:
            machines = provider.list_machines(INFRASTRUCTURE)
        except Unauthorised:
            continue
        for machine in machines:
            provider.delete(machine.provider_id)
        until(lambda provider=provider: not provider.list_machines(INFRASTRUCTURE), "the machines are gone")
        assert provider.release(INFRASTRUCTURE) == []
        assert list(provider.things(INFRASTRUCTURE)) == []
        provider.close()
    until(lambda: things(api) == before, "nothing is left")


def test_a_machine_with_all_that_a_template_may_ask_for(opened: Callable[..., KeepingProvider]) -> None:
    provider = opened({"anti_affinity": "soft-anti-affinity", "config_drive": True})
    spec = Spec(
        num_cpus=1,
        os_distribution="debian",
        os_version="12",
        disk_bytes=3 * 2**30,
        instance_type="m1.tiny",  # its disk is too small
        interfaces=(
            SpecInterface("inner", cidr="10.50.0.0/24", fixed_address="10.50.0.77"),
            SpecInterface("second", provider_name="private"),
            SpecInterface("out", public=True),
        ),
        volumes=(SpecVolume("data", 2**30),),
        ports=("tcp/80-90@10.0.0.0/8", "udp/53", "icmp"),
        tags={"team": "physics"},
    )
    machine = settled(provider, request(spec))
    assert (machine.phase, machine.private_address) == (Phase.RUNNING, "10.50.0.77")
    assert machine.public_address is not None
    assert machine.public_address.startswith("203.0.113.")
    assert provider.get(machine.provider_id).public_address == machine.public_address


def test_a_resize_is_confirmed_by_looking(opened: Callable[..., KeepingProvider]) -> None:
    provider = opened()
    machine = settled(provider, request(Spec(instance_type="m1.tiny", os_distribution="debian")))
    provider.resize(machine.provider_id, Spec(instance_type="m1.small", os_distribution="debian"))
    until(
        lambda: (now := provider.get(machine.provider_id)).phase is Phase.RUNNING and now.spec["mem_bytes"] == 2**31,
        "it is larger and runs",
    )


def test_a_cloud_without_room_and_a_project_without_quota(opened: Callable[..., KeepingProvider]) -> None:
    provider = opened()
    full = settled(provider, request(Spec(instance_type="x1.nohost", os_distribution="debian")))
    assert (full.phase, full.has_no_room) == (Phase.FAILED, True)
    with pytest.raises(QuotaExceeded, match="Quota exceeded"):
        provider.create(request(Spec(instance_type="x1.overquota", os_distribution="debian"), "web-2"))


def test_an_application_credential_opens_the_project(
    openstack: OpenStack, opened: Callable[..., KeepingProvider]
) -> None:
    key = {"username": openstack.credential_id, "password": openstack.credential_secret}
    assert opened(auth_version="3.x_appcred", **key).quotas().machines.limit == opened().quotas().machines.limit


def test_an_access_token_opens_the_project_of_its_vo(
    openstack: OpenStack, opened: Callable[..., KeepingProvider]
) -> None:
    how = {"auth_version": "3.x_oidc_access_token", "username": "egi.eu", "tenant": "openid"}
    vo = openstack.vos[0]
    provider = opened(**how, password=openstack.access_token(), domain=vo)
    machine = settled(provider, request(Spec(num_cpus=1, os_distribution="debian")))
    assert machine.phase is Phase.RUNNING
    assert provider.offer(Spec(num_cpus=1, os_distribution="debian")).notes[0].startswith(f"private: network {vo}-net")


@pytest.mark.parametrize("token", ["garbage", "expired"])
def test_a_bad_access_token_is_refused(
    openstack: OpenStack, opened: Callable[..., KeepingProvider], token: str
) -> None:
    how = {"auth_version": "3.x_oidc_access_token", "username": "egi.eu", "tenant": "openid"}
    password = openstack.access_token(life_s=-60) if token == "expired" else token
    with pytest.raises(Unauthorised):
        opened(**how, password=password, domain=openstack.vos[0]).quotas()


def test_a_wrong_password_is_refused(opened: Callable[..., KeepingProvider]) -> None:
    with pytest.raises(InfraError) as caught:
        opened(password="not-this-one").quotas()
    assert isinstance(caught.value, Unauthorised)
    assert "not-this-one" not in caught.value.message
