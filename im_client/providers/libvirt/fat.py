"""A small FAT file system in memory, for seeds: no program and no rights are needed. Pure.

FAT12 as Microsoft's "FAT: General Overview of On-Disk Format" (version 1.03) has it, with long names.
"""

import struct
from collections.abc import Mapping
from typing import Final

from infracore.errors import InvalidUsage

__all__ = ["SIZE_BYTES", "fat_image"]

_SECTOR: Final = 512
_SECTORS: Final = 2880
_FAT_SECTORS: Final = 9
_ROOT_ENTRIES: Final = 224
_FIRST_DATA: Final = 1 + 2 * _FAT_SECTORS + _ROOT_ENTRIES * 32 // _SECTOR
_CLUSTERS: Final = _SECTORS - _FIRST_DATA
"""Of one sector each."""
SIZE_BYTES: Final = _SECTORS * _SECTOR
"""Of every image: 1.44 MB, as a floppy disk."""
_DATE: Final = (2020 - 1980) << 9 | 1 << 5 | 1


def fat_image(label: str, files: Mapping[str, bytes]) -> bytes:
    """Return a file system with these files in its root; equal input gives equal bytes.

    Raises:
        InvalidUsage: they do not fit.
    """
    fat = [0xFF0, 0xFFF]
    root = [_entry(label.upper().encode("ascii").ljust(11)[:11], 0x08, 0, 0)]
    content = bytearray()
    for number, (name, data) in enumerate(files.items(), start=1):
        count = -(-len(data) // _SECTOR)
        first = len(fat) if count else 0
        fat += [*range(len(fat) + 1, len(fat) + count), 0xFFF] if count else []
        content += data.ljust(count * _SECTOR, b"\0")
        short = f"FILE~{number}".encode("ascii").ljust(11)
        root += [*_long_name(name, short), _entry(short, 0x20, first, len(data))]
    if len(fat) - 2 > _CLUSTERS or len(root) > _ROOT_ENTRIES:
        raise InvalidUsage(f"the seed has room for {_CLUSTERS * _SECTOR} bytes", "use shorter user data")
    table = _packed(fat).ljust(_FAT_SECTORS * _SECTOR, b"\0")
    folder = b"".join(root).ljust(_ROOT_ENTRIES * 32, b"\0")
    return (_boot_sector(label) + table + table + folder + bytes(content)).ljust(SIZE_BYTES, b"\0")


def _boot_sector(label: str) -> bytes:
    head = b"\xeb\x3c\x90" + b"IMCLUES "
    head += struct.pack("<HBHBHHBHHHII", _SECTOR, 1, 1, 2, _ROOT_ENTRIES, _SECTORS, 0xF0, _FAT_SECTORS, 18, 2, 0, 0)
    head += struct.pack("<BBBI", 0, 0, 0x29, 0x1C1EC1DA) + label.upper().encode("ascii").ljust(11)[:11] + b"FAT12   "
    return head.ljust(510, b"\0") + b"\x55\xaa"


def _packed(fat: list[int]) -> bytes:
    """Put pairs of entries of 12 bits into three bytes."""
    even = fat if len(fat) % 2 == 0 else [*fat, 0]
    pairs = zip(even[::2], even[1::2], strict=True)
    return b"".join((one | other << 12).to_bytes(3, "little") for one, other in pairs)


def _entry(short: bytes, attributes: int, first: int, size: int) -> bytes:
    return struct.pack("<11sBBBHHHHHHHI", short, attributes, 0, 0, 0, _DATE, _DATE, 0, 0, _DATE, first, size)


def _long_name(name: str, short: bytes) -> list[bytes]:
    """Return the entries of a long name, the last part first."""
    checksum = 0
    for byte in short:
        checksum = ((checksum & 1) << 7) + (checksum >> 1) + byte & 0xFF
    text = name.encode("utf-16-le") + b"\0\0"
    text = text.ljust(-(-len(text) // 26) * 26, b"\xff")
    if len(name) % 13 == 0:
        text = text[: len(name) * 2]
    parts = [text[at : at + 26] for at in range(0, len(text), 26)]
    found = []
    for number, part in enumerate(parts, start=1):
        order = number | (0x40 if number == len(parts) else 0)
        found.append(struct.pack("<B10sBBB12sH4s", order, part[:10], 0x0F, 0, checksum, part[10:22], 0, part[22:]))
    return found[::-1]
