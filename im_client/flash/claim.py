"""A card belongs to one process while it is written, and is let go of safely.

Two locks: flock, which other `im flash` and udev respect (systemd, "Locking Block Device Access"), and O_EXCL, by which
the kernel refuses what is mounted or held anywhere, also in other containers (open(2)). The second is tried here, and
held by who writes.
"""

import errno
import fcntl
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from im_client.flash.devices import Spot, Transport
from infracore.errors import CommandFailed, InfraError, InvalidUsage, Locked, NotFound, TimedOut, Unauthorised
from infracore.process import run

__all__ = ["Let", "claimed", "eject"]

_LOOK_S: Final = 0.1
_EJECT_S: Final = 60.0


class Let(StrEnum):
    """How a card was let go of."""

    POWERED_OFF = "powered off"
    EJECTED = "ejected"
    SYNCED = "synced"
    """All is on it; nothing here could eject it, or nobody asked."""


@contextmanager
def claimed(spot: Spot, *, wait_s: float = 3.0) -> Iterator[None]:
    """Keep other `im flash` and udev away from a disk or a file; a file that is not there yet is made.

    udev holds a disk for moments while it looks at it: that is waited for.

    Raises:
        Locked: another process writes it. InvalidUsage: the kernel says that it is in use. NotFound: it is gone.
        Unauthorised: this user may not write to it.
    """
    with _opened(spot, 0 if spot.is_disk else os.O_CREAT) as lock:
        _lock(lock, spot, wait_s if spot.is_disk else 0.0)
        with _opened(spot, os.O_EXCL if spot.is_disk else 0):
            pass
        yield


def eject(spots: Sequence[Spot], *, is_all: bool = True) -> tuple[Let, ...]:
    """Cut cards off that nobody holds any more and that hang on one USB device, where this computer can.

    `is_all`: nobody wants anything of that device any more, so that its power may go, once for all of them. Blocks for
    seconds.
    """
    first = spots[0]
    if first.device is None or first.device.transport is Transport.LOOP or not first.device.is_external:
        return (Let.SYNCED,) * len(spots)
    if is_all and _runs("udisksctl", "power-off", "--no-user-interaction", "--block-device", str(first.real)):
        return (Let.POWERED_OFF,) * len(spots)
    return tuple(Let.EJECTED if _runs("eject", str(spot.real)) else Let.SYNCED for spot in spots)


def _runs(*argv: str) -> bool:
    if not shutil.which(argv[0]):
        return False
    try:
        run(argv, timeout_s=_EJECT_S)
    except (CommandFailed, TimedOut):  # such as a slot that has no power of its own
        return False
    return True


@contextmanager
def _opened(spot: Spot, flags: int) -> Iterator[int]:
    try:
        fd = os.open(spot.real, os.O_RDWR | os.O_CLOEXEC | flags, 0o644)
    except OSError as error:
        raise _refused(spot, error) from error
    try:
        yield fd
    finally:
        os.close(fd)


def _lock(fd: int, spot: Spot, wait_s: float) -> None:
    ends = time.monotonic() + wait_s
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= ends:
                raise Locked(f"{spot.path} is being written by another process", "wait until it is done") from error
            threading.Event().wait(_LOOK_S)
        else:
            return


def _refused(spot: Spot, error: OSError) -> InfraError:
    if error.errno == errno.EBUSY:
        hint = "another container, LVM, RAID or ZFS has it: end that first (lsof, lsblk)"
        return InvalidUsage(f"{spot.path}: not written: the kernel says that it is in use", hint)
    if error.errno in {errno.ENOENT, errno.ENXIO, errno.ENODEV, errno.ENOMEDIUM}:
        return NotFound(f"{spot.path} is gone", "put the card in again, then the same command")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Unauthorised(f"{spot.path}: not written: this user may not write to it", "run it with sudo")
    return InvalidUsage(f"{spot.path}: not written: {error.strerror}", "im flash --list shows the cards")
