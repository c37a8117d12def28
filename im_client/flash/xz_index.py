"""What an .xz file says of itself without being unpacked: whether it is whole, and where its blocks are.

The .xz file format 1.2.1: sections 2 (streams), 3.1 (block headers) and 4 (index).
"""

import os
import zlib
from dataclasses import dataclass
from typing import Final

from im_client.flash.model import BadImage

__all__ = ["XzBlock", "XzIndex", "dictionary_bytes", "read_index", "stream_around"]

_HEAD: Final = b"\xfd7zXZ\0"
_FOOT: Final = b"YZ"
_HINT: Final = "fetch it again"
_MOST_INDEX: Final = 64 << 20
_MOST_BLOCKS: Final = 1 << 16
"""A file of more is unpacked in its order: an image of 128 GiB has 5,500, as `xz -6 -T0` packs it."""
_LZMA2: Final = 0x21


@dataclass(frozen=True, slots=True)
class XzBlock:
    """One block of a file; sizes in bytes."""

    offset: int
    unpadded: int
    """As it is packed, without its padding to a multiple of four."""
    unpacked: int
    flags: bytes
    """Of its stream: which check follows each block."""


@dataclass(frozen=True, slots=True)
class XzIndex:
    """What the indexes at the streams' ends say."""

    size: int
    """Bytes that the file unpacks to."""
    blocks: tuple[XzBlock, ...]
    """In their order; none where they are too many to be listed."""


def read_index(fd: int, name: str) -> XzIndex:
    """Read the indexes of all streams, the last first.

    Raises:
        BadImage: truncated or corrupt.
    """
    end = os.lseek(fd, 0, os.SEEK_END)
    os.lseek(fd, 0, os.SEEK_SET)
    if end % 4:
        raise BadImage(f"truncated xz: {name} ends too early", _HINT)
    total = count = 0
    blocks: list[XzBlock] = []
    while end:
        end = _without_padding(fd, end)
        foot = os.pread(fd, 12, end - 12) if end >= 24 else b""
        if len(foot) < 12 or foot[10:] != _FOOT or zlib.crc32(foot[4:10]) != int.from_bytes(foot[:4], "little"):
            raise BadImage(f"truncated xz: {name} ends too early", _HINT)
        length = (int.from_bytes(foot[4:8], "little") + 1) * 4
        if length > min(_MOST_INDEX, end - 24):
            raise BadImage(f"corrupt xz: {name} has an index of {length} bytes", _HINT)
        index = os.pread(fd, length, end - 12 - length)
        packed, unpacked, records = _read_records(index, name)
        total += unpacked
        count += records
        end -= 24 + length + packed
        if end < 0 or os.pread(fd, 6, end) != _HEAD:
            raise BadImage(f"corrupt xz: {name} has no stream where one should begin", _HINT)
        if count <= _MOST_BLOCKS:
            blocks[:0] = _blocks(index, end + 12, foot[8:10], name)
    return XzIndex(total, tuple(blocks) if count <= _MOST_BLOCKS else ())


def dictionary_bytes(header: bytes) -> int:
    """Return the size of the dictionary that a block needs, by its header; 0 where that does not say it."""
    header = header[: (header[0] + 1) * 4] if header else b""
    at = 2
    try:
        flags = header[1]
        for is_there in (flags & 0x40, flags & 0x80):
            if is_there:
                _, at = _number(header, at, "")
        for _ in range((flags & 3) + 1):
            kind, at = _number(header, at, "")
            length, at = _number(header, at, "")
            if kind == _LZMA2:
                bits = header[at]
                return (2 | bits & 1) << (bits // 2 + 11) if bits < 41 else 0
            at += length
    except (IndexError, BadImage):
        return 0
    return 0


def stream_around(block: XzBlock) -> tuple[bytes, bytes]:
    """Return what makes a block a stream of its own, with an index and a check as any: its head and its tail."""
    head = _HEAD + block.flags + zlib.crc32(block.flags).to_bytes(4, "little")
    index = b"\0\1" + _bytes_of(block.unpadded) + _bytes_of(block.unpacked)
    index += bytes(-len(index) % 4)
    index += zlib.crc32(index).to_bytes(4, "little")
    facts = (len(index) // 4 - 1).to_bytes(4, "little") + block.flags
    return head, index + zlib.crc32(facts).to_bytes(4, "little") + facts + _FOOT


def _without_padding(fd: int, end: int) -> int:
    """Return where the last stream ends; whole words of zeros may follow."""
    while end:
        start = max(0, end - (1 << 20))
        last = len(os.pread(fd, end - start, start).rstrip(b"\0"))
        if last:
            return start + -(-last // 4) * 4
        end = start
    return 0


def _read_records(index: bytes, name: str) -> tuple[int, int, int]:
    """Return bytes of the blocks as they are packed and unpacked, and their count."""
    if index[:1] != b"\0" or zlib.crc32(index[:-4]) != int.from_bytes(index[-4:], "little"):
        raise BadImage(f"corrupt xz: the index of {name} is damaged", _HINT)
    count, at = _number(index, 1, name)
    packed = unpacked = 0
    for _ in range(count):
        size, at = _number(index, at, name)
        packed += -(-size // 4) * 4
        size, at = _number(index, at, name)
        unpacked += size
    return packed, unpacked, count


def _blocks(index: bytes, offset: int, flags: bytes, name: str) -> list[XzBlock]:
    found: list[XzBlock] = []
    count, at = _number(index, 1, name)
    for _ in range(count):
        unpadded, at = _number(index, at, name)
        unpacked, at = _number(index, at, name)
        found.append(XzBlock(offset, unpadded, unpacked, flags))
        offset += -(-unpadded // 4) * 4
    return found


def _number(index: bytes, at: int, name: str) -> tuple[int, int]:
    """Read seven bits a byte, the lowest first (section 1.2)."""
    value = 0
    for shift in range(0, 63, 7):
        if at >= len(index) - 4:
            break
        byte = index[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
    raise BadImage(f"corrupt xz: the index of {name} is damaged", _HINT)


def _bytes_of(number: int) -> bytes:
    """Write seven bits a byte, the lowest first."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    found.append(number)
    return bytes(found)
