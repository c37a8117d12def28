"""The block devices of this computer, and what uses them: read from sysfs and procfs, nothing is opened.

Sources: Documentation/ABI/stable/sysfs-block and proc(5) of Linux; no udev is needed.
"""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

__all__ = ["HERE", "Device", "Kind", "Roots", "Spot", "Transport", "Use", "look_at", "read_devices"]

_SECTOR: Final = 512
"""sysfs counts sectors of 512 bytes, whatever the device has."""
_HIDDEN: Final = ("zram", "ram", "dm-", "md", "sr", "fd", "nbd")
"""Never cards: memory, what is made of other devices, and drives without a disk of their own."""
_SYSTEM: Final = ("/", "/boot", "/usr", "/var", "/etc", "/efi")
_SWAP: Final = "swap"
_HELD: Final = "held"


@dataclass(frozen=True, slots=True)
class Roots:
    """Where the kernel's files are; tests have their own."""

    sys: Path = Path("/sys")
    proc: Path = Path("/proc")
    dev: Path = Path("/dev")


HERE: Final = Roots()
"""This computer."""


class Transport(StrEnum):
    """How a disk is attached."""

    USB = "usb"
    CARD = "mmc"
    NVME = "nvme"
    SATA = "sata"
    VIRTIO = "virtio"
    LOOP = "loop"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a disk by the running system."""

    what: str
    """Where it is mounted; "swap"; or "held": part of a volume that is not mounted (LVM, RAID, encryption, loop)."""
    device: str
    """What is used: the disk, a partition of it, or a volume on one."""

    @property
    def is_system(self) -> bool:
        """Whether the running system would break without it."""
        return self.what == _SWAP or any(
            self.what == point or (point != "/" and self.what.startswith(f"{point}/")) for point in _SYSTEM
        )

    def __str__(self) -> str:
        """Return `sda1 is mounted on /boot`."""
        if self.what == _SWAP:
            return f"{self.device} is swap"
        if self.what == _HELD:
            return f"{self.device} is held by a volume (LVM, RAID, encryption or a loop device)"
        return f"{self.device} is mounted on {self.what}"


@dataclass(frozen=True, slots=True)
class Device:
    """A whole disk. Model and serial are "" where it has none."""

    name: str
    """As the kernel calls it: sda, mmcblk0."""
    path: Path
    size: int
    """Bytes; 0 for a reader without a card."""
    model: str = ""
    serial: str = ""
    transport: Transport = Transport.OTHER
    is_removable: bool = False
    is_read_only: bool = False
    uses: tuple[Use, ...] = ()
    partitions: tuple[str, ...] = ()
    usb: str = ""
    """The USB device that it hangs on, as the kernel calls it (`1-1.2`): one reader may have several cards."""

    @property
    def is_system(self) -> bool:
        """Whether the running system stands on it, directly or through volumes."""
        return any(use.is_system for use in self.uses)

    @property
    def is_external(self) -> bool:
        """Whether it is of the kind that cards are: in a reader, on USB, or a file that plays a disk."""
        return self.is_removable or self.transport in {Transport.USB, Transport.CARD, Transport.LOOP}


class Kind(StrEnum):
    """What is found at a path."""

    DISK = "disk"
    PARTITION = "partition"
    VOLUME = "volume"
    """A device made of others, or of memory."""
    FILE = "file"
    ABSENT = "absent"
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Spot:
    """What is found where somebody wants to write."""

    path: Path
    """As it was given."""
    real: Path
    """After symbolic links."""
    kind: Kind
    size: int = 0
    """Bytes of a disk or file."""
    device: Device | None = None
    """The disk; of a partition the disk that it is on."""
    is_writable: bool = True
    """Whether this user may write there; where nothing is, whether a file may be made."""
    ground: frozenset[str] = frozenset()
    """Names of what keeps its bytes: two spots with one in common are, in part at least, the same bytes."""
    loops: tuple[str, ...] = ()
    """Loop devices that a file is attached to."""

    @property
    def is_disk(self) -> bool:
        """Whether it is a device, not a file."""
        return self.kind not in {Kind.FILE, Kind.ABSENT}


def read_devices(roots: Roots = HERE) -> tuple[Device, ...]:
    """Return the disks of this computer: cards, USB, NVMe, SATA and loop devices with a file, by name."""
    seen = _see(roots)
    found = [_device(folder, roots, seen) for folder in (roots.sys / "block").iterdir() if _is_disk(folder)]
    return tuple(sorted(found, key=lambda device: device.name))


def look_at(path: Path, roots: Roots = HERE) -> Spot:
    """Return what is at a path. Symbolic links such as those of /dev/disk/by-id are followed."""
    real = Path(os.path.realpath(path))
    try:
        status = real.stat()
    except (FileNotFoundError, NotADirectoryError):
        is_writable = real.parent.is_dir() and os.access(real.parent, os.W_OK | os.X_OK)
        return Spot(path, real, Kind.ABSENT, is_writable=is_writable, ground=frozenset({str(real)}))
    except OSError:
        return Spot(path, real, Kind.OTHER, is_writable=False)
    may = os.access(real, os.R_OK | os.W_OK)
    if stat.S_ISREG(status.st_mode):
        ground = _ground(real, roots)
        loops = tuple(name for name, file in _backing_files(roots).items() if ground & _ground(Path(file), roots))
        return Spot(path, real, Kind.FILE, status.st_size, None, may, ground, loops)
    if not stat.S_ISBLK(status.st_mode):
        return Spot(path, real, Kind.OTHER, is_writable=may)
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return _block(path, real, number, roots, may)


def _block(path: Path, real: Path, number: str, roots: Roots, may: bool) -> Spot:
    folder = Path(os.path.realpath(roots.sys / "dev" / "block" / number))
    if not folder.is_dir():
        return Spot(path, real, Kind.OTHER, is_writable=may)
    seen = _see(roots)
    ground = _ground(real, roots)
    if (folder / "partition").exists():
        return Spot(path, real, Kind.PARTITION, _size(folder), _device(folder.parent, roots, seen), may, ground)
    device = _device(folder, roots, seen)
    kind = Kind.VOLUME if folder.name.startswith(_HIDDEN) else Kind.DISK
    return Spot(path, real, kind, device.size, device, may, ground)


def _ground(real: Path, roots: Roots) -> frozenset[str]:
    """Return a file by its number, a disk by its name; of a loop device also what it stands on."""
    try:
        status = real.stat()
    except OSError:
        return frozenset()
    if not stat.S_ISBLK(status.st_mode):
        return frozenset({f"{status.st_dev}:{status.st_ino}"})
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    folder = Path(os.path.realpath(roots.sys / "dev" / "block" / number))
    disk = _disk_of(folder)
    file = _text(disk / "loop" / "backing_file")
    return frozenset({disk.name}) | (_ground(Path(file), roots) if file else frozenset())


@dataclass(frozen=True, slots=True)
class _Seen:
    """What the kernel says of all devices, by their names."""

    points: Mapping[str, tuple[str, ...]]
    """Mount points, "swap"."""
    backing: Mapping[str, str]
    """Of a loop device the device that it stands on; not those that stand on files."""

    def loops_on(self, name: str) -> Iterator[str]:
        return (loop for loop, below in self.backing.items() if below == name)


def _see(roots: Roots) -> _Seen:
    below = {loop: _name_of_device(file, roots) for loop, file in _backing_files(roots).items()}
    return _Seen(_uses(roots), {loop: name for loop, name in below.items() if name})


def _backing_files(roots: Roots) -> dict[str, str]:
    """Return loop device -> the path that it was attached to."""
    found = {folder.name: _text(folder / "loop" / "backing_file") for folder in (roots.sys / "block").glob("loop*")}
    return {name: file for name, file in found.items() if file}


def _name_of_device(file: str, roots: Roots) -> str:
    """Return the kernel's name of a block device, whatever path names it; "" where it is a file."""
    name = _name_of_path(file, roots)
    if name and _folder_of(name, roots) is not None:
        return name
    try:
        status = Path(file).stat()
    except OSError:
        return ""
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    return _name_of_number(number, roots) if stat.S_ISBLK(status.st_mode) else ""


def _folder_of(name: str, roots: Roots) -> Path | None:
    """Return the folder of a disk, a volume or a partition."""
    block = roots.sys / "block"
    places = (block / name, *(disk / name for disk in block.iterdir() if name.startswith(disk.name)))
    return next((Path(os.path.realpath(place)) for place in places if place.is_dir()), None)


def _beneath(folder: Path, roots: Roots, seen: _Seen) -> list[Path]:
    """Return the devices that a loop device stands on, each on the next."""
    found: list[Path] = []
    while name := seen.backing.get(folder.name):
        below = _folder_of(name, roots)
        if below is None:
            break
        found.append(below)
        folder = _disk_of(below)
    return found


def _device(folder: Path, roots: Roots, seen: _Seen) -> Device:
    parts = _partitions(folder)
    beneath = _beneath(folder, roots, seen)
    own = {folder.name, *(below.name for below in beneath)}
    used = [Use(what, name) for name in _all_of([folder, *beneath], roots, seen) for what in seen.points.get(name, ())]
    if not used:  # what is mounted says more
        owners = (folder, *parts, *beneath)
        used = [Use(_HELD, one.name) for one in owners if {*_holders(one), *seen.loops_on(one.name)} - own]
    transport = _transport(_disk_of(beneath[-1]) if beneath else folder)
    return Device(
        name=folder.name,
        path=roots.dev / folder.name,
        size=_size(folder),
        model=_model(folder),
        serial=_serial(folder),
        transport=transport,
        is_removable=_text((_disk_of(beneath[-1]) if beneath else folder) / "removable") == "1",
        is_read_only=_text(folder / "ro") == "1",
        uses=tuple(dict.fromkeys(used)),
        partitions=tuple(part.name for part in parts),
        usb=above.name if (above := _usb(folder)) else "",
    )


def _partitions(folder: Path) -> list[Path]:
    found = [part for part in folder.iterdir() if part.name.startswith(folder.name) and (part / "partition").exists()]
    return sorted(found, key=lambda part: int(_text(part / "partition") or 0))


def _holders(folder: Path) -> list[str]:
    try:
        return sorted(holder.name for holder in (folder / "holders").iterdir())
    except OSError:
        return []


def _disk_of(folder: Path) -> Path:
    return folder.parent if (folder / "partition").exists() else folder


def _all_of(folders: Sequence[Path], roots: Roots, seen: _Seen) -> Iterator[str]:
    """Yield the names of disks, their partitions, and all volumes and loop devices on them, each once."""
    told: set[str] = set()
    waiting = [one for folder in folders for one in (folder, *_partitions(folder))]
    while waiting:
        one = waiting.pop(0)
        if one.name in told:
            continue
        told.add(one.name)
        yield one.name
        names = [*_holders(one), *seen.loops_on(one.name)]
        above = [roots.sys / "block" / name.replace("/", "!") for name in names]
        waiting += [volume for volume in above if volume.is_dir()]
        waiting += [part for volume in above if volume.is_dir() for part in _partitions(volume)]


def _uses(roots: Roots) -> Mapping[str, tuple[str, ...]]:
    """Return name of a device -> mount points, "swap"."""
    found: dict[str, list[str]] = {}
    for line in _text(roots.proc / "self" / "mountinfo").splitlines():
        words = line.split()
        if len(words) < 7 or "-" not in words[6:]:
            continue
        source = words[words.index("-", 6) + 2]
        for name in {_name_of_number(words[2], roots), _name_of_path(source, roots)} - {""}:
            found.setdefault(name, []).append(_unescaped(words[4]))
    for line in _text(roots.proc / "swaps").splitlines()[1:]:
        words = line.split()
        if len(words) > 1 and words[1] == "partition" and (name := _name_of_path(words[0], roots)):
            found.setdefault(name, []).append(_SWAP)
    return {name: tuple(dict.fromkeys(what)) for name, what in found.items()}


def _name_of_number(number: str, roots: Roots) -> str:
    link = roots.sys / "dev" / "block" / number
    return Path(os.path.realpath(link)).name if link.exists() else ""


def _name_of_path(source: str, roots: Roots) -> str:
    """Return the kernel's name of a device that is named by a path; btrfs has device numbers of its own."""
    if not source.startswith("/dev/"):
        return ""
    return Path(os.path.realpath(roots.dev / _unescaped(source).removeprefix("/dev/"))).name


def _transport(folder: Path) -> Transport:
    if folder.name.startswith("loop"):
        return Transport.LOOP
    way = os.path.realpath(folder)
    for sign, transport in (
        ("/usb", Transport.USB),
        ("/mmc", Transport.CARD),
        ("/nvme", Transport.NVME),
        ("/ata", Transport.SATA),
        ("/virtio", Transport.VIRTIO),
    ):
        if sign in way:
            return transport
    return Transport.OTHER


def _model(folder: Path) -> str:
    if folder.name.startswith("loop"):
        return _text(folder / "loop" / "backing_file")
    vendor, model = _text(folder / "device" / "vendor"), _text(folder / "device" / "model")
    model = model or _text(folder / "device" / "name")  # mmc has a name
    return " ".join(f"{'' if vendor.startswith('0x') else vendor} {model}".split())


def _serial(folder: Path) -> str:
    for place in (folder / "serial", folder / "device" / "serial"):
        if text := _text(place):
            return text
    above = _usb(folder)
    return _text(above / "serial") if above else ""


def _usb(folder: Path) -> Path | None:
    """Return the folder of the USB device that a disk hangs on."""
    return next((above for above in Path(os.path.realpath(folder)).parents if (above / "idVendor").exists()), None)


def _size(folder: Path) -> int:
    text = _text(folder / "size")
    return int(text) * _SECTOR if text.isdigit() else 0


def _is_disk(folder: Path) -> bool:
    """Leave out what is never a card, loop devices without a file, and the boot areas of eMMC."""
    name = folder.name
    if name.startswith(_HIDDEN) or (name.startswith("mmcblk") and ("boot" in name or "rpmb" in name)):
        return False
    is_idle_loop = name.startswith("loop") and not (folder / "loop" / "backing_file").exists()
    return not is_idle_loop and _text(folder / "hidden") != "1"


def _unescaped(text: str) -> str:
    r"""Return a path of procfs, which writes a space as `\040` (proc(5))."""
    for code, sign in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(code, sign)
    return text


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").replace("\0", "").strip()
    except OSError:
        return ""
