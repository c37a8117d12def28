"""Azure: one request has all of a machine; its group goes last, with whatever is in it."""

import pytest

from im_client.plan.model import Phase, Spec
from im_client.providers import registry
from im_client.providers.cloud.provider import CloudProvider
from im_client.providers.libcloud.marks import named_for
from infracore.errors import Misconfigured, NoCapacity, NotFound, QuotaExceeded, Unauthorised
from tests.contracts.libcloud_site import credential, settings
from tests.im_client.providers.libcloud.conftest import Opened, request
from tests.im_client.providers.libcloud.test_faults import MAKES
from tests.rigs.small_clouds import Azure, Fault

pytestmark = pytest.mark.parametrize("kind", ["azure"], indirect=True)


def test_a_machine_has_card_address_and_disk_of_its_own_that_go_with_it(cloud: Azure, provider: CloudProvider) -> None:
    spec = Spec(
        num_cpus=1,
        os_distribution="debian",
        disk_bytes=50 * 2**30,
        disk_type="Premium_LRS",
        preemptible=True,
        tags={"team": "physics"},
        ports=("tcp/80", "udp/2000-2100@10.0.0.0/8", "icmp"),
    )
    made = provider.create(request(spec, infrastructure="I/2"))
    body = cloud.last(MAKES["azure"]).body
    properties = body["properties"]
    disk = properties["storageProfile"]["osDisk"]
    assert (disk["diskSizeGB"], disk["managedDisk"]["storageAccountType"], disk["deleteOption"]) == (
        50,
        "Premium_LRS",
        "Delete",
    )
    (card,) = properties["networkProfile"]["networkInterfaceConfigurations"]
    (place,) = card["properties"]["ipConfigurations"]
    address = place["properties"]["publicIPAddressConfiguration"]["properties"]
    assert (card["properties"]["deleteOption"], address["deleteOption"]) == ("Delete", "Delete")
    assert (properties["priority"], body["tags"]["team"]) == ("Spot", "physics")
    (wall,) = cloud.walls.values()
    told = [rule["properties"] for rule in wall["properties"]["securityRules"]]
    assert [(one["protocol"], one["destinationPortRange"], one["sourceAddressPrefix"]) for one in told] == [
        ("Icmp", "*", "*"),
        ("Tcp", "22", "*"),
        ("Tcp", "80", "*"),
        ("Udp", "2000-2100", "10.0.0.0/8"),
    ]
    seen = provider.get(made.provider_id)
    assert (seen.phase, seen.private_address, seen.public_address) == (Phase.RUNNING, "10.79.0.1", "203.0.113.1")
    assert [one.provider_id for one in provider.list_machines("I/2")] == [made.provider_id]
    provider.stop(made.provider_id)
    assert provider.get(made.provider_id).phase is Phase.STOPPED
    assert [(one.kind, one.name) for one in provider.things("I/2")] == [("resource group", named_for("I/2", "group"))]


def test_a_group_is_waited_for_until_it_is_gone(cloud: Azure, provider: CloudProvider) -> None:
    provider.create(request())
    cloud.faults.append(Fault("DELETE .*", 409, {"error": {"message": "Another operation is in progress."}}))
    assert provider.release("i-1") == []
    assert not cloud.groups
    assert not cloud.machines, "what was left in it goes too"
    provider.create(request())
    assert len(cloud.groups) == 1, "it is made anew"


def test_a_group_that_another_process_removed_is_made_anew(cloud: Azure, provider: CloudProvider) -> None:
    provider.create(request(name="web-1"))
    cloud.groups.clear()
    provider.create(request(name="web-2"))
    assert len(cloud.groups) == 1


def test_a_network_of_the_account_is_used_and_none_is_made(cloud: Azure, opened: Opened) -> None:
    opened(network="shared/net/workers").create(request())
    assert not cloud.nets
    card = cloud.last(MAKES["azure"]).body["properties"]["networkProfile"]["networkInterfaceConfigurations"][0]
    (place,) = card["properties"]["ipConfigurations"]
    assert place["properties"]["subnet"]["id"].endswith(
        "/resourceGroups/shared/providers/Microsoft.Network/virtualNetworks/net/subnets/workers"
    )
    with pytest.raises(Misconfigured, match="no network 'net'"):
        opened(network="net").create(request())


def test_a_machine_that_came_to_nothing_says_why(cloud: Azure, provider: CloudProvider) -> None:
    cloud.failing = "Allocation failed. We do not have sufficient capacity for the requested size in this region."
    made = provider.get(provider.create(request()).provider_id)
    assert (made.phase, made.has_no_room) == (Phase.FAILED, True)
    assert "AllocationFailed: Allocation failed" in made.fault


def test_limits_and_lack_of_room_are_errors_of_their_own(cloud: Azure, provider: CloudProvider) -> None:
    closed = {"error": {"code": "SkuNotAvailable", "message": "The size is not there: Capacity Restrictions."}}
    cloud.faults.append(Fault(MAKES["azure"], 409, closed))
    with pytest.raises(NoCapacity):
        provider.create(request())
    cloud.limit = 0
    with pytest.raises(QuotaExceeded):
        provider.create(request())
    assert provider.quotas().machines.limit == 0


def test_sizes_that_the_subscription_may_not_have_are_left_out(provider: CloudProvider) -> None:
    assert provider.offer(Spec(num_cpus=1, os_distribution="debian")).size == "Standard_B1s"
    assert provider.offer(Spec(num_gpus=1, os_distribution="debian")).size == "Standard_NC24ads_A100_v4"


@pytest.mark.parametrize(
    ("spec", "image"),
    [
        (Spec(os_distribution="debian"), "Debian:debian-12:12-gen2:0.20260102.2000"),
        (Spec(os_distribution="debian", os_version="11"), "Debian:debian-11:11-gen2:0.20250101.1613"),
        (Spec(image="Debian:debian-12:12-gen2:latest"), "Debian:debian-12:12-gen2:latest"),
        (Spec(image="*ubuntu*"), "Canonical:ubuntu-24_04-lts:server:24.04.202601010"),
    ],
)
def test_images_are_the_publishers_newest(provider: CloudProvider, spec: Spec, image: str) -> None:
    assert provider.offer(spec).image == image


@pytest.mark.parametrize("image", ["Debian:debian-12:12-gen2:0.1.1", "Nobody:has:this:latest", "mine"])
def test_an_image_that_is_not_there_is_not_found(provider: CloudProvider, image: str) -> None:
    with pytest.raises(NotFound):
        provider.offer(Spec(image=image))


def test_it_is_logged_in_to_once_and_a_wrong_line_is_told(cloud: Azure, provider: CloudProvider) -> None:
    provider.list_machines()
    provider.list_machines()
    assert cloud.logins == 1
    for wrong in ({"secret": "wrong"}, {"client_id": "wrong"}):
        line = credential("azure", cloud, **wrong)
        other = registry.provider("azure", settings("azure", cloud), (line,))
        with pytest.raises(Unauthorised, match="AADSTS"):
            other.list_machines()
    with pytest.raises(Misconfigured, match="tenant"):
        registry.provider("azure", settings("azure", cloud), (credential("azure", cloud, tenant="a/b"),))


@pytest.mark.parametrize("wrong", ["web", "__web", "i-1__", "i-1__gone"])
def test_an_id_that_no_machine_has_is_not_found(provider: CloudProvider, wrong: str) -> None:
    with pytest.raises(NotFound):
        provider.get(wrong)
    provider.delete(wrong)
