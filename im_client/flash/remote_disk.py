"""A disk of another machine: how it is named, what is known of it, and whether it may be written. Pure."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

from im_client.flash.refusals import MOST_CARD_BYTES
from im_client.remote.access import Access
from infracore.errors import InvalidUsage
from infracore.units import format_bytes

__all__ = ["OWN", "RemoteDisk", "RemoteFacts", "parse_remote", "refuse_remote"]

OWN: Final = "boot it from the network or from another disk, then flash this one"
_MEANT: Final = frozenset({"usb", "mmc", "nvme", "loop", ""})
"""How the disks of a Raspberry Pi are attached."""


@dataclass(frozen=True, slots=True)
class RemoteDisk:
    """A disk, or an image file, of a machine."""

    name: str
    """What messages call it: the node's name."""
    access: Access
    path: str
    """/dev/nvme0n1 and the like."""

    @property
    def where(self) -> str:
        """How messages name it."""
        return f"{self.name}: {self.path} of {self.access.address}"


@dataclass(frozen=True, slots=True)
class RemoteFacts:
    """What a machine says of its disk. Text that it does not know is ""."""

    size: int
    """Bytes; 0 of a file."""
    model: str
    serial: str
    transport: str
    """usb, mmc, nvme, sata, virtio, loop, volume, other; "" of a file."""
    is_device: bool
    refusal: str
    """Why it must not be written; "" where it may."""

    @property
    def identity(self) -> dict[str, str | int | bool]:
        """What tells this disk from another one."""
        if not self.is_device:
            return {"is_device": False}
        return {"is_device": True, "size": self.size, "model": self.model, "serial": self.serial}

    @property
    def about(self) -> str:
        """Model, size and serial, for the question."""
        if not self.is_device:
            return "a file"
        serial = f"serial {self.serial}" if self.serial else "no serial"
        return f"{self.model or 'no model'}, {format_bytes(self.size)}, {serial}"


def parse_remote(text: str) -> tuple[Access, str]:
    """Read `ssh://USER@HOST[:PORT]/dev/nvme0n1`: the way there, without keys, and the path.

    Raises:
        InvalidUsage: it is something else.
    """
    hint = "such as ssh://pi@pi-1.local/dev/nvme0n1"
    try:
        parts = urlsplit(text)
        port = parts.port or 22
    except ValueError as error:
        raise InvalidUsage(f"{text!r} is no disk of a machine: {error}", hint) from error
    path = unquote(parts.path)
    if parts.scheme != "ssh" or not parts.hostname or parts.query or parts.fragment or "\0" in path:
        raise InvalidUsage(f"{text!r} is no disk of a machine", hint)
    if parts.password is not None:
        raise InvalidUsage(f"the address of {parts.hostname} holds a password", "log in with an SSH key instead")
    if not path.strip("/") or path.endswith("/") or ".." in path.split("/"):
        raise InvalidUsage(f"{text!r} names no disk", hint)
    user = unquote(parts.username or "root")
    return Access(parts.hostname, user=user, port=port, become=user != "root"), path


def refuse_remote(disk: RemoteDisk, facts: RemoteFacts, *, image_size: int | None, is_forced: bool, force: str) -> None:
    """Refuse what must not be written. `image_size` None: not known yet. `force` is what the user would name.

    Raises:
        InvalidUsage: with all that is wrong; what the machine itself refuses, nothing forces.
    """
    if facts.refusal:
        hint = OWN if "runs from" in facts.refusal else "name another disk"
        raise InvalidUsage(f"{disk.where}: not written: {facts.refusal}", hint)
    if not facts.is_device:
        return
    where = f"{disk.where} ({facts.about}): not written"
    if facts.size == 0:
        raise InvalidUsage(f"{where}: there is no card in it", "put one in, then try again")
    if image_size is not None and image_size > facts.size:
        said = f"the image has {format_bytes(image_size)} ({image_size} bytes), and it only {facts.size} bytes"
        raise InvalidUsage(f"{where}: {said}", "take a larger disk, or another image")
    why = []
    if facts.transport not in _MEANT:
        kind = "a volume" if facts.transport == "volume" else f"a disk of another kind ({facts.transport})"
        why.append(f"it is {kind}, and no card, USB disk or NVMe")
    if facts.size > MOST_CARD_BYTES:
        why.append(f"with {format_bytes(facts.size)} it is larger than cards are ({format_bytes(MOST_CARD_BYTES)})")
    if why and not is_forced:
        raise InvalidUsage(f"{where}: {'; '.join(why)}", f"if it is really meant: --force-device {force}")
