"""What a packed file says of itself without being unpacked: its format, whether it is whole, what it will give.

The .xz file format 1.2.1 (section 2 and 4); RFC 8878 (zstd), section 3.1.1.
"""

import os
import zlib
from typing import Final

from im_client.flash.model import BadImage

__all__ = ["kind_of", "xz_size", "zst_size"]

_XZ_HEAD: Final = b"\xfd7zXZ\0"
_XZ_FOOT: Final = b"YZ"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_HINT: Final = "fetch it again"
_MOST_INDEX: Final = 64 << 20


def kind_of(head: bytes) -> str:
    """Return `xz`, `zst`, `gz`, `zip`, or "" for anything else, by a file's first bytes."""
    if head.startswith(_XZ_HEAD):
        return "xz"
    if head.startswith(_ZSTD) or _is_skippable(head):
        return "zst"
    if head.startswith(b"\x1f\x8b"):
        return "gz"
    return "zip" if head.startswith((b"PK\x03\x04", b"PK\x05\x06")) else ""


def _is_skippable(head: bytes) -> bool:
    return head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50


def xz_size(fd: int, name: str) -> tuple[int, int]:
    """Return the bytes that an xz file unpacks to, and how many blocks it has, by the indexes at its streams' ends.

    Raises:
        BadImage: truncated or corrupt.
    """
    end = os.lseek(fd, 0, os.SEEK_END)
    os.lseek(fd, 0, os.SEEK_SET)
    if end % 4:
        raise BadImage(f"truncated xz: {name} ends too early", _HINT)
    total = blocks = 0
    while end:
        end = _without_padding(fd, end)
        foot = os.pread(fd, 12, end - 12) if end >= 24 else b""
        if len(foot) < 12 or foot[10:] != _XZ_FOOT or zlib.crc32(foot[4:10]) != int.from_bytes(foot[:4], "little"):
            raise BadImage(f"truncated xz: {name} ends too early", _HINT)
        length = (int.from_bytes(foot[4:8], "little") + 1) * 4
        if length > min(_MOST_INDEX, end - 24):
            raise BadImage(f"corrupt xz: {name} has an index of {length} bytes", _HINT)
        index = os.pread(fd, length, end - 12 - length)
        packed, unpacked, count = _xz_index(index, name)
        total += unpacked
        blocks += count
        end -= 24 + length + packed
        if end < 0 or os.pread(fd, 6, end) != _XZ_HEAD:
            raise BadImage(f"corrupt xz: {name} has no stream where one should begin", _HINT)
    return total, blocks


def _without_padding(fd: int, end: int) -> int:
    """Return where the last stream ends; whole words of zeros may follow."""
    while end:
        start = max(0, end - (1 << 20))
        last = len(os.pread(fd, end - start, start).rstrip(b"\0"))
        if last:
            return start + -(-last // 4) * 4
        end = start
    return 0


def _xz_index(index: bytes, name: str) -> tuple[int, int, int]:
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


def zst_size(fd: int, name: str) -> int | None:
    """Return the bytes that a zstd file unpacks to, by its frames' headers; None where one does not say it.

    Raises:
        BadImage: truncated or corrupt.
    """
    end = os.lseek(fd, 0, os.SEEK_END)
    os.lseek(fd, 0, os.SEEK_SET)
    at = 0
    total: int | None = 0
    while at < end:
        head = os.pread(fd, 18, at)
        if _is_skippable(head):
            at += 8 + int.from_bytes(head[4:8], "little")
            continue
        if not head.startswith(_ZSTD[: len(head)]):
            raise BadImage(f"corrupt zst: {name} has something else at byte {at}", _HINT)
        said, width, has_checksum = _zst_header(head)
        total = None if said is None or total is None else total + said
        at = _zst_blocks(fd, at + width, end, name) + 4 * has_checksum
    if at != end:
        raise BadImage(f"truncated zst: {name} ends too early", _HINT)
    return total


def _zst_header(head: bytes) -> tuple[int | None, int, bool]:
    """Return content size, bytes of the header, and whether a checksum ends the frame."""
    facts = head[4] if len(head) > 4 else 0
    is_single = bool(facts & 0x20)
    at = 5 + (not is_single) + (0, 1, 2, 4)[facts & 3]
    width = (int(is_single), 2, 4, 8)[facts >> 6]
    size = int.from_bytes(head[at : at + width], "little") + (256 if width == 2 else 0)
    return (size if width else None), at + width, bool(facts & 4)


def _zst_blocks(fd: int, at: int, end: int, name: str) -> int:
    """Return where the last block ends."""
    while at < end:
        facts = int.from_bytes(os.pread(fd, 3, at), "little")
        kind = facts >> 1 & 3
        if kind == 3:
            raise BadImage(f"corrupt zst: {name} at byte {at}", _HINT)
        at += 3 + (1 if kind == 1 else facts >> 3)
        if facts & 1:
            return at
    raise BadImage(f"truncated zst: {name} ends too early", _HINT)
