"""Golden images: snapshots that carry our mark in their properties."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from im_client.plan.model import Phase
from im_client.providers.cloud.base import MARK
from im_client.providers.cloud.model import Server
from im_client.providers.images import ImageRequest, SavedImage
from im_client.providers.openstack.api import Api
from im_client.providers.openstack.marks import IMAGE_MARK
from im_client.providers.openstack.sizes_images import made_at
from infracore.errors import Conflict, NotFound

__all__ = ["Golden"]

_NAME: Final = "im-clues-golden"
_GROUP: Final = "im-clues-group"
_MACHINE: Final = "im-clues-machine"
_AT: Final = "im-clues-at"
_FAILED: Final = frozenset({"killed", "deleted", "pending_delete", "deactivated"})


class Golden:
    """The golden images of one project. Safe under threads."""

    def __init__(self, api: Api) -> None:
        self._api = api

    def save(self, server: Server, request: ImageRequest) -> SavedImage:
        """Ask for a snapshot; Nova has taken it when the image is ready."""
        if any(one.get(_NAME) == request.name for one in self._raw()):
            raise Conflict(f"there is a golden image {request.name!r} already", "choose another name, or delete it")
        if server.phase is not Phase.STOPPED:
            raise Conflict(f"{request.machine} is {server.phase}, and saved only while it is stopped", "stop it")
        marks = {
            _NAME: request.name,
            MARK: request.infrastructure,
            _GROUP: request.group,
            _MACHINE: request.machine,
            _AT: f"{request.now:.3f}",
        }
        body = {"createImage": {"name": f"im-clues {request.name}", "metadata": marks}}
        answer = self._api.post("compute", f"/servers/{server.id}/action", body)
        return _saved({"id": str(answer.get("image_id", "")), "status": "queued", **marks})

    def list(self) -> Sequence[SavedImage]:
        """List them, the newest first."""
        return sorted((_saved(one) for one in self._raw()), key=lambda one: (-one.created_at, one.name))

    def check(self, image_id: str) -> str:
        """Say what is wrong with one, or ""."""
        status = str(self._mine(image_id).get("status", ""))
        return "" if status == "active" else f"it is {status}"

    def delete(self, image_id: str, servers: Sequence[Server]) -> None:
        """Delete one. The snapshots of volumes that it stands for go first: without it nobody would know of them."""
        try:
            image = self._mine(image_id)
        except NotFound:
            return
        users = sorted(server.name for server in servers if server.marks.get(IMAGE_MARK) == image_id)
        if users:
            raise Conflict(
                f"machines started from the golden image {image.get(_NAME)}: {', '.join(users)}", "delete them before"
            )
        for snapshot in _snapshots(image):
            self._api.delete("block-storage", f"/snapshots/{snapshot}")
        self._api.delete("image", f"/images/{image_id}")

    def _mine(self, image_id: str) -> Mapping[str, Any]:
        image = self._api.get("image", f"/images/{image_id}")
        if _NAME not in image:
            raise NotFound(f"the image {image_id} is no golden image of ours", "im image list shows what there is")
        return image

    def _raw(self) -> Sequence[Mapping[str, Any]]:
        query: dict[str, str | int | list[str]] = {
            "limit": 500,
            "owner": self._api.project_id,
            "image_type": "snapshot",
        }
        found = self._api.all("image", "/images", "images", query)
        return [one for one in found if _NAME in one and one.get("status") not in _FAILED]


def _saved(image: Mapping[str, Any]) -> SavedImage:
    def text(key: str) -> str:
        return str(image.get(key) or "")

    return SavedImage(
        id=text("id"),
        name=text(_NAME),
        group=text(_GROUP),
        infrastructure=text(MARK),
        machine=text(_MACHINE),
        created_at=made_at(text("created_at")) or float(text(_AT)),
        size_bytes=int(image.get("size") or 0),
        system=f"{text('os_distro')} {text('os_version')}".strip(),
        sha256=text("os_hash_value") if text("os_hash_algo") == "sha256" else "",
        is_ready=text("status") == "active",
    )


def _snapshots(image: Mapping[str, Any]) -> list[str]:
    """Return the ids of the snapshots of volumes behind an image of a machine that started from one."""
    try:
        disks = json.loads(str(image.get("block_device_mapping") or "[]"))
        return [str(disk["snapshot_id"]) for disk in disks if disk.get("snapshot_id")]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
