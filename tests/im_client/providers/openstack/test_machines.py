"""Machines on the small cloud: what is asked for, how often, and that nothing is left."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from im_client.plan.model import Phase, Spec, SpecInterface, SpecVolume
from im_client.providers.cloud.keeper import KeepingProvider
from infracore.errors import NotFound, TimedOut, Unsupported
from tests.im_client.providers.openstack.conftest import Opened, request
from tests.im_client.providers.openstack.small_cloud import Fault, SmallCloud, flavor

PUBLIC = Spec(num_cpus=1, os_distribution="debian", interfaces=(SpecInterface("out", public=True),))


def created(cloud: SmallCloud) -> dict:
    return next(body for asked, body in reversed(cloud.bodies) if asked == "POST /compute/v2.1/servers")


def test_a_machine_is_one_request_with_its_marks(cloud: SmallCloud, provider: KeepingProvider) -> None:
    provider.prepare(lambda _: None)
    first = provider.create(request(name="web-1"))
    before = len(cloud.asked)
    second = provider.create(request(name="web-2"))
    assert cloud.asked[before:] == ["POST /compute/v2.1/servers"]
    assert [machine.name for machine in provider.list_machines("i-1")] == ["web-1", "web-2"]
    server = created(cloud)["server"]
    assert server["metadata"]["im-clues-token"] == second.token
    assert server["tags"] == ["im-clues", "im-clues:i-1"]
    assert first.phase is second.phase is Phase.PENDING
    assert provider.get(first.provider_id).phase is Phase.RUNNING


def test_what_machines_share_is_made_once_however_many_are_asked_for_at_once(
    cloud: SmallCloud, provider: KeepingProvider
) -> None:
    requests = [request(name=f"web-{number}") for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(provider.create, requests))
    assert cloud.count("POST /compute/v2.1/os-keypairs") == 1
    assert cloud.count("POST /network/v2.0/security-groups") == 2
    assert cloud.count("POST /compute/v2.1/servers") == 8
    assert cloud.logins == 1


def test_nothing_is_left_of_an_infrastructure(cloud: SmallCloud, opened: Opened) -> None:
    before = cloud.left()
    provider = opened(anti_affinity="soft-anti-affinity")
    wanted = request(
        Spec(
            os_distribution="debian",
            interfaces=(SpecInterface("inner", cidr="10.20.0.0/24"), SpecInterface("out", public=True)),
        )
    )
    machine = provider.settle(provider.create(wanted).provider_id, wanted)
    assert machine.public_address
    assert {thing.kind for thing in provider.things("i-1")} == {
        "floating IP",
        "security group",
        "router",
        "network",
        "server group",
        "key pair",
    }
    provider.delete(machine.provider_id)
    assert provider.release("i-1") == []
    assert cloud.left() == before


def test_a_machine_with_a_floating_address_takes_as_many_requests_as_the_reference_says(
    cloud: SmallCloud, provider: KeepingProvider
) -> None:
    first = request(PUBLIC)
    provider.settle(provider.create(first).provider_id, first)  # it looked at all that is shared
    before, wanted = len(cloud.asked), request(PUBLIC, name="web-2")
    made = provider.create(wanted)
    provider.settle(made.provider_id, wanted)
    addresses = "network/v2.0/floatingips"
    assert cloud.asked[before:] == [
        "POST /compute/v2.1/servers",
        f"GET /compute/v2.1/servers/{made.provider_id}",
        f"GET /{addresses}",
        f"GET /{addresses}",
        "GET /network/v2.0/ports",
        f"POST /{addresses}",
    ]
    before = len(cloud.asked)
    provider.delete(made.provider_id)
    assert [asked.split()[0] for asked in cloud.asked[before:]] == ["GET", "DELETE", "DELETE"]


def test_a_machine_gets_one_floating_address_whatever_is_repeated(cloud: SmallCloud, provider: KeepingProvider) -> None:
    wanted = request(PUBLIC)
    made = provider.create(wanted)
    for _ in range(2):
        assert provider.settle(made.provider_id, wanted).public_address == "203.0.113.1"
    assert provider.get(made.provider_id).public_address == "203.0.113.1"
    assert cloud.count("POST /network/v2.0/floatingips") == 1
    (address,) = cloud.things["floatingips"].values()
    address["port_id"] = None  # a process was killed, and it fell off
    assert provider.settle(made.provider_id, wanted).public_address == "203.0.113.1"
    assert len(cloud.things["floatingips"]) == 1
    provider.delete(made.provider_id)
    assert cloud.things["floatingips"] == {}


def test_the_floating_address_of_a_machine_that_is_gone_is_released(
    cloud: SmallCloud, provider: KeepingProvider
) -> None:
    wanted = request(PUBLIC)
    made = provider.settle(provider.create(wanted).provider_id, wanted)
    cloud.servers.clear()
    provider.delete(made.provider_id)
    assert cloud.things["floatingips"] == {}


def test_an_address_of_the_project_is_joined_and_kept(cloud: SmallCloud, provider: KeepingProvider) -> None:
    own = {"floating_ip_address": "203.0.113.77", "port_id": None}
    kept = cloud._keep("floatingips", own)
    wanted = request(
        Spec(
            os_distribution="debian",
            interfaces=(SpecInterface("out", public=True, fixed_address="203.0.113.77"),),
        )
    )
    made = provider.create(wanted)
    provider.settle(made.provider_id, wanted)
    assert cloud.things["floatingips"][kept]["port_id"] is not None
    provider.delete(made.provider_id)
    assert list(cloud.things["floatingips"]) == [kept]


def test_cards_volumes_zone_and_user_data_are_in_the_one_request(cloud: SmallCloud, opened: Opened) -> None:
    cloud.network("storage", cidr="10.30.0.0/24")
    provider = opened(config_drive=True, volume_type="fast", anti_affinity="anti-affinity")
    spec = Spec(
        os_distribution="debian",
        availability_zone="nova-2",
        tags={"team": "physics"},
        interfaces=(
            SpecInterface("in", provider_name="private", fixed_address="10.9.0.50"),
            SpecInterface("data", provider_name="stor*"),
        ),
        volumes=(SpecVolume("scratch", 3 * 2**30 + 1), SpecVolume("old", 2**30, volume_id="v-1")),
    )
    provider.create(request(spec))
    body = created(cloud)
    server = body["server"]
    assert [card.get("fixed_ip") for card in server["networks"]] == ["10.9.0.50", None]
    assert (server["availability_zone"], server["config_drive"]) == ("nova-2", True)
    assert server["metadata"]["team"] == "physics"
    root, blank, old = server["block_device_mapping_v2"]
    assert (root["destination_type"], root["boot_index"]) == ("local", 0)
    assert (blank["volume_size"], blank["volume_type"], blank["delete_on_termination"]) == (4, "fast", True)
    assert (old["uuid"], old["delete_on_termination"]) == ("v-1", False)
    assert body["os:scheduler_hints"]["group"] in cloud.groups


@pytest.mark.parametrize(
    ("settings", "spec", "size", "volume_gib"),
    [
        ({}, {"num_cpus": 2, "mem_bytes": 2**32}, "c1.bare", 1),  # the flavor has no disk: as large as the image says
        ({}, {"num_cpus": 1, "disk_bytes": 50 * 2**30}, "m1.small", 50),  # its disk is too small
        ({"boot_volume": "always"}, {"num_cpus": 1}, "m1.small", 1),
        ({"boot_volume": "never"}, {"num_cpus": 2}, "m1.large", None),
        ({}, {"num_cpus": 1}, "m1.small", None),
    ],
)
def test_a_machine_starts_from_a_volume_where_it_must(
    cloud: SmallCloud, opened: Opened, settings: dict, spec: dict, size: str, volume_gib: int | None
) -> None:
    provider = opened(**settings)
    wanted = Spec(os_distribution="debian", **spec)
    assert provider.offer(wanted).size == size
    provider.create(request(wanted))
    server = created(cloud)["server"]
    disks = server.get("block_device_mapping_v2", [])
    assert [disk["volume_size"] for disk in disks] == ([volume_gib] if volume_gib else [])
    assert ("imageRef" in server) == (volume_gib is None)


def test_gpus_are_read_from_flavors_and_given_to_those_who_ask_only(
    cloud: SmallCloud, provider: KeepingProvider
) -> None:
    cloud.flavors = [
        flavor("g1.alias", 1, 2048, 20, **{"pci_passthrough:alias": "a100:2"}),
        flavor("f1.fpga", 1, 2048, 20, **{"resources:FPGA": "1"}),
        flavor("n1.net", 1, 2048, 30, **{"pci_passthrough:alias": "sriov-nic:1"}),
        flavor(
            "g1.egi",
            1,
            4096,
            20,
            **{"Accelerator:Type": "GPU", "Accelerator:Number": "1", "Accelerator:Vendor": "NVIDIA"},
        ),
    ]
    assert provider.offer(Spec(os_distribution="debian")).size == "n1.net"
    assert provider.offer(Spec(os_distribution="debian", instance_type="f1.fpga")).size == "f1.fpga"
    assert provider.offer(Spec(os_distribution="debian", num_gpus=2)).size == "g1.alias"
    assert provider.offer(Spec(os_distribution="debian", num_gpus=1, gpu_vendor="nvidia")).size == "g1.egi"


def test_images_of_all_pages_are_seen_and_what_was_saved_of_machines_is_not(
    cloud: SmallCloud, provider: KeepingProvider
) -> None:
    for number in range(5):
        cloud.image(f"other {number}")
    cloud.image("debian-12 of ana", image_type="snapshot", os_distro="debian", created_at="2027-01-01T00:00:00Z")
    last = cloud.image("ubuntu-24.04")
    assert last in provider.offer(Spec(os_distribution="ubuntu", os_version="24.04")).image
    assert provider.offer(Spec(os_distribution="debian")).image.startswith("debian-12 (")
    assert "of ana" in provider.offer(Spec(image="debian-12 of ana")).image
    assert last in provider.offer(Spec(image=f"ost://cloud.example.org/{last}")).image
    with pytest.raises(Unsupported, match="not one of"):
        provider.offer(Spec(image="aws://eu/ami-1"))
    for name in ("00000000-0000-0000-0000-000000000000", "debain-12", "no*"):
        with pytest.raises(NotFound, match="there is no image") as caught:
            provider.offer(Spec(image=name))
        assert "debian-12" in caught.value.hint
        assert "of ana" not in caught.value.hint


def test_a_machine_is_resized_and_the_next_look_confirms_it(cloud: SmallCloud, provider: KeepingProvider) -> None:
    made = provider.create(request())
    provider.resize(made.provider_id, Spec(num_cpus=4, os_distribution="debian"))
    assert cloud.servers[made.provider_id]["status"] == "VERIFY_RESIZE"
    assert provider.get(made.provider_id).phase is Phase.PENDING
    again = provider.get(made.provider_id)
    assert (again.phase, again.spec["num_cpus"]) == (Phase.RUNNING, 4)
    cloud.servers[made.provider_id]["status"] = "VERIFY_RESIZE"  # still, while Nova is at it
    body = {"badRequest": {"code": 400, "message": "Instance has not been resized."}}
    cloud.faults.append(Fault(".*/action", 400, body))
    assert provider.get(made.provider_id).phase is Phase.PENDING
    before = len(cloud.asked)
    provider.resize(made.provider_id, Spec(num_cpus=4, os_distribution="debian"))
    assert not any("action" in asked for asked in cloud.asked[before:])


@pytest.mark.parametrize(
    ("fault", "has_no_room"),
    [
        ("No valid host was found. There are not enough hosts available.", True),
        ("Exceeded maximum number of retries. Exhausted all hosts available for retrying build failures", True),
        ("Quota exceeded for instances: Requested 1, but already used 2 of 2 instances", True),
        ("the disk is on fire", False),
    ],
)
def test_the_fault_of_a_failed_machine_is_told(
    cloud: SmallCloud, provider: KeepingProvider, fault: str, has_no_room: bool
) -> None:
    made = provider.create(request())
    cloud.servers[made.provider_id] |= {"status": "ERROR", "addresses": {}, "fault": {"code": 500, "message": fault}}
    machine = provider.get(made.provider_id)
    assert (machine.phase, machine.fault, machine.has_no_room) == (Phase.FAILED, fault, has_no_room)


def test_quotas_are_told_and_no_limit_is_none(provider: KeepingProvider) -> None:
    found = provider.quotas()
    assert (found.machines.limit, found.machines.used, found.cpus.limit) == (10, 0, None)
    assert (found.memory_bytes.left, found.disk_bytes.used, found.disk_bytes.limit) == (2**31, 30 * 2**30, None)


def test_a_group_that_went_meanwhile_is_made_anew(cloud: SmallCloud, provider: KeepingProvider) -> None:
    provider.create(request(name="web-1"))
    cloud.things["security-groups"].clear()
    words = "Security group could not be found."
    cloud.faults.append(Fault("POST /compute/v2.1/servers", 400, {"badRequest": {"message": words, "code": 400}}))
    provider.create(request(name="web-2"))
    assert len(cloud.things["security-groups"]) == 2


@pytest.mark.parametrize("is_acted_on", [True, False])
def test_broken_off_at_any_request_it_is_finished_by_another_process_and_nothing_is_there_twice(
    cloud: SmallCloud, opened: Opened, is_acted_on: bool
) -> None:
    spec = Spec(
        os_distribution="debian",
        interfaces=(SpecInterface("inner", cidr="10.20.0.0/24"), SpecInterface("out", public=True)),
    )
    before = cloud.left()
    for passed in range(40):
        wanted = request(spec, is_new=False)
        fault = Fault("(POST|PUT|DELETE) /(compute|network)/.*", 500, after=passed, cut=is_acted_on)
        cloud.faults = [fault]
        broken = opened(anti_affinity="anti-affinity", attempts=1)
        with suppress(TimedOut):
            broken.settle(broken.create(wanted).provider_id, wanted)
            broken.delete(broken.list_machines("i-1")[0].provider_id)
            broken.release("i-1")
        cloud.faults = []
        other = opened(anti_affinity="anti-affinity")
        machine = other.settle(other.create(wanted).provider_id, wanted)
        assert [one["metadata"]["im-clues-token"] for one in cloud.servers.values()] == [wanted.token]
        assert machine.public_address
        assert len(cloud.things["floatingips"]) == 1
        names = [(thing.kind, thing.name) for thing in other.things("i-1")]
        assert len(names) == len(set(names)) == 7
        other.delete(machine.provider_id)
        assert other.release("i-1") == []
        assert cloud.left() == before
        if fault.times:  # nothing was broken off any more: all requests had their turn
            assert passed > 15
            return
    pytest.fail("there is no end of requests")
