"""The rig itself: what it hands out works as a cloud does, and nothing of it is heard outside of this computer."""

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest

from tests.rigs.openstack import OpenStack
from tests.rigs.openstack.api import Api, Refused, call
from tests.rigs.openstack.processes import listening, rig_ids
from tests.rigs.process import wait_until

pytestmark = pytest.mark.openstack


@pytest.fixture
def demo(openstack: OpenStack) -> Iterator[Api]:
    """The project demo, which is as empty afterwards as it was before."""
    api = openstack.api()
    before = things(api)
    yield api
    assert things(api) == before


def things(api: Api) -> dict[str, set[str]]:
    lists = {
        "servers": ("compute", "/servers"),
        "volumes": ("volumev3", "/volumes"),
        "snapshots": ("volumev3", "/snapshots"),
        "floatingips": ("network", "/v2.0/floatingips"),
        "ports": ("network", "/v2.0/ports"),
        "networks": ("network", f"/v2.0/networks?project_id={api.project_id}"),
        "security_groups": ("network", "/v2.0/security-groups"),
        "images": ("image", "/v2/images"),
    }
    return {kind: {item["id"] for item in api.get(*where)[kind]} for kind, where in lists.items()}


def find(api: Api, service: str, kind: str, name: str) -> str:
    path = {"network": f"/v2.0/{kind}", "image": f"/v2/{kind}"}.get(service, f"/{kind}")
    (found,) = [item["id"] for item in api.get(service, path)[kind] if item["name"] == name]
    return str(found)


def boot(api: Api, flavor: str = "m1.tiny", network: str = "private", **more: Any) -> str:
    server = {
        "name": "machine",
        "flavorRef": find(api, "compute", "flavors", flavor),
        "imageRef": find(api, "image", "images", "debian-12"),
        "networks": [{"uuid": find(api, "network", "networks", network)}],
        **more,
    }
    return f"/servers/{api.make('compute', '/servers', server=server)['id']}"


def fault(api: Api, server: str) -> str:
    with pytest.raises(AssertionError, match="ERROR"):
        api.wait("compute", server, "ACTIVE")
    return str(api.get("compute", server)["server"]["fault"]["message"])


def test_a_server_with_a_volume_and_a_floating_address_comes_and_goes(demo: Api) -> None:
    server = boot(demo)
    assert demo.wait("compute", server, "ACTIVE")["addresses"]["private"][0]["addr"].startswith("10.99.0.")
    (port,) = demo.get("network", f"/v2.0/ports?device_id={server.removeprefix('/servers/')}")["ports"]
    assert port["status"] == "ACTIVE"

    outside = find(demo, "network", "networks", "public")
    address = {"floating_network_id": outside, "port_id": port["id"]}
    floating = demo.make("network", "/v2.0/floatingips", floatingip=address)
    assert floating["floating_ip_address"].startswith("203.0.113.")
    assert demo.wait("network", f"/v2.0/floatingips/{floating['id']}", "ACTIVE")["port_id"] == port["id"]

    volume = f"/volumes/{demo.make('volumev3', '/volumes', volume={'size': 1})['id']}"
    demo.wait("volumev3", volume, "available")
    attachment = {"volumeId": volume.removeprefix("/volumes/")}
    demo.make("compute", f"{server}/os-volume_attachments", volumeAttachment=attachment)
    demo.wait("volumev3", volume, "in-use")
    demo.do("DELETE", "compute", f"{server}/os-volume_attachments/{attachment['volumeId']}")
    demo.wait("volumev3", volume, "available")

    demo.delete("volumev3", volume)
    demo.delete("compute", server)
    demo.wait("network", f"/v2.0/floatingips/{floating['id']}", "DOWN")
    demo.delete("network", f"/v2.0/floatingips/{floating['id']}")


def test_a_server_is_resized_snapshot_stopped_and_started(demo: Api) -> None:
    server = boot(demo)
    demo.wait("compute", server, "ACTIVE")
    demo.do(
        "POST", "compute", f"{server}/action", {"resize": {"flavorRef": find(demo, "compute", "flavors", "m1.small")}}
    )
    demo.wait("compute", server, "VERIFY_RESIZE")
    demo.do("POST", "compute", f"{server}/action", {"confirmResize": None})
    demo.wait("compute", server, "ACTIVE")
    demo.do("POST", "compute", f"{server}/action", {"os-stop": None})
    demo.wait("compute", server, "SHUTOFF")
    demo.do("POST", "compute", f"{server}/action", {"os-start": None})
    demo.wait("compute", server, "ACTIVE")
    demo.do("POST", "compute", f"{server}/action", {"createImage": {"name": "copy"}})
    image = f"/v2/images/{find(demo, 'image', 'images', 'copy')}"
    wait_for_image(demo, image)
    console = demo.do("POST", "compute", f"{server}/action", {"os-getConsoleOutput": {}})["output"]
    assert "login:" in console
    demo.delete("image", image)
    demo.delete("compute", server)


def wait_for_image(api: Api, image: str) -> None:
    wait_until(lambda: api.get("image", image)["status"] == "active", f"{image} is active", 60, every_s=0.3)


def test_a_server_boots_from_a_volume_that_goes_with_it(demo: Api) -> None:
    image = find(demo, "image", "images", "debian-12")
    disk = {"boot_index": 0, "uuid": image, "source_type": "image", "destination_type": "volume", "volume_size": 2}
    server = boot(demo, imageRef="", block_device_mapping_v2=[{**disk, "delete_on_termination": True}])
    demo.wait("compute", server, "ACTIVE")
    assert len(demo.get("volumev3", "/volumes")["volumes"]) == 1
    demo.delete("compute", server)


def test_servers_fail_as_on_a_cloud_that_is_full_or_broken(demo: Api) -> None:
    nowhere = boot(demo, "x1.nohost")
    assert "No valid host" in fault(demo, nowhere)
    broken = boot(demo, metadata={"rig_fail": "the disk is on fire"})
    assert "the disk is on fire" in fault(demo, broken)
    demo.delete("compute", nowhere)
    demo.delete("compute", broken)
    with pytest.raises(Refused, match="Quota exceeded") as refused:
        boot(demo, "x1.overquota")
    assert refused.value.status == 403


def test_gpus_run_out(demo: Api) -> None:
    servers = [boot(demo, "g1.gpu") for _ in range(4)]
    for server in servers:
        demo.wait("compute", server, "ACTIVE")
    fifth = boot(demo, "g1.gpu")
    assert "No valid host" in fault(demo, fifth)
    for server in (*servers, fifth):
        demo.delete("compute", server)


def test_the_small_project_holds_two_servers(openstack: OpenStack) -> None:
    small = openstack.api("small")
    servers = [boot(small, network="small-net") for _ in range(2)]
    for server in servers:
        small.wait("compute", server, "ACTIVE")
    with pytest.raises(Refused, match="Quota exceeded for instances"):
        boot(small, network="small-net")
    for server in servers:
        small.delete("compute", server)
    assert small.get("compute", "/servers") == {"servers": []}


def test_a_member_of_a_vo_enters_its_project_by_a_token_of_the_issuer(openstack: OpenStack) -> None:
    def enter(token: str) -> tuple[Any, Any]:
        path = "/OS-FEDERATION/identity_providers/egi.eu/protocols/openid/auth"
        return call("POST", f"{openstack.auth_url}{path}", {}, {"Authorization": f"Bearer {token}"})

    _, headers = enter(openstack.access_token())
    token = headers["X-Subject-Token"]
    projects, _ = call("GET", f"{openstack.auth_url}/auth/projects", headers={"X-Auth-Token": token})
    (project,) = projects["projects"]
    assert project["name"] == openstack.vos[0]
    scope = {"project": {"id": project["id"]}}
    asked = {"auth": {"identity": {"methods": ["token"], "token": {"id": token}}, "scope": scope}}
    answer, headers = call("POST", f"{openstack.auth_url}/auth/tokens", asked)
    member = Api(headers["X-Subject-Token"], answer["token"]["catalog"], project["id"])
    server = boot(member, network=f"{openstack.vos[0]}-net")
    member.wait("compute", server, "ACTIVE")
    member.delete("compute", server)

    for bad in (openstack.access_token(life_s=-60), openstack.access_token("bob", "vo.unknown.example"), "garbage"):
        with pytest.raises(Refused) as refused:
            enter(bad)
        assert refused.value.status == 401


def test_an_application_credential_opens_its_project(openstack: OpenStack) -> None:
    key = {"id": openstack.credential_id, "secret": openstack.credential_secret}
    asked = {"auth": {"identity": {"methods": ["application_credential"], "application_credential": key}}}
    answer, _ = call("POST", f"{openstack.auth_url}/auth/tokens", asked)
    assert answer["token"]["project"]["name"] == "demo"


def test_it_listens_on_loopback_only(openstack: OpenStack) -> None:
    heard = listening(rig_ids(openstack.folder))
    assert len(heard) >= 9
    assert [address for address, _ in heard if not ipaddress.ip_address(address).is_loopback] == []
