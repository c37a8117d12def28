"""A card that is written but not customised yet must not boot as some other machine, not even when it is pulled out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from im_client.flash.partitions import GUARDED
from im_client.flash.write import UNFINISHED

__all__ = ["kept_from_booting"]

_SECTOR: Final = 512
_ENTRIES: Final = range(446, 510, 16)
_TYPE_AT: Final = 4
_BOOTS: Final = frozenset({0x01, 0x04, 0x06, 0x0B, 0x0C, 0x0E, 0xEE})
"""Types of MBR partitions that a Raspberry Pi boots from: FAT, and the one that says that there is a GPT."""


@contextmanager
def kept_from_booting(fd: int) -> Iterator[None]:
    """Take the table's types that boot away and put the mark of unfinished cards where a PC would have its boot code.

    What is in the partitions can be found as before. Both are put back when the block ends; after an error they stay.

    Raises:
        OSError: the device does not take it, or is gone.
    """
    before = os.pread(fd, _SECTOR, 0)
    guarded = bytearray(before)
    guarded[: len(UNFINISHED)] = UNFINISHED
    for entry in _ENTRIES:
        if guarded[entry + _TYPE_AT] in _BOOTS:
            guarded[entry + _TYPE_AT] = GUARDED
    _put(fd, bytes(guarded))
    yield
    _put(fd, before)


def _put(fd: int, sector: bytes) -> None:
    os.pwrite(fd, sector, 0)
    os.fsync(fd)
