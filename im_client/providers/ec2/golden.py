"""Golden images: images of the account that carry our marks, with the snapshots behind them.

CreateImage marks the image. Its snapshots are marked before the image goes: if deleting is broken off then, it can be
repeated, and `im orphans` finds them.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from im_client.plan.model import Phase
from im_client.providers.cloud.base import MARK, NAME_MARK, USER_MARK
from im_client.providers.cloud.model import Server
from im_client.providers.ec2.client import Client
from im_client.providers.ec2.images import image_of, root_of
from im_client.providers.ec2.marks import specifications, tags_of
from im_client.providers.images import ImageRequest, SavedImage
from infracore.errors import Conflict, NotFound

__all__ = ["Golden"]

_NAME: Final = "im-clues-golden"
_GROUP: Final = "im-clues-group"
_MACHINE: Final = "im-clues-machine-name"
_IMAGE: Final = "im-clues-image"
"""On a snapshot: id of the image that it is of."""
_ABSENT: Final = ("InvalidAMIID.NotFound", "InvalidAMIID.Unavailable", "InvalidAMIID.Malformed")
_ENDED: Final = frozenset({"deregistered", "terminated", "shutting-down"})


class Golden:
    """The golden images of one account at one region. Safe under threads."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def save(self, server: Server, request: ImageRequest) -> SavedImage:
        """Ask for an image of the root disk; EC2 has copied it when the image is ready."""
        if any(image.name == request.name for image in self.list()):
            raise Conflict(f"there is a golden image {request.name!r} already", "choose another name, or delete it")
        if server.phase is not Phase.STOPPED:
            raise Conflict(f"{request.machine} is {server.phase}, and saved only while it is stopped", "stop it")
        tags = {
            "Name": f"im-clues {request.name}",
            _NAME: request.name,
            MARK: request.infrastructure,
            _GROUP: request.group,
            _MACHINE: request.machine,
            USER_MARK: server.user,
        }
        made = self._client.ask(
            "create_image",
            InstanceId=server.id,
            Name=f"im-clues {request.name}",
            NoReboot=True,
            BlockDeviceMappings=self._left_out(server.id),
            TagSpecifications=specifications(["image"], tags),
        )
        return SavedImage(
            id=made["ImageId"],
            name=request.name,
            group=request.group,
            infrastructure=request.infrastructure,
            machine=request.machine,
            created_at=request.now,
            size_bytes=0,
            is_ready=False,
        )

    def list(self) -> Sequence[SavedImage]:
        """List them, the newest first."""
        told = self._client.every(
            "describe_images", "Images", Owners=["self"], Filters=[{"Name": "tag-key", "Values": [_NAME]}]
        )
        found = [_saved(one) for one in told if one.get("State") not in _ENDED]
        return sorted(found, key=lambda image: (-image.created_at, image.name))

    def check(self, image_id: str) -> str:
        """Say what is wrong with an image or a snapshot of it, or ""."""
        told = self._find(image_id)
        if told is None:
            raise NotFound(f"there is no golden image {image_id}", "im image list shows what there is")
        if told.get("State") != "available":
            why = (told.get("StateReason") or {}).get("Message", "")
            return f"it is {told.get('State')}{f': {why}' if why else ''}"
        wanted = _snapshots_of(told)
        there = self._client.every(
            "describe_snapshots", "Snapshots", Filters=[{"Name": "snapshot-id", "Values": wanted}]
        )
        whole = {one["SnapshotId"] for one in there if one.get("State") == "completed"}
        lost = [one for one in wanted if one not in whole]
        return f"its snapshot {', '.join(lost)} is gone or not whole" if lost else ""

    def delete(self, image_id: str, servers: Sequence[Server]) -> None:
        """Delete one, and the snapshots of one that is deleted already."""
        told = self._find(image_id)
        if told is not None:
            tags = tags_of(told)
            users = sorted(server.name for server in servers if server.image == image_id)
            if users:
                raise Conflict(
                    f"machines started from the golden image {tags[_NAME]}: {', '.join(users)}", "delete them before"
                )
            snapshots = _snapshots_of(told)
            if snapshots:
                marks = {MARK: tags.get(MARK, ""), NAME_MARK: f"golden image {tags[_NAME]}", _IMAGE: image_id}
                pairs = [{"Key": key, "Value": value} for key, value in marks.items()]
                self._client.ask("create_tags", Resources=snapshots, Tags=pairs)
            self._client.call("deregister_image", allow=_ABSENT, ImageId=image_id)
        left = self._client.every(
            "describe_snapshots", "Snapshots", Filters=[{"Name": f"tag:{_IMAGE}", "Values": [image_id]}]
        )
        for one in left:
            self._client.call("delete_snapshot", allow=("InvalidSnapshot.NotFound",), SnapshotId=one["SnapshotId"])

    def _find(self, image_id: str) -> Mapping[str, Any] | None:
        answer = self._client.call("describe_images", allow=_ABSENT, ImageIds=[image_id])
        told: Sequence[Mapping[str, Any]] = (answer or {}).get("Images", ())
        return next((one for one in told if _NAME in tags_of(one) and one.get("State") not in _ENDED), None)

    def _left_out(self, server_id: str) -> Sequence[Mapping[str, str]]:
        """Return what keeps further disks out of an image."""
        answer = self._client.ask("describe_instances", InstanceIds=[server_id])
        told = answer["Reservations"][0]["Instances"][0]
        devices = [one["DeviceName"] for one in told.get("BlockDeviceMappings", ())]
        root = told.get("RootDeviceName")
        return [{"DeviceName": device, "NoDevice": ""} for device in devices if root and device != root]


def _saved(told: Mapping[str, Any]) -> SavedImage:
    tags = tags_of(told)
    return SavedImage(
        id=told["ImageId"],
        name=tags.get(_NAME, ""),
        group=tags.get(_GROUP, ""),
        infrastructure=tags.get(MARK, ""),
        machine=tags.get(_MACHINE, ""),
        created_at=image_of(told).created_at,
        size_bytes=root_of(told)[1],
        is_ready=told.get("State") == "available",
    )


def _snapshots_of(told: Mapping[str, Any]) -> list[str]:
    disks = (one.get("Ebs", {}).get("SnapshotId") for one in told.get("BlockDeviceMappings", ()))
    return [disk for disk in disks if disk]
