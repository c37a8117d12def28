"""The disks of a new machine at Google's: made and removed together with it. Pure."""

from collections.abc import Sequence
from typing import Any

from im_client.plan.model import SpecVolume
from im_client.providers.cloud.model import Order
from im_client.providers.libcloud.units import GIB

__all__ = ["disks"]


def disks(order: Order, name: str, zone: str) -> Sequence[dict[str, Any]]:
    """Return what the request for a machine says of its disks; a volume of the template with an id is kept."""
    root = max(order.spec.disk_bytes or 0, order.image.min_disk_bytes)
    first: dict[str, Any] = {"sourceImage": order.image.id, "diskSizeGb": str(-(-root // GIB) or 10)}
    if order.spec.disk_type:
        first["diskType"] = f"{zone}/diskTypes/{order.spec.disk_type}"
    found: list[dict[str, Any]] = [{"boot": True, "autoDelete": True, "initializeParams": first}]
    return [*found, *(_volume(volume, name, number, zone) for number, volume in enumerate(order.spec.volumes, 1))]


def _volume(volume: SpecVolume, name: str, number: int, zone: str) -> dict[str, Any]:
    if volume.volume_id:
        return {"source": f"{zone}/disks/{volume.volume_id}", "autoDelete": False}
    new = {"diskName": f"{name[:58]}-v{number}", "diskSizeGb": str(-(-volume.size_bytes // GIB))}
    if volume.type:
        new["diskType"] = f"{zone}/diskTypes/{volume.type}"
    return {"autoDelete": True, "initializeParams": new}
