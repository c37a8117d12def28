"""Machines at moto's account: addresses, disks, networks, changes, and that all of it goes."""

import json
from typing import Any

import pytest

from im_client.plan.model import Phase, Spec, SpecInterface, SpecVolume
from infracore.errors import Conflict, NotFound, Unsupported
from tests.im_client.providers.ec2.conftest import Site

pytestmark = pytest.mark.slow
_GIB = 2**30


def test_a_machine_is_what_the_template_asks_for(site: Site) -> None:
    provider = site.provider()
    spec = {
        "disk_bytes": 20 * _GIB,
        "volumes": (SpecVolume("data", 3 * _GIB),),
        "ports": ("tcp/443", "udp/53@10.0.0.0/8"),
    }
    machine = provider.create(site.request(tags={"team": "x"}, **spec))
    told = site.told(machine)
    assert told["MetadataOptions"]["HttpTokens"] == "required"
    assert {"Key": "team", "Value": "x"} in told["Tags"]
    volumes = site.moto.client.describe_volumes()["Volumes"]
    assert sorted(volume["Size"] for volume in volumes) == [3, 20]
    open_now = {
        (one["IpProtocol"], one.get("FromPort"), ranges["CidrIp"])
        for group in site.moto.client.describe_security_groups()["SecurityGroups"]
        for one in group["IpPermissions"]
        for ranges in one["IpRanges"]
    }
    assert open_now == {("tcp", 22, "0.0.0.0/0"), ("tcp", 443, "0.0.0.0/0"), ("udp", 53, "10.0.0.0/8")}
    assert provider.get(machine.provider_id).spec["mem_bytes"] >= _GIB  # type: ignore[operator]


def test_twenty_machines_cost_little_more_than_a_request_each(site: Site) -> None:
    provider = site.provider()
    machines = [provider.create(site.request(f"wn-{n}")) for n in range(20)]
    assert len({machine.provider_id for machine in machines}) == 20
    assert len(site.proxy.calls) <= 20 + 8


def test_an_elastic_address_is_taken_once_and_given_back(site: Site) -> None:
    provider = site.provider(elastic_ip=True)
    request = site.request()
    machine = provider.create(request)
    settled = provider.settle(machine.provider_id, request)
    assert settled.phase is Phase.RUNNING
    again = site.provider(elastic_ip=True).settle(machine.provider_id, request)
    assert again.public_address == settled.public_address == site.told(machine)["PublicIpAddress"]
    assert site.moto.left()["addresses"] == 1
    site.provider().delete(machine.provider_id)  # whatever the settings are by then
    assert "addresses" not in site.moto.left()


def test_a_disk_that_was_there_is_attached_in_its_zone_and_stays(site: Site) -> None:
    volume = site.moto.client.create_volume(AvailabilityZone="us-east-1d", Size=5)["VolumeId"]
    provider = site.provider()
    request = site.request(volumes=(SpecVolume("old", 0, volume_id=volume),))
    machine = provider.create(request)
    provider.settle(machine.provider_id, request)
    assert site.told(machine)["Placement"]["AvailabilityZone"] == "us-east-1d"
    users = site.moto.client.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Attachments"]
    assert [one["InstanceId"] for one in users] == [machine.provider_id]
    other = site.request("wn-2", volumes=(SpecVolume("old", 0, volume_id=volume),))
    second = provider.create(other)
    with pytest.raises(Conflict, match=machine.provider_id):
        provider.settle(second.provider_id, other)
    provider.delete(machine.provider_id)
    provider.delete(second.provider_id)
    assert site.moto.left()["volumes"] == 1


def test_without_a_default_vpc_one_is_made_and_goes_with_the_rest(site: Site) -> None:
    ec2 = site.moto.client
    for subnet in ec2.describe_subnets()["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    provider = site.provider()
    offer = provider.offer(Spec(num_cpus=1))
    assert any("a VPC is made" in note for note in offer.notes)
    assert site.moto.left() == {}  # an offer changes nothing
    machines = [provider.create(site.request(name)) for name in ("wn-1", "wn-2")]
    third = site.provider().create(site.request("wn-3"))
    assert len({site.told(one)["VpcId"] for one in (*machines, third)}) == 1
    assert (site.moto.left()["vpcs"], site.moto.left()["gateways"]) == (1, 1)
    for machine in (*machines, third):
        provider.delete(machine.provider_id)
    assert [thing.kind for thing in provider.things("i")][-3:] == ["subnet", "internet gateway", "VPC"]
    assert provider.release("i") == []
    assert site.moto.left() == {}


def test_things_of_all_infrastructures_are_listed_and_removed_one_by_one(site: Site) -> None:
    provider = site.provider()
    for name in ("i", "j"):
        provider.delete(provider.create(site.request(infrastructure=name)).provider_id)
    found = provider.things()
    assert {thing.infrastructure for thing in found} == {"i", "j"}
    assert {thing.kind for thing in found} == {"security group", "key pair"}
    for thing in found:
        provider.remove_thing(thing)
        provider.remove_thing(thing)
    assert provider.things() == []
    assert site.moto.left() == {}


def test_size_tags_and_ports_change_on_a_machine_that_is_there(site: Site) -> None:
    provider = site.provider()
    request = site.request(instance_type="t3.micro", tags={"a": "1", "b": "2"})
    machine = provider.create(request)
    site.moto.client.create_tags(Resources=[machine.provider_id], Tags=[{"Key": "CostCenter", "Value": "7"}])
    wanted = Spec(instance_type="t3.large", tags={"b": "3"}, ports=("tcp/80",))
    provider.resize(machine.provider_id, wanted)
    told = site.told(machine)
    assert (told["InstanceType"], told["State"]["Name"]) == ("t3.large", "running")
    tags = {tag["Key"]: tag["Value"] for tag in told["Tags"]}
    assert (tags["b"], tags["CostCenter"]) == ("3", "7")
    assert "a" not in tags
    disk = {tag["Key"]: tag["Value"] for tag in site.moto.client.describe_volumes()["Volumes"][0]["Tags"]}
    assert disk["b"] == "3"
    assert "a" not in disk
    provider.resize(machine.provider_id, Spec(instance_type="t3.large", ports=("tcp/80",)))
    assert {tag["Key"] for tag in site.told(machine)["Tags"]} >= {"CostCenter", "im-clues-token"}
    assert "b" not in {tag["Key"] for tag in site.told(machine)["Tags"]}
    provider.resize(machine.provider_id, wanted)
    names = {group["GroupName"] for group in told["NetworkInterfaces"][0]["Groups"]}
    assert len(names) == 2
    assert provider.list_machines("i")[0].token == request.token
    before = site.proxy.count("StopInstances")
    provider.resize(machine.provider_id, wanted)
    assert site.proxy.count("StopInstances") == before


def test_two_networks_are_two_cards_and_one_elastic_address(site: Site) -> None:
    subnets = site.moto.client.describe_subnets()["Subnets"]
    vpc = subnets[0]["VpcId"]
    made = site.moto.client.create_subnet(VpcId=vpc, CidrBlock="172.31.240.0/24", AvailabilityZone="us-east-1a")
    inner = made["Subnet"]["SubnetId"]
    request = site.request(
        interfaces=(SpecInterface("public", public=True), SpecInterface("inner", provider_name=inner))
    )
    provider = site.provider()
    machine = provider.create(request)
    settled = provider.settle(machine.provider_id, request)
    assert len(site.told(machine)["NetworkInterfaces"]) == 2
    assert settled.public_address


def test_what_does_not_exist_is_said_with_what_comes_closest(site: Site) -> None:
    provider = site.provider()
    with pytest.raises(NotFound, match="no image"):
        provider.offer(Spec(image="aws://us-east-1/ami-00000000"))
    with pytest.raises(NotFound, match="no size fits"):
        provider.offer(Spec(num_cpus=4000))
    with pytest.raises(NotFound, match="there is no size 'x9-huge'"):
        provider.offer(Spec(instance_type="x9-huge"))
    with pytest.raises(NotFound, match="there is no network 'lost'"):
        provider.offer(Spec(interfaces=(SpecInterface("n", provider_name="lost"),)))


def test_an_offer_names_size_image_and_price(site: Site) -> None:
    offer = site.provider(prices={"t*": 0.01, "*": 1.0}).offer(Spec(num_cpus=2, mem_bytes=_GIB))
    assert offer.price is not None
    assert offer.price.per_hour == 0.01
    assert offer.image.startswith("debian-13")
    assert json.dumps(offer.notes)
    assert site.provider().offer(Spec(num_cpus=2)).price is None


def test_the_check_says_where_it_was_and_what_there_is(site: Site) -> None:
    assert [finding.severity for finding in site.provider().check()] == ["ok"]


@pytest.mark.parametrize(
    "spec",
    [
        {"tags": {"aws:x": "1"}},
        {"tags": {f"k{n}": "" for n in range(45)}},
        {"volumes": tuple(SpecVolume(f"v{n}", _GIB) for n in range(12))},
    ],
)
def test_a_plan_refuses_what_could_not_be_made(site: Site, spec: dict[str, Any]) -> None:
    with pytest.raises(Unsupported, match="EC2"):
        site.provider().offer(site.request(**spec).spec)


def test_a_budget_hears_no_spot_price_of_a_machine_that_may_become_an_ordinary_one(site: Site) -> None:
    wanted = site.request(preemptible=True).spec
    assert site.provider().offer(wanted).price is None
    assert site.proxy.count("DescribeSpotPriceHistory") == 0
    site.provider(spot_fallback=False).offer(wanted)
    assert site.proxy.count("DescribeSpotPriceHistory") == 1
