"""The whole way on a small cloud: token, site, a machine with a name, and nothing left; tokens that end half-way."""

from dataclasses import dataclass
from typing import Any

import pytest

from im_client.auth.authfile import parse_auth
from im_client.plan.model import Phase, Spec, SpecInterface
from im_client.providers.base import MachineRequest
from im_client.providers.egi.account import open_account
from im_client.providers.egi.cloud import EgiCloud
from im_client.providers.egi.provider import EgiProvider
from im_client.providers.egi.settings import EgiSettings
from im_client.providers.registry import decode_settings
from infracore.clock import FakeClock
from infracore.errors import CommandFailed, Conflict, Unauthorised
from tests.im_client.providers.egi.test_cloud import of
from tests.im_client.providers.openstack.conftest import request
from tests.im_client.providers.openstack.small_cloud import SmallCloud
from tests.rigs.egi import CLIENT, VO, ZONE, Egi

WEB = f"web.{ZONE}"


@dataclass
class Site:
    """One process's provider, and its clock."""

    provider: EgiProvider
    clock: FakeClock


def site(services: Egi, token: str, more: str = "") -> Site:
    text = f"id = egi; type = EGI; host = RIG-ONE; vo = {VO}; token = {token}; {more}"
    own = decode_settings("egi", of(services), EgiSettings)
    clock = FakeClock(1_700_000_000.0)
    account = open_account(own, parse_auth(text)[0], {}, clock)
    return Site(EgiProvider(EgiCloud(account, own, clock), own, clock), clock)


def wanted(name: str = WEB, **more: Any) -> MachineRequest:
    cards = (SpecInterface("out", public=True, dns_names=(name,)),)
    return request(Spec(num_cpus=1, image="egi_vm_images/ubuntu:22.04", interfaces=cards), **more)


def test_a_machine_gets_the_registrys_image_and_its_name_and_nothing_is_left(services: Egi, cloud: SmallCloud) -> None:
    before = cloud.left()
    provider = site(services, services.token()).provider
    offer = provider.offer(wanted().spec)
    assert f"{WEB}: set in the dynamic DNS" in offer.notes
    order = wanted()
    made = provider.settle(provider.create(order).provider_id, order)
    assert made.phase is Phase.RUNNING
    assert made.public_address == services.hosts[WEB]["ipv4"]
    (server,) = cloud.servers.values()
    assert server["imageRef"] == services.images[1]["id"]
    assert {thing.kind for thing in provider.things("i-1")} >= {"DNS name", "floating IP"}
    provider.delete(made.provider_id)
    assert services.hosts == {}
    assert provider.release("i-1") == []
    assert cloud.left() == before
    provider.close()


def test_a_token_that_ends_half_way_is_renewed(services: Egi, cloud: SmallCloud) -> None:
    services.token_life_s = 7200
    token = services.token()
    there = site(services, token, f"refresh_token = first-refresh-token; client_id = {CLIENT}")
    first = there.provider.create(wanted())
    cloud.expire()
    services.revoked.add(token)
    there.clock.advance(60)
    assert there.provider.get(first.provider_id).phase is Phase.RUNNING
    assert sum(path.endswith("/token") for path in services.asked) == 1
    there.provider.close()


def test_a_token_that_ends_half_way_and_has_no_successor_is_said_and_nothing_is_lost(
    services: Egi, cloud: SmallCloud
) -> None:
    token = services.token()
    there = site(services, token)
    order = wanted()
    made = there.provider.create(order)
    cloud.expire()
    services.revoked.add(token)
    there.clock.advance(60)
    with pytest.raises(Unauthorised):
        there.provider.get(made.provider_id)
    again = site(services, services.token()).provider
    assert again.create(wanted(token=order.token, is_new=False)).provider_id == made.provider_id
    assert len(cloud.servers) == 1
    again.delete(made.provider_id)


def test_a_name_that_another_process_set_goes_with_its_machine(services: Egi, cloud: SmallCloud) -> None:
    order = wanted()
    provider = site(services, services.token()).provider
    made = provider.settle(provider.create(order).provider_id, order)
    assert WEB in services.hosts
    later = site(services, services.token()).provider
    later.delete(made.provider_id)
    assert services.hosts == {}
    assert cloud.servers == {}


def test_a_machine_that_is_gone_already_leaves_no_name(services: Egi, cloud: SmallCloud) -> None:
    order = wanted()
    provider = site(services, services.token()).provider
    made = provider.settle(provider.create(order).provider_id, order)
    assert WEB in services.hosts
    cloud.servers.clear()
    site(services, services.token()).provider.delete(made.provider_id)
    assert services.hosts == {}


def test_orphans_show_names_of_this_site_only(services: Egi) -> None:
    order = wanted()
    provider = site(services, services.token()).provider
    provider.settle(provider.create(order).provider_id, order)
    services.hosts["x"] = {**services.hosts[WEB], "fqdn": "x", "comment": "im-clues i-9 t m OTHER-SITE"}
    found = [thing for thing in site(services, services.token()).provider.things() if thing.kind == "DNS name"]
    assert [(thing.id, thing.infrastructure, thing.token) for thing in found] == [(WEB, "i-1", order.token)]
    provider.remove_thing(found[0])
    assert list(services.hosts) == ["x"]


def test_who_uses_no_names_asks_no_name_server(services: Egi) -> None:
    services.status["/nic"] = 500
    provider = site(services, services.token()).provider
    order = request(Spec(num_cpus=1, os_distribution="debian"))
    made = provider.settle(provider.create(order).provider_id, order)
    provider.delete(made.provider_id)
    assert provider.release("i-1") == []
    assert not any(path.startswith("/nic") for path in services.asked)


def test_a_machine_goes_though_the_name_server_is_down_and_its_name_at_the_next_try(
    services: Egi, cloud: SmallCloud
) -> None:
    order = wanted()
    there = site(services, services.token())
    made = there.provider.settle(there.provider.create(order).provider_id, order)
    assert WEB in services.hosts
    services.status["/nic"] = 400
    with pytest.raises(CommandFailed, match="HTTP 400"):
        there.provider.delete(made.provider_id)
    assert cloud.servers == {}
    services.status.clear()
    there.provider.delete(made.provider_id)
    assert services.hosts == {}


def test_a_name_of_another_infrastructure_is_refused_and_left_alone(services: Egi) -> None:
    order = wanted()
    provider = site(services, services.token()).provider
    first = provider.settle(provider.create(order).provider_id, order)
    other = wanted(infrastructure="i-2")
    made = provider.create(other)
    with pytest.raises(Conflict, match="belongs to the infrastructure i-1"):
        provider.settle(made.provider_id, other)
    assert services.hosts[WEB]["ipv4"] == first.public_address
