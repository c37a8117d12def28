"""One target as the kernel offers it: written and read past the page cache, in aligned blocks."""

import errno
import fcntl
import os
import stat
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from im_client.flash.buffers import aligned
from im_client.flash.model import BadBlock, Target
from infracore.errors import Conflict, InfraError, InvalidUsage, NoSpace, NotFound

__all__ = ["ALIGN_BYTES", "Sink"]

ALIGN_BYTES: Final = 4096
_BLKSSZGET: Final = 0x1268
_BLKRRPART: Final = 0x125F
_BLKZEROOUT: Final = 0x127F
"""linux/fs.h: fills with zeros, by the device itself where it can; always leaves zeros."""
_ZERO_STEP: Final = 64 << 20
"""Bytes zeroed in one call, so that cancelling is quick where the device writes each."""
_GONE: Final = frozenset({errno.ENODEV, errno.ENXIO, errno.ENOMEDIUM})


class Sink:
    """An open target. To be used by one thread."""

    def __init__(self, target: Target) -> None:
        """Open it: a device exclusively (so that no mounted one is), a file emptied.

        Raises:
            NotFound, Conflict, InvalidUsage, NoSpace: it cannot be opened.
        """
        self.target = target
        self._zeros: memoryview | None = None
        try:
            self.is_device = _is_device(target)
            exclusively = os.O_EXCL if self.is_device else os.O_CREAT | os.O_TRUNC
            self._fd, self._is_direct = _open(target, os.O_RDWR | os.O_CLOEXEC | exclusively)
        except OSError as error:
            raise _told(target, error) from error
        self.capacity = os.lseek(self._fd, 0, os.SEEK_END) if self.is_device else target.size
        """Bytes; 0 for a file that grows."""
        self.align = (
            struct.unpack("i", fcntl.ioctl(self._fd, _BLKSSZGET, bytes(4)))[0] if self.is_device else ALIGN_BYTES
        )
        """Bytes of which each request is a multiple."""

    def write(self, block: memoryview, offset: int) -> None:
        """Write bytes; the block's length is a multiple of the device's sector. Raises BadBlock, NoSpace."""
        done = 0
        while done < len(block):
            try:
                done += os.pwrite(self._fd, block[done:], offset + done)
            except OSError as error:
                if error.errno == errno.EINVAL and self._is_direct:
                    self._buffered()
                    continue
                raise self._bad(block[done:], offset + done, error) from error

    def zero(self, offset: int, length: int) -> int:
        """Let up to 64 MiB from `offset` read as zeros and return how many; a file's holes do already.

        Raises:
            BadBlock, NoSpace
        """
        if not self.is_device:
            return length
        step = min(length, _ZERO_STEP)
        try:
            fcntl.ioctl(self._fd, _BLKZEROOUT, struct.pack("QQ", offset, step))
        except OSError:  # not known, not aligned, or a bad block: writing tells which
            if self._zeros is None:
                self._zeros = aligned(1 << 20)
            step = min(length, len(self._zeros))
            self.write(self._zeros[:step], offset)
        return step

    def read(self, block: memoryview, offset: int) -> None:
        """Fill the block from the target itself. Raises BadBlock."""
        done = 0
        while done < len(block):
            try:
                count = os.preadv(self._fd, [block[done:]], offset + done)
            except OSError as error:
                if error.errno == errno.EINVAL and self._is_direct:
                    self._buffered()
                    continue
                raise self._bad(block[done:], offset + done, error, reads=True) from error
            if not count:
                raise self._bad(block[:0], offset + done, OSError(errno.EIO, "it ends there"), reads=True)
            done += count

    def flush(self) -> None:
        """Wait until all is on the target, and forget what memory holds of it. Raises BadBlock, NoSpace."""
        try:
            os.fsync(self._fd)
            os.posix_fadvise(self._fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            gone = OSError(errno.ENOMEDIUM, "") if self._is_gone() else error
            raise _told(self.target, gone) from error

    def cut(self, size: int) -> None:
        """Make a file exactly so long; a device stays as it is. Raises NoSpace."""
        if self.is_device:
            return
        try:
            os.ftruncate(self._fd, size)
        except OSError as error:
            raise _told(self.target, error) from error

    def show_partitions(self) -> None:
        """Let the kernel read the new partition table, where it can: a loop device may not have any."""
        if self.is_device:
            with suppress(OSError):
                fcntl.ioctl(self._fd, _BLKRRPART)

    def close(self) -> None:
        """Close it."""
        os.close(self._fd)

    def _buffered(self) -> None:
        """Go on through the page cache: this file system or device takes no direct I/O of this kind."""
        self._is_direct = False
        fcntl.fcntl(self._fd, fcntl.F_SETFL, fcntl.fcntl(self._fd, fcntl.F_GETFL) & ~os.O_DIRECT)

    def _bad(self, block: memoryview, offset: int, error: OSError, *, reads: bool = False) -> InfraError:
        """Find the first bytes that cannot be written or read: a large request fails as a whole."""
        if error.errno in _GONE or self._is_gone():
            return _told(self.target, OSError(errno.ENOMEDIUM, ""), offset)
        for at in range(0, len(block), ALIGN_BYTES):
            part = block[at : at + ALIGN_BYTES]
            try:
                if reads:
                    os.preadv(self._fd, [part], offset + at)
                else:
                    os.pwrite(self._fd, part, offset + at)
                    if not self._is_direct:
                        os.fsync(self._fd)
            except OSError as found:
                return _told(self.target, found, offset + at, reads=reads)
        return _told(self.target, error, offset, reads=reads)

    def _is_gone(self) -> bool:
        """Whether the device went away, or its card: a reader without one has no bytes."""
        if not self.is_device:
            return False
        number = os.fstat(self._fd).st_rdev
        is_known = Path(f"/sys/dev/block/{os.major(number)}:{os.minor(number)}").exists()
        return not is_known or os.lseek(self._fd, 0, os.SEEK_END) < self.capacity


def _is_device(target: Target) -> bool:
    try:
        mode = target.path.stat().st_mode
    except FileNotFoundError:
        if target.path.is_relative_to("/dev") and not target.path.is_relative_to("/dev/shm"):  # noqa: S108
            raise
        return False
    if not (stat.S_ISBLK(mode) or stat.S_ISREG(mode)):
        raise InvalidUsage(f"{target.name}: {target.path} is neither a block device nor a file", "nothing was written")
    return stat.S_ISBLK(mode)


def _open(target: Target, flags: int) -> tuple[int, bool]:
    """Return the descriptor, and whether it goes past the page cache."""
    try:
        return os.open(target.path, flags | os.O_DIRECT, 0o644), True
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.open(target.path, flags, 0o644), False


def _told(target: Target, error: OSError, offset: int | None = None, *, reads: bool = False) -> InfraError:
    place = "" if offset is None else f" at byte {offset}"
    where = f"{target.name} ({target.path})"
    if error.errno in _GONE:
        what = f"{where}: the card was pulled, or its reader is gone{place}"
        return BadBlock(what, "put it back and flash it again", offset=offset) if offset is not None else NotFound(what)
    if offset is None:
        if error.errno == errno.EBUSY:
            return Conflict(f"{where} is in use: mounted, or part of something that is", "unmount it first")
        if error.errno == errno.ENOENT:
            return NotFound(f"{where}: there is no such device or folder", "see: lsblk")
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            return InvalidUsage(f"{where} may not be written: {error.strerror}", "is the card locked? else run as root")
    if error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG} and not _is_block(target):
        return NoSpace(f"{where}: the disk of this file is full{place}", "make room, then flash again")
    if offset is None:
        return BadBlock(f"{where}: {error.strerror} when it was to keep what was written", "try another card", offset=0)
    verb = "read" if reads else "written"
    return BadBlock(f"{where} cannot be {verb}{place}: {error.strerror}", "use another card", offset=offset)


def _is_block(target: Target) -> bool:
    try:
        return stat.S_ISBLK(target.path.stat().st_mode)
    except OSError:
        return False
