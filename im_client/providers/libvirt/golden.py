"""Golden images: the root disk of a machine, copied whole, scrubbed, and kept in the pool.

The copy is made on this computer: the host writes the disk out flat, it is downloaded, scrubbed (`scrub_disk.py`) and
uploaded. Beside it lies a small volume with what is recorded; it is written last, and an image without it is none.
"""

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Final

import msgspec

from im_client.providers.golden_record import GoldenRecord, facts_of, newest_first, of_name
from im_client.providers.images import ImageRequest
from im_client.providers.libvirt.base_images import Base, disk_facts
from im_client.providers.libvirt.domain import Boot, Domain
from im_client.providers.libvirt.marks import Mark, parsed, volume_prefix
from im_client.providers.libvirt.scrub_disk import scrubbed
from im_client.providers.libvirt.storage import Storage
from infracore.errors import Conflict, NotFound, Unsupported
from infracore.process import run

__all__ = ["GoldenImage", "GoldenImages"]

PREFIX: Final = "imc.golden."
_COPY_S: Final = 3600.0


class GoldenImage(GoldenRecord, frozen=True, kw_only=True):
    """What is recorded of an image; its size is that of the file in the pool."""

    disk_bytes: int
    user: str
    kernel: str = ""
    """Path on the host, for a disk without boot loader."""
    initrd: str = ""
    cmdline: str = ""


class GoldenImages:
    """The golden images of a pool."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def all(self) -> list[GoldenImage]:
        """Read what is recorded of each, the newest first."""
        found = []
        for name in self._storage.names():
            if name.startswith(PREFIX) and name.endswith(".json"):
                try:
                    text = self._storage.read(name).rstrip(b"\0")
                    found.append(msgspec.json.decode(text, type=GoldenImage))
                except (NotFound, msgspec.DecodeError):  # deleted meanwhile, or not written to its end
                    continue
        return newest_first(found)

    def load(self, name: str) -> GoldenImage:
        """Return one.

        Raises:
            NotFound: there is none of this name.
        """
        return of_name(self.all(), name, f"in the pool {self._storage.pool}")

    def base(self, name: str) -> Base:
        """Return an image as what a root disk stands on."""
        image = self.load(name)
        boot = Boot(image.kernel, image.initrd, image.cmdline) if image.kernel else None
        volume = _volume(name)
        return Base(image.system, volume, self._storage.path(volume), "qcow2", image.disk_bytes, image.user, boot)

    def save(self, request: ImageRequest, domain: Domain) -> GoldenImage:
        """Copy, scrub and record the root disk of a machine that does not run.

        Raises:
            Conflict: the name is taken. Unsupported: this computer cannot mount the disk.
        """
        if os.geteuid() != 0:
            raise Unsupported("only root can look into a machine's disk", "run im as root on this computer")
        volume = _volume(request.name)
        if f"{PREFIX}{request.name}.json" in self._storage.names():
            raise Conflict(f"there is a golden image {request.name!r} already", "choose another name, or delete it")
        mark = domain.mark
        prefix = volume_prefix(mark.infrastructure, mark.token)
        with tempfile.TemporaryDirectory(prefix="im-clues-image-") as folder:
            raw, packed = Path(folder, "disk.raw"), Path(folder, "disk.qcow2")
            self._storage.flatten(f"{prefix}root.qcow2", f"{prefix}copy.raw")
            try:
                self._storage.fetch(f"{prefix}copy.raw", raw)
            finally:
                self._storage.remove(f"{prefix}copy.raw")
            found = scrubbed(raw, request.scrub)
            run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, packed], timeout_s=_COPY_S)
            _, size = disk_facts(packed)
            with packed.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            self._storage.make(volume, size, "qcow2")
            self._storage.fill(volume, packed)
            system = parsed(domain.xml, mark.name).find("os")
            image = GoldenImage(
                **facts_of(request, found),
                size_bytes=packed.stat().st_size,
                disk_bytes=size,
                system=mark.image,
                sha256=digest,
                user=mark.user,
                kernel=system.findtext("kernel", "") if system is not None else "",
                initrd=system.findtext("initrd", "") if system is not None else "",
                cmdline=system.findtext("cmdline", "") if system is not None else "",
            )
        record = msgspec.json.encode(image)
        self._storage.make(f"{PREFIX}{request.name}.json", max(len(record), 512), "raw")
        self._storage.write(f"{PREFIX}{request.name}.json", record.ljust(512))
        return image

    def check(self, name: str) -> str:
        """Look at the bytes of an image; return what is wrong or ""."""
        image = self.load(name)
        with tempfile.TemporaryDirectory(prefix="im-clues-image-") as folder:
            packed = Path(folder, "disk.qcow2")
            self._storage.fetch(_volume(name), packed, length=image.size_bytes)
            with packed.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        return "" if digest == image.sha256 else f"its bytes have changed since it was saved ({digest[:12]}...)"

    def delete(self, name: str, marks: list[Mark]) -> None:
        """Delete an image. Absent: succeeds.

        Raises:
            Conflict: machines stand on it.
        """
        users = [mark.name for mark in marks if mark.base == _volume(name)]
        if users:
            raise Conflict(f"the golden image {name!r} is needed by {', '.join(users)}", "delete these first")
        self._storage.remove(f"{PREFIX}{name}.json")
        self._storage.remove(_volume(name))


def _volume(name: str) -> str:
    return f"{PREFIX}{name}.qcow2"
