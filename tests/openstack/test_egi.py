"""The whole way of EGI at a real Keystone with federation: a token, the site, a machine with a name, and nothing left.

Keystone, Nova, Neutron and Glance are real, and so is the issuer's signature; the information service and the dynamic
DNS are those of tests/rigs/egi.py. Nova's machines are not, and Keystone stands behind a check of tokens of the rig's
in place of Apache's mod_auth_openidc.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from im_client.auth.authfile import parse_auth
from im_client.plan.model import Phase, Spec, SpecInterface
from im_client.providers.base import Severity
from im_client.providers.egi import open_provider
from im_client.providers.egi.provider import EgiProvider
from infracore.errors import Misconfigured, NotFound, Unauthorised
from tests.contracts.harness import new_key_pair
from tests.im_client.providers.openstack.conftest import request
from tests.rigs.egi import ZONE, Egi, egi
from tests.rigs.openstack import OpenStack
from tests.rigs.openstack.api import Api, Refused, call
from tests.rigs.process import wait_until

pytestmark = [pytest.mark.openstack, pytest.mark.timeout(400)]

WEB = f"web.{ZONE}"
CARDS = (SpecInterface("out", public=True, dns_names=(WEB,)),)
SPEC = Spec(num_cpus=1, mem_bytes=2**28, image="appdb://RIG/egi_vm_images/debian:12", interfaces=CARDS)
_SLOW_S = 150.0
"""How long the rig may take where other tests keep the computer busy."""


@pytest.fixture
def services(openstack: OpenStack) -> Iterator[Egi]:
    """EGI's services, whose first site is the real cloud and which believe its issuer."""

    def judge(token: str) -> dict[str, Any] | None:
        place = f"{openstack.issuer_url}/protocol/openid-connect/userinfo"
        try:
            claims, _ = call("GET", place, headers={"Authorization": f"Bearer {token}"})
        except Refused:
            return None
        return dict(claims)

    vo = openstack.vos[0]
    ids = {one["name"]: one["id"] for one in openstack.admin().get("identity", "/projects")["projects"]}
    images = {one["name"]: one["id"] for one in openstack.admin().get("image", "/v2/images")["images"]}
    with egi() as running:
        running.judge = judge
        running.sites[0] |= {"url": openstack.auth_url, "projects": [{"id": ids[vo], "name": vo}]}
        known = {"egi_id": "egi_vm_images/debian:12", "id": images["debian-12"], "version": "1", "vo": vo}
        running.images = [{**running.images[0], **known}]
        yield running


@pytest.fixture
def project(openstack: OpenStack) -> Iterator[Api]:
    """The VO's project, which is as empty afterwards as it was before."""
    token, vo = openstack.access_token(), openstack.vos[0]
    path = "/OS-FEDERATION/identity_providers/egi.eu/protocols/openid/auth"
    _, headers = call("POST", f"{openstack.auth_url}{path}", {}, {"Authorization": f"Bearer {token}"})
    (ident,) = [p["id"] for p in openstack.admin().get("identity", "/projects")["projects"] if p["name"] == vo]
    identity = {"methods": ["token"], "token": {"id": headers["X-Subject-Token"]}}
    asked = {"auth": {"identity": identity, "scope": {"project": {"id": ident}}}}
    answer, headers = call("POST", f"{openstack.auth_url}/auth/tokens", asked)
    api = Api(headers["X-Subject-Token"], answer["token"]["catalog"], ident)
    with joined_to_the_outside(api):
        before = things(api)
        yield api
        assert things(api) == before


@contextmanager
def joined_to_the_outside(api: Api) -> Iterator[None]:
    """Give the project's network a router, as sites do."""
    networks = {one["name"]: one for one in api.get("network", "/v2.0/networks")["networks"]}
    (own,) = [one for one in networks.values() if one["project_id"] == api.project_id]
    gateway = {"name": "router", "external_gateway_info": {"network_id": networks["public"]["id"]}}
    router = api.make("network", "/v2.0/routers", router=gateway)["id"]
    interface = {"subnet_id": own["subnets"][0]}
    api.do("PUT", "network", f"/v2.0/routers/{router}/add_router_interface", interface)
    try:
        yield
    finally:
        api.do("PUT", "network", f"/v2.0/routers/{router}/remove_router_interface", interface)
        api.delete("network", f"/v2.0/routers/{router}")


def things(api: Api) -> dict[str, set[str]]:
    found = {
        kind: {one["id"] for one in api.get("network", f"/v2.0/{kind}?project_id={api.project_id}")[kind]}
        for kind in ("floatingips", "ports", "networks", "routers")
    }
    found["groups"] = {
        one["name"]
        for one in api.get("network", f"/v2.0/security-groups?project_id={api.project_id}")["security_groups"]
        if one["name"] != "default"
    }
    found["servers"] = {one["id"] for one in api.get("compute", "/servers")["servers"]}
    found["keys"] = {one["keypair"]["name"] for one in api.get("compute", "/os-keypairs")["keypairs"]}
    return found


def settings(openstack: OpenStack, services: Egi, **more: Any) -> dict[str, Any]:
    own = {"information": f"{services.base}/is", "dns": services.base, "issuer": openstack.issuer_url}
    return {**own, "reachable": False, **more}


def opened(openstack: OpenStack, services: Egi, token: str, **more: Any) -> EgiProvider:
    line = f"id = egi; type = EGI; host = RIG-ONE; vo = {openstack.vos[0]}" + (f"; token = {token}" if token else "")
    made = open_provider(settings(openstack, services, **more), parse_auth(line))
    assert isinstance(made, EgiProvider)
    return made


def test_from_a_token_to_a_machine_with_a_name_and_back(
    openstack: OpenStack, services: Egi, project: Api, tmp_path: Path
) -> None:
    provider = opened(openstack, services, openstack.access_token(), cache_dir=str(tmp_path / "cache"))
    assert f"{WEB}: set in the dynamic DNS" in provider.offer(SPEC).notes
    order = request(SPEC, authorized_keys=(new_key_pair().public,))
    made = provider.create(order)
    wait_until(
        lambda: provider.settle(made.provider_id, order).public_address is not None, "it has its address", _SLOW_S
    )
    (server,) = project.get("compute", "/servers/detail")["servers"]
    assert (server["id"], server["status"]) == (made.provider_id, "ACTIVE")
    assert server["image"]["id"] == services.images[0]["id"]
    assert services.hosts[WEB]["ipv4"] == provider.get(made.provider_id).public_address
    assert services.hosts[WEB]["comment"] == f"im-clues i-1 {order.token} {made.provider_id} RIG-ONE"
    assert {thing.kind for thing in provider.things("i-1")} > {"DNS name", "floating IP"}
    assert list((tmp_path / "cache").iterdir())
    end(provider, made.provider_id)
    assert services.hosts == {}


def end(provider: EgiProvider, machine: str) -> None:
    """Delete a machine, and what it had of its own or shared with others."""

    def is_gone() -> bool:
        try:
            return provider.get(machine).phase is Phase.GONE
        except NotFound:
            return True

    provider.delete(machine)
    wait_until(is_gone, "the machine is gone", _SLOW_S)
    assert provider.release("i-1") == []
    provider.close()


def test_a_token_that_ends_half_way_is_renewed(
    openstack: OpenStack, services: Egi, project: Api, tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    life_s, started = 30, time.time()
    file.write_text(openstack.access_token(life_s=life_s))
    provider = opened(openstack, services, "", token_file=str(file))
    made = provider.create(request(Spec(num_cpus=1, image="debian:12"), authorized_keys=(new_key_pair().public,)))
    wait_until(lambda: provider.get(made.provider_id).phase is Phase.RUNNING, "the machine runs", _SLOW_S)
    session = provider._cloud._api._opened().get_session()  # type: ignore[attr-defined]  # its login is to be ended
    old = session.get_token()
    wait_until(lambda: time.time() > started + life_s + 1, "the access token has expired", life_s + 20)
    call("DELETE", f"{openstack.auth_url}/auth/tokens", headers={"X-Auth-Token": old, "X-Subject-Token": old})
    with pytest.raises(Unauthorised):
        provider.get(made.provider_id)
    file.write_text(openstack.access_token())
    assert provider.get(made.provider_id).phase is Phase.RUNNING
    end(provider, made.provider_id)


def test_who_may_not_enter_is_told_why(openstack: OpenStack, services: Egi) -> None:
    *_, expired = opened(openstack, services, openstack.access_token(life_s=-60)).check()
    assert "expired" in expired.text
    *_, stranger = opened(openstack, services, openstack.access_token("bob@egi.eu", "vo.unknown.example")).check()
    assert "no member of the VO" in stranger.text
    assert {expired.severity, stranger.severity} == {Severity.ERROR}
    with pytest.raises(Misconfigured, match="no such identity service, provider or protocol"):
        opened(openstack, services, openstack.access_token(), identity_provider="nobody").quotas()
    ids = {one["name"]: one["id"] for one in openstack.admin().get("identity", "/projects")["projects"]}
    services.sites[0]["projects"] = [{"id": ids[openstack.vos[1]], "name": openstack.vos[0]}]
    with pytest.raises(Unauthorised):
        opened(openstack, services, openstack.access_token()).quotas()


def test_the_account_is_what_doctor_says(openstack: OpenStack, services: Egi) -> None:
    found = {one.check: one.severity for one in opened(openstack, services, openstack.access_token()).check()}
    assert set(found) == {"access token", "VO", "site", "login"}
    assert set(found.values()) == {Severity.OK}
