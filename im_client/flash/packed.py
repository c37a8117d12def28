"""What a packed file says of itself without being unpacked: its format, whether it is whole, what it will give.

RFC 8878 (zstd), section 3.1.1; RFC 1952 (gzip), section 2.3. Of xz: `xz_index.py`.
"""

import os
from typing import Final

from im_client.flash.model import BadImage

__all__ = ["gz_least", "kind_of", "zst_size"]

_XZ_HEAD: Final = b"\xfd7zXZ\0"
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_GZIP_BYTES: Final = 18
"""Of a gzip file without a name that holds nothing."""
_HINT: Final = "fetch it again"


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


def gz_least(fd: int, name: str) -> int:
    """Return a size that a gzip file unpacks to at least: what its last four bytes say, modulo 4 GiB.

    Where it has several members these are of the last one. Raises BadImage: too short for a gzip file.
    """
    end = os.lseek(fd, 0, os.SEEK_END)
    os.lseek(fd, 0, os.SEEK_SET)
    if end < _GZIP_BYTES:
        raise BadImage(f"truncated gz: {name} ends too early", _HINT)
    return int.from_bytes(os.pread(fd, 4, end - 4), "little")


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
