"""Flavors and images in our words."""

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from im_client.providers.cloud.base import MARK
from im_client.providers.cloud.model import CloudImage, ImageQuery, Size
from im_client.providers.openstack.api import Api
from infracore.errors import NotFound

__all__ = ["Flavor", "find_images", "image_of", "made_at", "size_of"]

MIB: Final = 2**20
GIB: Final = 2**30
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_COMMON: Final = frozenset({"vcpu", "pcpu", "memory_mb", "disk_gb", "vgpu", "pgpu"})
_USER_KEYS: Final = ("os_admin_user", "default_user", "image_original_user", "ssh_user")
"""Properties of images that name the account (Glance, useful image properties; the others are habits)."""


class Flavor(msgspec.Struct, frozen=True):
    """What of a flavor is used (compute API 2.61 and later)."""

    id: str
    name: str
    vcpus: int
    ram: int
    disk: int
    extra_specs: Mapping[str, str] = {}
    disabled: bool = msgspec.field(name="OS-FLV-DISABLED:disabled", default=False)


def size_of(flavor: Flavor, *, grows: bool, diskless: bool) -> Size:
    """Return a flavor as a size. `diskless`: every machine starts from a volume, so that its own disk means nothing."""
    specs = {key.lower(): value for key, value in flavor.extra_specs.items()}
    return Size(
        id=flavor.id,
        name=flavor.name,
        num_cpus=flavor.vcpus,
        mem_bytes=flavor.ram * MIB,
        disk_bytes=0 if diskless else flavor.disk * GIB,
        grows=grows,
        num_gpus=_gpus(specs),
        gpu_vendor=specs.get("accelerator:vendor", ""),
        gpu_model=specs.get("accelerator:model", ""),
        architecture=specs.get("capabilities:cpu_info:arch", "") or specs.get("hw:cpu_arch", ""),
        is_available=not flavor.disabled and not any(_is_special(key) for key in specs),
    )


def _is_special(key: str) -> bool:
    """Say whether a flavor takes something rare that no template asks for, an FPGA say: only who names it gets it."""
    kind, _, what = key.partition(":")
    return re.fullmatch(r"resources\d*", kind) is not None and what not in _COMMON


def _gpus(specs: Mapping[str, str]) -> int:
    """Count GPUs: as sites of EGI describe them, as virtual ones, or as cards that are passed through.

    An alias of a card is the site's own word; whether it is a GPU is told by the name, which mostly says so.
    """
    if specs.get("accelerator:type", "GPU").upper() == "GPU" and (said := _number(specs.get("accelerator:number"))):
        return said
    if virtual := _number(specs.get("resources:vgpu")) + _number(specs.get("resources:pgpu")):
        return virtual
    count = 0
    for part in specs.get("pci_passthrough:alias", "").split(","):
        alias, _, number = part.strip().partition(":")
        if alias and not re.search(r"(?i)nic|net|sriov|ssd|nvme|qat|fpga", alias):
            count += _number(number) or 1
    return count


def _number(text: str | None) -> int:
    return int(text) if text and text.isdecimal() and len(text) < 6 else 0


def find_images(api: Api, query: ImageQuery) -> Sequence[CloudImage]:
    """List the images that may fit: one for an id, else all that the account sees.

    What was saved of a machine is only found by its id or very name.
    """
    if _UUID.fullmatch(query.name):
        try:
            one = api.get("image", f"/images/{query.name}")
        except NotFound:
            return ()
        return (image_of(api, one),) if one.get("status") == "active" else ()
    exact = query.name and not set(query.name) & set("*?[")
    # Glance takes what stands before a colon for an operator (image API v2, "Filtering")
    more = {"name": f"eq:{query.name}" if ":" in query.name else query.name} if exact else {}
    found = api.all("image", "/images", "images", {"status": "active", "limit": 500, **more})
    return [image_of(api, one) for one in found if exact or not _is_saved(one)]


def _is_saved(image: Mapping[str, Any]) -> bool:
    return MARK in image or image.get("image_type") == "snapshot"


class _Image(msgspec.Struct, frozen=True):
    """What of an image is used (image API v2)."""

    id: str
    name: str | None = ""
    created_at: str = ""
    min_disk: int = 0
    min_ram: int = 0
    size: int | None = 0
    os_type: str = "linux"
    os_distro: str = ""
    os_version: str = ""
    architecture: str | None = ""
    block_device_mapping: str = ""


def image_of(api: Api, raw: Mapping[str, Any]) -> CloudImage:
    """Return an image in our words."""
    image = api.typed(raw, _Image, "an image")
    users = (raw.get(key) for key in _USER_KEYS)
    return CloudImage(
        id=image.id,
        name=image.name or image.id,
        created_at=made_at(image.created_at),
        os_type=image.os_type,
        distribution=image.os_distro,
        version=image.os_version,
        architecture=image.architecture or "",
        user=next((user for user in users if isinstance(user, str) and user), ""),
        min_disk_bytes=max(image.min_disk, _volume_gib(image.block_device_mapping)) * GIB,
        min_mem_bytes=image.min_ram * MIB,
        size_bytes=image.size or 0,
    )


def _volume_gib(mapping: str) -> int:
    """Return the size of the root disk of an image that is a snapshot of a volume."""
    try:
        disks = json.loads(mapping or "[]")
        return max((int(disk.get("volume_size") or 0) for disk in disks), default=0)
    except (ValueError, TypeError, AttributeError):
        return 0


def made_at(text: str) -> float:
    """Return a time of the API (`2026-11-30T16:02:30Z`) in seconds since the epoch, 0 where it is none."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return 0.0
