"""What an unfinished card begins with, so that no board boots from it, not even when it is pulled out.

It goes on with the image's first block, and comes off with the last thing that is written.
"""

from pathlib import Path
from typing import Final

from im_client.flash.partitions import GUARDED
from infracore.errors import NotFound

__all__ = ["SECTOR", "UNFINISHED", "guarded", "is_unfinished"]

UNFINISHED: Final = b"im flash: this card is unfinished, flash it again\n"
"""What a target begins with until all is written, read back and customised."""
SECTOR: Final = 512
"""Bytes with the MBR's table, also where the device has larger ones."""
_ENTRIES: Final = range(446, 510, 16)
_TYPE_AT: Final = 4
_BOOTS: Final = frozenset({0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E, 0xEE})
"""Types of MBR partitions that a Raspberry Pi boots from: FAT, and the one that says that there is a GPT."""


def guarded(sector: bytes) -> bytes:
    """Return an image's first sector without types that boot, and with the mark where a PC would have its boot code.

    The partitions are found by it as before.
    """
    found = bytearray(sector)
    found[: len(UNFINISHED)] = UNFINISHED
    for entry in _ENTRIES:
        if found[entry + _TYPE_AT] in _BOOTS:
            found[entry + _TYPE_AT] = GUARDED
    return bytes(found)


def is_unfinished(disk: Path) -> bool:
    """Whether writing this card was begun and not ended. Raises NotFound: it cannot be read."""
    try:
        with disk.open("rb", buffering=0) as file:
            return file.read(len(UNFINISHED)) == UNFINISHED
    except OSError as error:
        raise NotFound(f"{disk} cannot be read: {error.strerror}") from error
