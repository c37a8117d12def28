"""The partition table of a disk or an image: MBR with logical partitions, and GPT.

UEFI specification 2.10, section 5 (GPT and the protective MBR); extended partitions as Linux reads them.
"""

import fcntl
import os
import stat
import struct
import uuid
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from im_client.flash.model import BadImage
from infracore.errors import NotFound

__all__ = ["GUARDED", "Partition", "read_table"]

_BLKSSZGET: Final = 0x1268
_EXTENDED: Final = frozenset({0x05, 0x0F, 0x85})
_PROTECTIVE: Final = 0xEE
GUARDED: Final = 0xDA
"""No file system: what `guard.py` makes of a type that a board boots from, for a while."""
_MOST_LOGICAL: Final = 128
_MOST_ENTRIES: Final = 1024


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition. `kind` is the MBR's type as two hexadecimal letters (`0c`), or the GPT's type GUID."""

    number: int
    start_bytes: int
    size_bytes: int
    kind: str


def read_table(disk: Path | int) -> tuple[Partition, ...]:
    """Return the partitions by number; none where there is a table without any.

    Raises:
        BadImage: no partition table, or one that is damaged or leads outside of the disk. NotFound: cannot be read.
    """
    name = str(disk) if isinstance(disk, Path) else "the disk"
    try:
        with _opened(disk) as fd:
            return _read(fd, name)
    except OSError as error:
        raise NotFound(f"{name} cannot be read: {error.strerror}") from error


@contextmanager
def _opened(disk: Path | int) -> Iterator[int]:
    if isinstance(disk, int):
        yield disk
        return
    fd = os.open(disk, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def _read(fd: int, name: str) -> tuple[Partition, ...]:
    size = os.lseek(fd, 0, os.SEEK_END)
    first = os.pread(fd, 512, 0)
    if len(first) < 512 or first[510:] != b"\x55\xaa":
        raise BadImage(f"{name} has no partition table", "is it the image of a whole disk?")
    sector = 512
    if stat.S_ISBLK(os.fstat(fd).st_mode):
        sector = struct.unpack("i", fcntl.ioctl(fd, _BLKSSZGET, bytes(4)))[0]
    entries = _entries(first)
    if any(kind == _PROTECTIVE or (kind == GUARDED and start == 1) for kind, start, _ in entries):
        sizes = [sector, *(other for other in (512, 4096) if other != sector)]
        sector = next((one for one in sizes if os.pread(fd, 8, one) == b"EFI PART"), 0)
        if not sector:
            raise BadImage(f"{name} says that it has a GPT, and has none")
        found = _gpt(fd, sector, name)
    else:
        found = _mbr(fd, entries, sector, name)
    for part in found:
        if part.start_bytes + part.size_bytes > size:
            hint = "is the image whole?"
            if sector != 512:
                hint = (
                    f"the disk has sectors of {sector} bytes, images mostly are for 512: take a card, or another disk"
                )
            raise BadImage(f"partition {part.number} of {name} ends behind the disk", hint)
    return tuple(found)


def _entries(sector: bytes) -> list[tuple[int, int, int]]:
    """Return type, first sector and count of the four entries."""
    return [struct.unpack_from("<4xB3xII", sector, 446 + 16 * n) for n in range(4)]


def _mbr(fd: int, entries: list[tuple[int, int, int]], sector: int, name: str) -> list[Partition]:
    found: list[Partition] = []
    logical: list[Partition] = []
    for number, (kind, start, count) in enumerate(entries, 1):
        if not kind or not count:
            continue
        found.append(Partition(number, start * sector, count * sector, f"{kind:02x}"))
        if kind in _EXTENDED:
            logical += _logical(fd, start, sector, len(logical), name)
    return found + logical


def _logical(fd: int, base: int, sector: int, before: int, name: str) -> list[Partition]:
    found: list[Partition] = []
    at = base
    seen: set[int] = set()
    while at not in seen:
        seen.add(at)
        table = os.pread(fd, 512, at * sector)
        if len(table) < 512 or table[510:] != b"\x55\xaa":
            raise BadImage(f"the extended partition of {name} is damaged at byte {at * sector}")
        (kind, start, count), (link, following, _) = _entries(table)[:2]
        if kind and count:
            number = 5 + before + len(found)
            found.append(Partition(number, (at + start) * sector, count * sector, f"{kind:02x}"))
        if link not in _EXTENDED or not following:
            return found
        if len(seen) > _MOST_LOGICAL:
            break
        at = base + following
    raise BadImage(f"the extended partition of {name} goes round in circles")


def _gpt(fd: int, sector: int, name: str) -> list[Partition]:
    header = os.pread(fd, sector, sector)
    length, crc = struct.unpack_from("<II", header, 12)
    if not 92 <= length <= sector or zlib.crc32(header[:16] + bytes(4) + header[20:length]) != crc:
        raise BadImage(f"the GPT of {name} is damaged", "gdisk can take its copy at the end of the disk")
    at, count, width, entries_crc = struct.unpack_from("<QIII", header, 72)
    if count > _MOST_ENTRIES or not 128 <= width <= 4096 or at > 1 << 50:
        raise BadImage(f"the GPT of {name} is damaged: {count} entries of {width} bytes")
    table = os.pread(fd, count * width, at * sector)
    if len(table) != count * width or zlib.crc32(table) != entries_crc:
        raise BadImage(f"the entries of the GPT of {name} are damaged")
    found: list[Partition] = []
    for number in range(1, count + 1):
        entry = table[(number - 1) * width : number * width]
        if not any(entry[:16]):
            continue
        first, last = struct.unpack_from("<QQ", entry, 32)
        if last < first:
            raise BadImage(f"partition {number} of {name} ends before it begins")
        kind = str(uuid.UUID(bytes_le=entry[:16]))
        found.append(Partition(number, first * sector, (last - first + 1) * sector, kind))
    return found
