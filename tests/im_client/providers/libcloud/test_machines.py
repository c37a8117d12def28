"""Machines: what is asked for, how often, what is chosen, what is refused, and that nothing is left."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from im_client.plan.model import Phase, Spec, SpecInterface, SpecVolume
from im_client.providers import registry
from im_client.providers.cloud.provider import CloudProvider
from im_client.providers.libcloud.gce_login import login
from im_client.providers.libcloud.settings import LibcloudSettings
from infracore.errors import Misconfigured, NoCapacity, NotFound, Unauthorised, Unsupported
from infracore.secrets import Secret
from tests.contracts.libcloud_site import credential, settings
from tests.im_client.providers.libcloud.conftest import DESCRIPTORS, KEY, Opened, request
from tests.im_client.providers.libcloud.test_faults import MAKES
from tests.rigs.small_clouds import DigitalOcean, Fault, Gce, SmallApi

CHOSEN = {
    "azure": ("Standard_B1s", "Debian:debian-12:12-gen2:0.20260102.2000", None),
    "cloudstack": ("small", "Debian 12", None),
    "digitalocean": ("s-1vcpu-1gb", "debian-12-x64", 0.00893),
    "gce": ("e2-small", "debian-12-bookworm-v20260101", None),
    "linode": ("g6-nanode-1", "Debian 12", 0.0075),
    "vultr": ("vc2-1c-1gb", "Debian 12 x64 (bookworm)", 0.01),
}


def test_size_image_and_price_are_chosen(kind: str, provider: CloudProvider) -> None:
    offer = provider.offer(Spec(num_cpus=1, os_distribution="debian", os_version="12"))
    price = offer.price.per_hour if offer.price else None
    assert (offer.size, offer.image.partition(" (")[0]) == (CHOSEN[kind][0], CHOSEN[kind][1].partition(" (")[0])
    assert price == pytest.approx(CHOSEN[kind][2]) if CHOSEN[kind][2] else price is None


def test_the_second_machine_is_one_request_with_its_marks(kind: str, cloud: SmallApi, provider: CloudProvider) -> None:
    provider.create(request(name="web-1"))
    before = len(cloud.asked)
    second = provider.create(request(name="web-2"))
    besides = {"cloudstack": 1, "linode": 1}.get(kind, 0)  # the zone's id; a look
    assert len(cloud.asked) - before == 1 + besides
    assert [machine.name for machine in provider.list_machines("i-1")] == ["web-1", "web-2"]
    assert second.infrastructure == "i-1"


def test_user_data_and_key_come_to_the_machine(kind: str, cloud: SmallApi, provider: CloudProvider) -> None:
    provider.create(request(user_data="#!/bin/sh\nhello\n"))
    body = cloud.last(MAKES[kind]).body
    match kind:
        case "azure":
            data = base64.b64decode(body["properties"]["osProfile"]["customData"]).decode()
            keys = body["properties"]["osProfile"]["linuxConfiguration"]["ssh"]["publicKeys"]
            assert keys == [{"path": "/home/debian/.ssh/authorized_keys", "keyData": KEY}]
        case "gce":
            items = {item["key"]: item["value"] for item in body["metadata"]["items"]}
            data = items["user-data"]
            assert items["ssh-keys"] == f"debian:{KEY}"
        case "linode":
            data = base64.b64decode(body["metadata"]["user_data"]).decode()
            assert body["authorized_keys"] == [KEY]
        case "digitalocean":
            data = body["user_data"]
            assert [str(number) for number in body["ssh_keys"]] == list(cloud.keys)
        case "vultr":
            data = base64.b64decode(body["user_data"]).decode()
            assert body["sshkey_id"] == list(cloud.keys)
        case _:
            data = base64.b64decode(body["userdata"]).decode()
            assert body["keypair"] in cloud.keys
    assert "hello" in data
    assert "multipart" in data


def test_what_machines_share_is_made_once_and_nothing_is_left(cloud: SmallApi, provider: CloudProvider) -> None:
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(provider.create, [request(name=f"web-{number}") for number in range(4)]))
    assert len({machine.provider_id for machine in made}) == len(cloud.machines) == 4
    assert len(cloud.keys) <= 1
    for machine in made:
        provider.delete(machine.provider_id)
    assert provider.release("i-1") == []
    assert provider.list_machines() == []
    assert provider.things() == []
    assert not cloud.keys


def test_a_key_that_went_meanwhile_is_made_anew(kind: str, cloud: SmallApi, provider: CloudProvider) -> None:
    if DESCRIPTORS[kind].keys is None:
        pytest.skip(f"{kind} registers no keys")
    provider.create(request(name="web-1"))
    cloud.keys.clear()
    cloud.faults.append(Fault(MAKES[kind], 422, {"message": "no such key"}))
    provider.create(request(name="web-2"))
    assert len(cloud.keys) == 1


@pytest.mark.parametrize("kind", ["digitalocean"], indirect=True)
def test_a_key_of_the_account_serves_and_is_kept(cloud: DigitalOcean, provider: CloudProvider) -> None:
    cloud.keys["7"] = {"id": 7, "name": "mine", "fingerprint": "f", "public_key": f"{KEY} me@home"}
    made = provider.create(request())
    assert cloud.last(MAKES["digitalocean"]).body["ssh_keys"] == [7]
    provider.delete(made.provider_id)
    assert provider.release("i-1") == []
    assert list(cloud.keys) == ["7"]


@pytest.mark.parametrize("kind", ["digitalocean"], indirect=True)
def test_the_tag_of_a_droplet_that_somebody_else_deleted_is_found_and_removed(
    cloud: DigitalOcean, provider: CloudProvider
) -> None:
    provider.create(request(infrastructure="I/2"))
    cloud.machines.clear()
    assert [(thing.kind, thing.infrastructure) for thing in provider.things("I/2")] == [
        ("tag", "I/2"),
        ("key pair", "I/2"),
    ]
    assert provider.release("I/2") == []
    assert not cloud.tags


def test_what_a_cloud_cannot_do_is_refused_before_anything_is_made(
    kind: str, cloud: SmallApi, provider: CloudProvider
) -> None:
    refused = provider.limits().unsupported
    assert "availability_zone" in refused
    assert {"volumes", "preemptible"} <= refused or kind in {"azure", "gce"}
    wrong = [
        Spec(interfaces=(SpecInterface("a", fixed_address="10.0.0.7"),)),
        Spec(interfaces=(SpecInterface("a", provider_name="inner"),)),
        Spec(interfaces=(SpecInterface("a", cidr="10.7.0.0/24"),)),
        Spec(interfaces=(SpecInterface("a"), SpecInterface("b"))),
        Spec(image="ost://elsewhere/1"),
    ]
    if "ports" not in refused and DESCRIPTORS[kind].firewall is None:
        wrong.append(Spec(ports=("tcp/5432@10.0.0.0/8",)))
    if "tags" not in refused:
        wrong.append(Spec(tags={"a b": "c,d%\n"}))
    for spec in wrong:
        with pytest.raises(Unsupported):
            provider.offer(spec)
        with pytest.raises(Unsupported):
            provider.create(request(spec))
    assert not cloud.machines
    assert not cloud.keys


def test_that_there_is_no_firewall_is_said(kind: str, provider: CloudProvider) -> None:
    notes = provider.offer(Spec(os_distribution="debian")).notes
    assert any("every port" in note for note in notes) == (kind in {"digitalocean", "linode", "vultr"})


@pytest.mark.parametrize("kind", ["gce"], indirect=True)
def test_disks_spot_labels_and_ports_are_asked_for_at_google(cloud: Gce, provider: CloudProvider) -> None:
    spec = Spec(
        num_cpus=1,
        os_distribution="debian",
        disk_bytes=30 * 2**30,
        disk_type="pd-ssd",
        preemptible=True,
        tags={"team": "physics"},
        ports=("tcp/80", "udp/2000-2100@10.0.0.0/8", "icmp"),
        volumes=(SpecVolume("scratch", 3 * 2**30 + 1), SpecVolume("old", 2**30, volume_id="kept")),
    )
    provider.create(request(spec))
    body = cloud.last(MAKES["gce"]).body
    root, scratch, old = body["disks"]
    assert root["initializeParams"]["diskSizeGb"] == "30"
    assert root["initializeParams"]["diskType"].endswith("/pd-ssd")
    assert (scratch["initializeParams"]["diskSizeGb"], scratch["autoDelete"]) == ("4", True)
    assert (old["source"].rpartition("/")[2], old["autoDelete"]) == ("kept", False)
    assert body["scheduling"]["provisioningModel"] == "SPOT"
    assert body["labels"]["team"] == "physics"
    walls = {tuple(wall.get("sourceRanges", ())): wall for wall in cloud.walls.values()}
    assert walls["10.0.0.0/8",]["allowed"] == [{"IPProtocol": "udp", "ports": ["2000-2100"]}]
    anywhere = walls["0.0.0.0/0",]
    assert anywhere["allowed"] == [
        {"IPProtocol": "icmp"},
        {"IPProtocol": "tcp", "ports": ["22"]},
        {"IPProtocol": "tcp", "ports": ["80"]},
    ]
    assert set(anywhere["targetTags"]) <= set(body["tags"]["items"])
    assert set(walls[()]["targetTags"]) <= set(body["tags"]["items"])


@pytest.mark.parametrize("kind", ["gce"], indirect=True)
def test_google_is_logged_in_to_once_for_all_threads(cloud: Gce, provider: CloudProvider) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(provider.list_machines, ["i-1"] * 4))
    assert cloud.logins == 1


@pytest.mark.parametrize("kind", ["gce"], indirect=True)
def test_a_token_of_google_is_replaced_before_it_runs_out(cloud: Gce, provider: CloudProvider) -> None:
    provider.list_machines("i-1")
    provider._clock.advance(3000)  # type: ignore[attr-defined]
    provider.list_machines("i-1")
    assert cloud.logins == 1
    provider._clock.advance(500)  # type: ignore[attr-defined]
    provider.list_machines("i-1")
    assert cloud.logins == 2


@pytest.mark.parametrize("kind", ["azure", "cloudstack", "gce", "linode"], indirect=True)
def test_a_name_that_is_taken_is_the_machine_of_an_earlier_try(cloud: SmallApi, provider: CloudProvider) -> None:
    wanted = request()
    assert provider.create(wanted).provider_id == provider.create(wanted).provider_id
    assert len(cloud.machines) == 1


@pytest.mark.parametrize("kind", ["gce"], indirect=True)
def test_a_machine_that_google_has_no_room_for_is_not_found_and_says_why(cloud: Gce, provider: CloudProvider) -> None:
    cloud.failing = "ZONE_RESOURCE_POOL_EXHAUSTED"
    made = provider.create(request())
    with pytest.raises(NotFound, match="ZONE_RESOURCE_POOL_EXHAUSTED"):
        provider.get(made.provider_id)
    provider.delete(made.provider_id)


@pytest.mark.parametrize("kind", ["gce"], indirect=True)
def test_an_operation_that_failed_at_once_is_no_capacity(cloud: Gce, provider: CloudProvider) -> None:
    error = {"errors": [{"code": "ZONE_RESOURCE_POOL_EXHAUSTED", "message": "no room"}]}
    cloud.faults.append(Fault(MAKES["gce"], 200, {"status": "DONE", "error": error}))
    with pytest.raises(NoCapacity):
        provider.create(request())


@pytest.mark.parametrize("kind", ["vultr"], indirect=True)
@pytest.mark.parametrize(
    ("status", "power", "server", "phase"),
    [
        ("active", "running", "ok", Phase.RUNNING),
        ("active", "running", "installingbooting", Phase.RUNNING),
        ("active", "running", "locked", Phase.PENDING),
        ("active", "stopped", "ok", Phase.STOPPED),
        ("active", "stopped", "none", Phase.PENDING),
        ("suspended", "stopped", "ok", Phase.STOPPED),
        ("resizing", "running", "ok", Phase.PENDING),
    ],
)
def test_a_phase_of_vultr_is_made_of_three_words(
    cloud: SmallApi, provider: CloudProvider, status: str, power: str, server: str, phase: Phase
) -> None:
    made = provider.create(request())
    words = {"status": status, "power_status": power, "server_status": server, "main_ip": "203.0.113.9"}
    cloud.machines[made.provider_id] |= words
    assert provider.get(made.provider_id).phase is phase


def test_a_cloud_opens_by_its_name_and_wants_credentials(kind: str, cloud: SmallApi) -> None:
    line = credential(kind, cloud)
    assert registry.cloud_of(DESCRIPTORS[kind].title) == kind
    assert registry.provider(kind, settings(kind, cloud), (line,)).name == kind
    with pytest.raises(Unauthorised):
        registry.provider(kind, settings(kind, cloud))
    with pytest.raises(Misconfigured, match="regoin"):
        registry.provider(kind, {"regoin": "x"}, (line,))
    assert cloud.asked == []


@pytest.mark.parametrize("address", ["ftp://x", "https://", "https://u:p@x", "https://u:p@x:99999"])
def test_an_address_that_is_none_is_misconfigured(opened: Opened, address: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        opened(address=address)
    assert "u:p" not in caught.value.message


@pytest.mark.parametrize("password", ["/etc/passwd", "~/key.json", "{", "{}", '{"private_key": "/etc/passwd"}'])
def test_a_key_of_google_is_text_and_never_a_path(password: str) -> None:
    words = {"username": "a@b", "password": password, "project": "p"}
    with pytest.raises(Misconfigured):
        login({key: Secret(value) for key, value in words.items()}, LibcloudSettings())


def test_the_json_of_a_service_account_says_all() -> None:
    pem = "-----BEGIN PRIVATE KEY-----\nx\n-----END PRIVATE KEY-----\n"
    text = json.dumps({"private_key": pem, "client_email": "a@b", "project_id": "p"})
    found = login({"password": Secret(text)}, LibcloudSettings())
    assert (found.key.reveal(), found.account) == ("a@b", "project p")
    assert found.secret is not None
    assert found.secret.reveal() == pem
