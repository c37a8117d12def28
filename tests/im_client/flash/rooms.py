"""A computer's sysfs, procfs and /dev as folders, for `im_client.flash.devices.Roots`."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from im_client.flash.devices import Roots

__all__ = ["Computer"]

SECTOR = 512


class Computer:
    """Disks are added to it one by one; devices are plain files, for there is nothing else without root."""

    def __init__(self, folder: Path) -> None:
        self.roots = Roots(folder / "sys", folder / "proc", folder / "dev")
        for path in ("sys/block", "sys/dev/block", "proc/self", "dev/mapper"):
            (folder / path).mkdir(parents=True)
        self._devices = folder / "sys" / "devices"
        self._next = 0
        self._mounts: list[str] = []
        self._swaps: list[str] = []
        self._write()

    def disk(
        self,
        name: str,
        size: int,
        *,
        way: str = "virtual/block",
        partitions: Mapping[str, int] | None = None,
        files: Mapping[str, str] | None = None,
    ) -> Path:
        """Add a disk below a path of sysfs' devices; `files` are further ones of its folder. Returns its folder."""
        folder = self._folder(self._devices / way / name, size, files or {})
        (self.roots.sys / "block" / name).symlink_to(folder)
        for number, (part, part_size) in enumerate((partitions or {}).items(), 1):
            self._folder(folder / part, part_size, {"partition": str(number)})
        return folder

    def hold(self, volume: str, *slaves: str) -> None:
        """Say that a volume stands on devices."""
        for slave in slaves:
            (self._of(slave) / "holders" / volume).symlink_to(self._of(volume))

    def mount(self, name: str, point: str, *, number: str = "", source: str = "") -> None:
        """Mount a device. A number of its own is what btrfs has."""
        at = number or (self._of(name) / "dev").read_text().strip()
        self._mounts.append(f"36 35 {at} / {point} rw,noatime shared:1 - ext4 {source or f'/dev/{name}'} rw")
        self._write()

    def swap(self, source: str) -> None:
        """Swap to a device."""
        self._swaps.append(f"{source} partition 100 0 -2")
        self._write()

    def _of(self, name: str) -> Path:
        return next(path for path in self._devices.rglob(name) if (path / "dev").exists())

    def _folder(self, folder: Path, size: int, files: Mapping[str, str]) -> Path:
        self._next += 1
        (folder / "holders").mkdir(parents=True)
        number = f"8:{self._next}"
        for name, text in {"size": str(size // SECTOR), "ro": "0", "removable": "0", "dev": number, **files}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text + "\n")
        (self.roots.sys / "dev" / "block" / number).symlink_to(folder)
        (self.roots.dev / folder.name).touch()
        return folder

    def _write(self) -> None:
        _lines(self.roots.proc / "self" / "mountinfo", self._mounts)
        _lines(self.roots.proc / "swaps", ["Filename Type Size Used Priority", *self._swaps])


def _lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))
