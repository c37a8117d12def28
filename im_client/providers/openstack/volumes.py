"""The disks of a new machine, as Nova's block device mapping: made, joined and removed together with it. Pure."""

from typing import Any, Final

from im_client.providers.cloud.model import CloudImage, Order
from im_client.providers.openstack.settings import OpenStackSettings
from infracore.errors import Unsupported

__all__ = ["disks", "is_volume_snapshot"]

_GIB: Final = 2**30


def disks(order: Order, settings: OpenStackSettings) -> dict[str, Any]:
    """Return what a request for a machine says of its disks: `imageRef` and `block_device_mapping_v2`.

    Raises:
        Unsupported: a volume is needed to start from, and the settings forbid it.
    """
    data = [
        _data(volume.size_bytes, volume.volume_id, volume.type or settings.volume_type) for volume in order.spec.volumes
    ]
    image, size, spec = order.image, order.size, order.spec
    wanted = max(spec.disk_bytes or 0, image.min_disk_bytes)
    if is_volume_snapshot(image):  # says itself what volume to make
        return {"imageRef": image.id, **({"block_device_mapping_v2": data} if data else {})}
    needs = size.disk_bytes < max(wanted, 1) or spec.disk_type is not None
    if needs and settings.boot_volume == "never":
        raise Unsupported(
            f"{order.name} needs a volume to start from ({size.name} has a disk of {size.disk_bytes // _GIB} GiB)",
            "set boot_volume = auto, or name a flavor with a larger disk",
        )
    if not needs and settings.boot_volume != "always":
        if not data:
            return {"imageRef": image.id}
        root: dict[str, Any] = {"uuid": image.id, "source_type": "image", "destination_type": "local", "boot_index": 0}
        return {"imageRef": image.id, "block_device_mapping_v2": [{**root, "delete_on_termination": True}, *data]}
    root = {
        "uuid": image.id,
        "source_type": "image",
        "destination_type": "volume",
        "boot_index": 0,
        "volume_size": _gib(max(wanted, size.disk_bytes, _GIB)),
        "delete_on_termination": True,
    }
    if kind := spec.disk_type or settings.volume_type:
        root["volume_type"] = kind
    return {"block_device_mapping_v2": [root, *data]}


def is_volume_snapshot(image: CloudImage) -> bool:
    """Say whether an image has no content of its own, as Nova makes of machines that started from a volume."""
    return image.size_bytes == 0


def _data(size_bytes: int, volume_id: str | None, kind: str) -> dict[str, Any]:
    if volume_id:
        there = {"uuid": volume_id, "source_type": "volume", "delete_on_termination": False}
        return {**there, "destination_type": "volume", "boot_index": -1}
    blank: dict[str, Any] = {"source_type": "blank", "volume_size": _gib(size_bytes), "delete_on_termination": True}
    if kind:
        blank["volume_type"] = kind
    return {**blank, "destination_type": "volume", "boot_index": -1}


def _gib(size: int) -> int:
    return -(-size // _GIB)
