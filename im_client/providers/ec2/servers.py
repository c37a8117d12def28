"""Instances: how one is asked for, and how it reads."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from im_client.plan.model import Phase, Spec
from im_client.providers.cloud.base import MARK, NAME_MARK, TOKEN_MARK, USER_MARK
from im_client.providers.cloud.model import Order, Server, Size
from im_client.providers.ec2.errors import has_no_room
from im_client.providers.ec2.marks import machine_marks, specifications, tags_of
from im_client.providers.ec2.network import Card, Cards
from im_client.providers.ec2.settings import Ec2Settings
from infracore.errors import Unsupported

__all__ = ["card_of", "check_volumes", "device_of", "is_gone", "request_of", "server_of", "tries"]

_GIB: Final = 2**30
_PHASES: Final = {
    "pending": Phase.PENDING,
    "running": Phase.RUNNING,
    "stopping": Phase.PENDING,
    "stopped": Phase.STOPPED,
    "shutting-down": Phase.DELETING,
    "terminated": Phase.GONE,
}
_MOST_USER_DATA: Final = 16 * 1024
"""EC2's limit, before base64. cloud-init unpacks gzip."""
_ENDED: Final = ("Client.User", "Client.Instance", "Server.Spot", "Server.Scheduled")
"""Reasons of machines that ran, and ended: by a user, from inside, by a spot interruption, by Amazon's maintenance."""
_LETTERS: Final = "fghijklmnop"
"""Of /dev/sdX: those that EC2 recommends for data."""


def request_of(
    order: Order,
    settings: Ec2Settings,
    *,
    key: str,
    root_device: str,
) -> dict[str, Any]:
    """Return the parameters of RunInstances that do not change from try to try: all but token, cards and market.

    Raises:
        Unsupported: user data, tags or volumes that EC2 does not take.
    """
    user_data = order.user_data.encode()
    if len(user_data) > _MOST_USER_DATA:
        user_data = gzip.compress(user_data, mtime=0)
    if len(user_data) > _MOST_USER_DATA:
        raise Unsupported(f"the user data of {order.name} is larger than 16 KiB", "let it fetch a part of it")
    request: dict[str, Any] = {
        "ImageId": order.image.id,
        "InstanceType": order.size.id,
        "MinCount": 1,
        "MaxCount": 1,
        "KeyName": key,
        "UserData": user_data,
        "BlockDeviceMappings": list(_disks(order, settings, root_device)),
        "MetadataOptions": {"HttpTokens": "required", "HttpEndpoint": "enabled", "HttpPutResponseHopLimit": 1},
        "TagSpecifications": specifications(["instance", "volume", "network-interface"], machine_marks(order)),
    }
    if settings.instance_profile:
        request["IamInstanceProfile"] = {"Name": settings.instance_profile}
    return request


def tries(order: Order, cards: Cards, settings: Ec2Settings) -> Iterator[tuple[str, str, bool]]:
    """Return (client token, zone, is spot) of the requests to send until one has capacity: every zone, spot first.

    Each try has a token of its own, since EC2 refuses a token that comes again with other parameters.
    """
    markets: tuple[bool, ...] = (False,)
    if order.spec.preemptible:
        markets = (True, False) if settings.spot_fallback else (True,)
    count = 0
    for is_spot in markets:
        for zone in cards.zones or ("",):
            yield (order.token if count == 0 else f"{order.token}-{count}"), zone, is_spot
            count += 1


def card_of(index: int, card: Card, zone: str, groups: Sequence[str], *, takes_public: bool | None) -> dict[str, Any]:
    """Return one of NetworkInterfaces."""
    subnet = next(one for one in card.subnets if not zone or one.zone == zone)
    told: dict[str, Any] = {
        "DeviceIndex": index,
        "SubnetId": subnet.id,
        "Groups": list(groups),
        "DeleteOnTermination": True,
    }
    if card.address:
        told["PrivateIpAddress"] = card.address
    if takes_public is not None:
        told["AssociatePublicIpAddress"] = takes_public
    return told


def server_of(told: Mapping[str, Any], sizes: Mapping[str, Size]) -> Server:
    """Read one instance."""
    tags = tags_of(told)
    state = told.get("State", {}).get("Name", "")
    phase = _PHASES.get(state, Phase.UNKNOWN)
    fault = ""
    if _came_to_nothing(told):
        phase, fault = Phase.FAILED, told["StateReason"].get("Message") or told["StateReason"]["Code"]
    cards = sorted(told.get("NetworkInterfaces", ()), key=lambda one: one.get("Attachment", {}).get("DeviceIndex", 0))
    private = [one["PrivateIpAddress"] for one in cards if one.get("PrivateIpAddress")]
    public = [one["Association"]["PublicIp"] for one in cards if one.get("Association", {}).get("PublicIp")]
    first_private, first_public = told.get("PrivateIpAddress"), told.get("PublicIpAddress")
    size = sizes.get(told.get("InstanceType", ""))
    cpu = told.get("CpuOptions", {})
    return Server(
        id=told["InstanceId"],
        name=tags.get(NAME_MARK, tags.get("Name", "")),
        token=tags.get(TOKEN_MARK, ""),
        infrastructure=tags.get(MARK, ""),
        phase=phase,
        private_addresses=tuple(dict.fromkeys([*([first_private] if first_private else []), *private])),
        public_addresses=tuple(dict.fromkeys([*([first_public] if first_public else []), *public])),
        user=tags.get(USER_MARK, ""),
        num_cpus=cpu.get("CoreCount", 0) * cpu.get("ThreadsPerCore", 0) or (size.num_cpus if size else None),
        mem_bytes=size.mem_bytes if size else None,
        image=told.get("ImageId", ""),
        size=told.get("InstanceType", ""),
        fault=fault,
        has_no_room=bool(fault) and has_no_room(told["StateReason"]["Code"]),
        created_at=launch.timestamp() if isinstance(launch := told.get("LaunchTime"), datetime) else None,
        marks=tags,
    )


def _came_to_nothing(told: Mapping[str, Any]) -> bool:
    """Say whether EC2 took an instance back by itself while it was starting, and nobody has looked at it yet.

    Nobody: `delete` takes our marks off. Its console and reason can be read for an hour.
    """
    code = (told.get("StateReason") or {}).get("Code", "")
    by_itself = code.startswith(("Server.", "Client.")) and not code.startswith(_ENDED)
    return told.get("State", {}).get("Name") == "terminated" and by_itself and TOKEN_MARK in tags_of(told)


def is_gone(told: Mapping[str, Any]) -> bool:
    """Say whether an instance is listed still, and is no more."""
    return told.get("State", {}).get("Name") == "terminated" and not _came_to_nothing(told)


def _disks(order: Order, settings: Ec2Settings, root_device: str) -> Iterator[dict[str, Any]]:
    root: dict[str, Any] = {"DeleteOnTermination": True, "VolumeType": order.spec.disk_type or settings.volume_type}
    size = max(order.spec.disk_bytes or 0, order.image.min_disk_bytes)
    if size:
        root["VolumeSize"] = _gib(size)
    yield {"DeviceName": root_device, "Ebs": root}
    check_volumes(order.spec)
    for index, volume in enumerate(order.spec.volumes):
        if volume.volume_id is not None or not volume.size_bytes:
            continue
        yield {
            "DeviceName": device_of(index),
            "Ebs": {
                "VolumeSize": _gib(volume.size_bytes),
                "VolumeType": volume.type or settings.volume_type,
                "DeleteOnTermination": True,
            },
        }


def check_volumes(spec: Spec) -> None:
    """Look whether there are device names for all volumes. Raises `Unsupported`."""
    if len(spec.volumes) > len(_LETTERS):
        raise Unsupported(f"EC2 has no device names for {len(spec.volumes)} volumes", f"{len(_LETTERS)} at most")


def device_of(index: int) -> str:
    """Return the device name of a volume, by its place in the template. Newer machines call it otherwise inside."""
    return f"/dev/sd{_LETTERS[index]}"


def _gib(size_bytes: int) -> int:
    return max(1, -(-size_bytes // _GIB))
