"""What EC2 tells, in our words; and what is asked of it."""

from typing import Any

import pytest

from im_client.auth.credentials import Credential
from im_client.plan.model import Phase, Spec, SpecVolume
from im_client.providers.cloud.model import CloudImage, ImageQuery, Order, Size
from im_client.providers.ec2 import images as ec2_images
from im_client.providers.ec2.account import account_of
from im_client.providers.ec2.images import image_of
from im_client.providers.ec2.network import Card, Cards, Subnet
from im_client.providers.ec2.servers import is_gone, request_of, server_of, tries
from im_client.providers.ec2.settings import Ec2Settings
from im_client.providers.ec2.sizes import _ladder, size_of
from infracore.errors import Misconfigured, Unauthorised, Unsupported
from infracore.secrets import Secret

TAGS = [
    {"Key": "im-clues-infrastructure", "Value": "i"},
    {"Key": "im-clues-token", "Value": "t"},
    {"Key": "im-clues-name", "Value": "wn-1"},
]
GIB = 2**30


def order(**changes: Any) -> Order:
    size = Size("t3.micro", "t3.micro", 2, GIB)
    return Order(
        "i",
        "wn-1",
        "t",
        Spec(**changes),
        CloudImage("ami-1", "x", min_disk_bytes=8 * GIB),
        size,
        (),
        "#!x",
        "k",
        "admin",
    )


def instance(state: str, code: str = "", tags: Any = TAGS) -> dict[str, Any]:
    told: dict[str, Any] = {"InstanceId": "i-1", "State": {"Name": state}, "Tags": tags, "InstanceType": "t3.micro"}
    if code:
        told["StateReason"] = {"Code": code, "Message": f"{code}: sorry"}
    return told


@pytest.mark.parametrize(
    ("state", "phase"),
    [
        ("pending", Phase.PENDING),
        ("running", Phase.RUNNING),
        ("stopping", Phase.PENDING),
        ("stopped", Phase.STOPPED),
        ("shutting-down", Phase.DELETING),
        ("terminated", Phase.GONE),
        ("strange", Phase.UNKNOWN),
    ],
)
def test_a_state_has_its_phase(state: str, phase: Phase) -> None:
    assert server_of(instance(state), {}).phase is phase


def test_a_machine_that_never_came_up_has_failed_until_it_was_seen() -> None:
    told = instance("terminated", "Server.InsufficientInstanceCapacity")
    server = server_of(told, {})
    assert (server.phase, server.has_no_room) == (Phase.FAILED, True)
    assert "sorry" in server.fault
    assert not is_gone(told)
    assert is_gone(instance("terminated", "Server.InsufficientInstanceCapacity", tags=[]))


@pytest.mark.parametrize(
    "code", ["Client.UserInitiatedShutdown", "Server.SpotInstanceTermination", "Client.InstanceInitiatedShutdown", ""]
)
def test_a_machine_that_ran_and_ended_is_gone(code: str) -> None:
    assert is_gone(instance("terminated", code))


def test_sizes_are_asked_for_narrowly_then_widely() -> None:
    steps = list(_ladder(Spec(num_cpus=2, mem_bytes=3 * GIB), "x86_64"))
    assert steps[0]["vcpu-info.default-vcpus"] == ["2", "4"]
    assert steps[0]["memory-info.size-in-mib"] == ["4096", "8192"]
    assert set(steps[-1]) == {"current-generation", "bare-metal", "processor-info.supported-architecture"}
    assert list(_ladder(Spec(instance_type="m1.*", num_cpus=64), "")) == [{"instance-type": ["m1.*"]}]
    assert next(_ladder(Spec(num_gpus=1), ""))["instance-type"] == ["g*", "p*"]


def test_a_size_reads_with_its_gpus_and_whether_it_should_be_chosen() -> None:
    told: dict[str, Any] = {
        "InstanceType": "g5.12xlarge",
        "CurrentGeneration": True,
        "VCpuInfo": {"DefaultVCpus": 48},
        "MemoryInfo": {"SizeInMiB": 196608},
        "ProcessorInfo": {"SupportedArchitectures": ["x86_64"]},
        "GpuInfo": {"Gpus": [{"Name": "A10G", "Manufacturer": "NVIDIA", "Count": 4}]},
    }
    size = size_of(told)
    assert (size.num_gpus, size.gpu_vendor, size.gpu_model, size.architecture) == (4, "NVIDIA", "A10G", "x86_64")
    assert size.is_available
    assert not size_of({**told, "CurrentGeneration": False}).is_available
    assert not size_of({**told, "BareMetal": True}).is_available
    assert size_of({**told, "ProcessorInfo": {"SupportedArchitectures": ["x86_64_mac"]}}).architecture == "other"


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        (ImageQuery(name="ami-0123"), {"ImageIds": ["ami-0123"]}),
        (ImageQuery(distribution="debian", version="12"), {"owners": ["self", "136693071363"], "name": "debian-*"}),
        (ImageQuery(), {"owners": ["self", "136693071363"], "name": "debian-*"}),
        (
            ImageQuery(distribution="ubuntu"),
            {"owners": ["self", "099720109477"], "name": "ubuntu/images/hvm-ssd*/ubuntu-*-server-*"},
        ),
        (ImageQuery(distribution="gentoo"), {"owners": ["self", "amazon"], "name": "*gentoo*"}),
    ],
)
def test_images_are_asked_of_those_who_are_known(query: ImageQuery, asked: dict[str, Any]) -> None:
    params = ec2_images._asked(Ec2Settings(), query)
    if "ImageIds" in asked:
        assert params == asked
        return
    filters = {one["Name"]: one["Values"] for one in params["Filters"]}
    assert (params["Owners"], filters["name"]) == (asked["owners"], [asked["name"]])
    assert filters["architecture"] == ["x86_64"]


def test_a_name_counts_only_with_an_owner_that_is_trusted() -> None:
    """Anybody may publish an image of any name."""
    params = ec2_images._asked(Ec2Settings(), ImageQuery(name="debian-12-*"))
    assert {"self", "amazon", "136693071363"} <= set(params["Owners"])
    assert ec2_images._asked(Ec2Settings(owners=("42",)), ImageQuery(name="x-*"))["Owners"] == ["42"]


def test_the_account_of_an_image_is_its_publishers() -> None:
    told = {
        "ImageId": "ami-1",
        "Name": "debian-12-amd64-20240101",
        "OwnerId": "136693071363",
        "CreationDate": "2024-01-01T00:00:00.000Z",
    }
    assert (image_of(told).user, image_of(told).version) == ("admin", "12")
    assert image_of({**told, "OwnerId": "42"}).user == ""
    assert image_of({"ImageId": "ami-2"}).created_at == 0


def test_a_request_has_disks_marks_and_no_open_metadata() -> None:
    made = order(
        disk_bytes=20 * GIB + 1,
        volumes=(SpecVolume("a", 3 * GIB), SpecVolume("b", 0, volume_id="vol-1"), SpecVolume("c", GIB, type="io2")),
        tags={"team": "x"},
    )
    request = request_of(made, Ec2Settings(), key="k", root_device="/dev/xvda")
    disks = {disk["DeviceName"]: disk["Ebs"] for disk in request["BlockDeviceMappings"]}
    assert disks["/dev/xvda"]["VolumeSize"] == 21
    assert (disks["/dev/sdf"]["VolumeSize"], disks["/dev/sdh"]["VolumeType"]) == (3, "io2")
    assert "/dev/sdg" not in disks  # it is there already and is attached later
    assert all(disk["DeleteOnTermination"] for disk in disks.values())
    assert request["MetadataOptions"]["HttpTokens"] == "required"
    tags = {tag["Key"]: tag["Value"] for tag in request["TagSpecifications"][0]["Tags"]}
    assert tags["team"] == "x"
    assert (tags["im-clues-infrastructure"], tags["im-clues-token"], tags["Name"]) == ("i", "t", "wn-1")
    assert {one["ResourceType"] for one in request["TagSpecifications"]} == {"instance", "volume", "network-interface"}


def test_what_ec2_does_not_take_is_refused_before_it_is_sent() -> None:
    for bad in (
        {"tags": {"aws:x": "y"}},
        {"tags": {"x": "y" * 300}},
        {"volumes": tuple(SpecVolume(str(n), 1) for n in range(12))},
    ):
        with pytest.raises(Unsupported):
            request_of(order(**bad), Ec2Settings(), key="k", root_device="/dev/xvda")


def test_tries_go_through_zones_then_from_spot_to_ordinary_with_a_token_each() -> None:
    zones = tuple(Subnet(f"subnet-{z}", "vpc-1", z) for z in "ab")
    cards = Cards((Card(zones),), ("a", "b"), is_public=True, is_elastic=False)
    assert list(tries(order(), cards, Ec2Settings())) == [("t", "a", False), ("t-1", "b", False)]
    spot = list(tries(order(preemptible=True), cards, Ec2Settings()))
    assert spot == [("t", "a", True), ("t-1", "b", True), ("t-2", "a", False), ("t-3", "b", False)]
    assert len(list(tries(order(preemptible=True), cards, Ec2Settings(spot_fallback=False)))) == 2


def line(**fields: str) -> Credential:
    return Credential("aws", "EC2", {key: Secret(value) for key, value in fields.items()})


def test_an_account_is_put_together_of_settings_line_and_environment() -> None:
    account = account_of(
        Ec2Settings(), line(username="k", password="s", region="eu-west-1", host="ec2.example.org/x/"), {}
    )
    assert (account.region, account.endpoint, account.key) == ("eu-west-1", "https://ec2.example.org/x", "k")
    assert (
        account_of(Ec2Settings(region="a"), line(username="k", password="s", region="b"), {"AWS_REGION": "c"}).region
        == "a"
    )
    assert account_of(Ec2Settings(), None, {"AWS_DEFAULT_REGION": "c"}).region == "c"
    assert account_of(Ec2Settings(endpoint="http://x"), None, {}).region == "us-east-1"
    assert "s3cret" not in repr(account_of(Ec2Settings(), line(username="k", password="s3cret"), {}))
    with pytest.raises(Unauthorised, match="password"):
        account_of(Ec2Settings(), line(username="k"), {})
    with pytest.raises(Misconfigured, match="ftp"):
        account_of(Ec2Settings(endpoint="ftp://x"), None, {})
