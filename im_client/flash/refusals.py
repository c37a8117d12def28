"""What must not be written: decided from what was seen, before anything is opened for writing. Pure.

Each refusal says what, where, why, and what to do next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from im_client.flash.devices import Device, Kind, Spot
from infracore.errors import InfraError, InvalidUsage, Unauthorised
from infracore.units import format_bytes

__all__ = ["MOST_CARD_BYTES", "Wish", "describe", "refusals", "said_twice"]

MOST_CARD_BYTES: Final = 520 * 10**9
"""A card of 512 GB is the largest that is common; what is larger is rather somebody's disk."""
_LIST: Final = "im flash --list shows the cards"


@dataclass(frozen=True, slots=True)
class Wish:
    """Something that is to be written."""

    spot: Spot
    node: str = ""
    """The node that it becomes; "" for an image as it is."""


def describe(device: Device) -> str:
    """Return model, size and serial of a disk: `SanDisk Ultra, 29.7 GiB, serial 4C53`."""
    serial = f"serial {device.serial}" if device.serial else "no serial"
    return f"{device.model or 'no model'}, {format_bytes(device.size)}, {serial}"


def refusals(
    wishes: Sequence[Wish], *, image: Spot | None, image_size: int | None, forced: frozenset[Path] = frozenset()
) -> tuple[InfraError, ...]:
    """Return why these may not be written; nothing means that they may.

    `image` is the file or device that is read, if it is a local one; `image_size` is what the raw image has at least,
    None where nothing is known of it. `forced` are real paths of disks that are written although they are large or
    inside this computer.
    What the running system uses is refused in any case.
    """
    return tuple(error for wish in wishes for error in _of_one(wish, image, image_size, wish.spot.real in forced))


def _of_one(wish: Wish, image: Spot | None, size: int | None, is_forced: bool) -> tuple[InfraError, ...]:
    spot = wish.spot
    if image is not None and image.ground & spot.ground:
        return (_refuse(wish, "it is the image itself, or holds it", "name another file or card"),)
    if spot.kind in {Kind.FILE, Kind.ABSENT}:
        return _of_file(wish)
    device = spot.device
    if device is None or spot.kind is Kind.OTHER:
        return (_refuse(wish, "it is neither a block device nor a file", _LIST),)
    if spot.kind is Kind.PARTITION:
        hint = f"an image holds its own partitions: name the whole disk, {device.path} ({describe(device)})"
        return (_refuse(wish, f"it is a partition of {device.name}", hint),)
    found = _of_disk(wish, device, size, is_forced)
    if not found and not spot.is_writable:
        hint = "run it with sudo, or become a member of the group that owns the device (mostly: disk)"
        return (Unauthorised(f"{_name(wish)}: not written: this user may not write to it", hint),)
    return found


def _of_disk(wish: Wish, device: Device, size: int | None, is_forced: bool) -> tuple[InfraError, ...]:
    if device.uses:
        uses = ", ".join(str(use) for use in device.uses[:4])
        if device.is_system:
            hint = f"nothing forces this; name another device: {_LIST}"
            return (_refuse(wish, f"the running system is on it ({uses})", hint),)
        points = " ".join(use.what for use in device.uses if use.what.startswith("/"))
        hint = (
            f"look at what is on it, then: umount {points}"
            if points
            else "end the volume first (vgchange, mdadm, losetup)"
        )
        return (_refuse(wish, f"it is in use ({uses})", hint),)
    if device.size == 0:
        return (_refuse(wish, "there is no card in it", "put one in, then try again"),)
    found = []
    if device.is_read_only:
        found.append(_refuse(wish, "it is read-only", "move the slider at the side of the card"))
    force = f"if it is really meant: --force-device {wish.spot.path}"
    if wish.spot.kind is Kind.VOLUME and not is_forced:
        found.append(_refuse(wish, "it is a volume, and no card", force))
    elif not device.is_external and not is_forced:
        found.append(_refuse(wish, f"it is a disk inside this computer ({device.transport})", force))
    elif device.size > MOST_CARD_BYTES and not is_forced:
        why = f"with {format_bytes(device.size)} it is larger than cards are ({format_bytes(MOST_CARD_BYTES)})"
        found.append(_refuse(wish, why, force))
    if size is not None and size > device.size:
        why = f"the image has at least {format_bytes(size)} ({size} bytes), and it only {format_bytes(device.size)}"
        found.append(_refuse(wish, f"{why} ({device.size} bytes)", "take a larger card, or another image"))
    return tuple(found)


def _of_file(wish: Wish) -> tuple[InfraError, ...]:
    spot = wish.spot
    if spot.kind is Kind.ABSENT and spot.real.is_relative_to("/dev"):
        return (_refuse(wish, "there is no such device", _LIST),)
    if spot.loops:
        devices = " ".join(f"/dev/{name}" for name in spot.loops)
        return (_refuse(wish, f"it is attached to {devices}", f"losetup --detach {devices}, or name the device"),)
    if not spot.is_writable and spot.kind is Kind.FILE:
        return (Unauthorised(f"{_name(wish)}: not written: this user may not write to it", "name another file"),)
    if not spot.is_writable:
        return (_refuse(wish, "its folder is not there, or may not be written to", f"mkdir -p {spot.real.parent}"),)
    return ()


def said_twice(wishes: Sequence[Wish]) -> tuple[InfraError, ...]:
    """Return what is wrong with cards of all images together: a place or a node that is named twice."""
    found: list[InfraError] = []
    spots: dict[str, Wish] = {}
    nodes: dict[str, Wish] = {}
    for wish in wishes:
        others = [spots.setdefault(one, wish) for one in sorted(wish.spot.ground or {str(wish.spot.real)})]
        other = next((one for one in others if one is not wish), wish)
        if other is not wish:
            owners = " and ".join(sorted({one.node for one in (other, wish) if one.node}))
            why = f"it is named twice{f', for {owners}' if owners else ''}"
            found.append(_refuse(wish, why, "each node has a device of its own"))
        other = nodes.setdefault(wish.node, wish) if wish.node else wish
        if other is not wish:
            why = f"{wish.node} goes to {other.spot.path} already"
            found.append(_refuse(wish, why, "two machines of one name would take each other's place"))
    return tuple(found)


def _refuse(wish: Wish, why: str, hint: str) -> InvalidUsage:
    return InvalidUsage(f"{_name(wish)}: not written: {why}", hint)


def _name(wish: Wish) -> str:
    device = wish.spot.device
    about = f" ({describe(device)})" if device is not None and wish.spot.kind is not Kind.PARTITION else ""
    return f"{wish.node + ' on ' if wish.node else ''}{wish.spot.path}{about}"
