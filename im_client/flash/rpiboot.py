"""Compute Modules without a card: `rpiboot` lets one show its eMMC and NVMe as USB disks of this computer.

`rpiboot` (package of that name, Raspberry Pi's usbboot) sends a small system to a module that waits in USB boot mode:
nRPIBOOT jumper set, USB cable in. What then appears is flashed like any card.
Limits: Linux; one module at a time, for two would be told apart by nothing but their order; a module of which the boot
mode is locked by secure boot needs a folder that its owner has signed.
"""

import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infracore.clock import Clock
from infracore.errors import Cancelled, CommandFailed, Misconfigured, TimedOut
from infracore.process import run

__all__ = ["UsbDisk", "boot_module", "usb_disks"]

VENDORS: Final = frozenset({"0a5c", "2e8a"})
"""Broadcom, as modules show themselves in USB boot mode and afterwards, and Raspberry Pi."""
_OTHERS: Final = frozenset({("2e8a", "0003")})
"""The drive of a Raspberry Pi Pico."""
FOLDERS: Final = (
    Path("/usr/share/rpiboot/mass-storage-gadget64"),
    Path("/usr/share/rpiboot/mass-storage-gadget"),
)
"""What is sent to a module, in the Debian package: for CM4 and CM5 the first."""
_LOOK_S: Final = 0.5
_SETTLE_S: Final = 3.0
"""eMMC and NVMe appear one after the other."""
_SECTOR: Final = 512


@dataclass(frozen=True, slots=True)
class UsbDisk:
    """A disk behind USB."""

    path: Path
    """/dev/sda."""
    vendor: str
    """Of USB, four hexadecimal digits."""
    product: str
    size: int
    """Bytes; 0 while it is not ready."""
    model: str = ""
    serial: str = ""

    @property
    def is_module(self) -> bool:
        """Whether it may be that of a Compute Module."""
        return self.vendor in VENDORS and (self.vendor, self.product) not in _OTHERS


def usb_disks(sysfs: Path, dev: Path = Path("/dev")) -> tuple[UsbDisk, ...]:
    """Return the disks behind USB that the kernel knows. One that goes away meanwhile is left out."""
    return tuple(_found(sysfs, dev))


def boot_module(
    *,
    timeout_s: float,
    clock: Clock,
    cancel: threading.Event,
    tell: Callable[[str], None],
    folder: Path | None = None,
    program: str = "rpiboot",
    sysfs: Path = Path("/sys"),
    dev: Path = Path("/dev"),
) -> tuple[UsbDisk, ...]:
    """Wait for a module in USB boot mode, and return its disks; `folder` holds what is sent to it.

    Blocks until they are there and ready. Disks that were there before are never returned.

    Raises:
        Misconfigured: rpiboot or its folder is not installed. CommandFailed: it failed.
        TimedOut: no module, or no disk of it, within `timeout_s`. Cancelled.
    """
    if shutil.which(program) is None:
        raise Misconfigured(f"the program {program!r} is not installed", "apt-get install rpiboot")
    sent = folder or next((one for one in FOLDERS if one.is_dir()), None)
    if sent is None or not sent.is_dir():
        raise Misconfigured(f"there is no folder {sent or FOLDERS[0]} to send to a module", "name that of your usbboot")
    before = {disk.path for disk in usb_disks(sysfs, dev)}
    ends = clock.monotonic() + timeout_s
    tell("waiting for a Compute Module in USB boot mode: nRPIBOOT set, then USB and power")
    try:
        run((program, "-d", sent), timeout_s=timeout_s, cancel=cancel)
    except TimedOut as error:
        raise TimedOut(
            f"no Compute Module came within {timeout_s:g} s",
            "is nRPIBOOT (EMMC_DISABLE) set, and the cable in the USB slave port?",
        ) from error
    except CommandFailed as error:
        raise CommandFailed(f"rpiboot failed: {error.message}", "it needs root, or access to /dev/bus/usb") from error
    tell("the module has started; waiting for its disks")
    return _new_disks(before, sysfs, dev, ends=ends, clock=clock, cancel=cancel)


def _new_disks(
    before: set[Path], sysfs: Path, dev: Path, *, ends: float, clock: Clock, cancel: threading.Event
) -> tuple[UsbDisk, ...]:
    seen: tuple[UsbDisk, ...] = ()
    since = clock.monotonic()
    while True:
        now = tuple(one for one in usb_disks(sysfs, dev) if one.is_module and one.size and one.path not in before)
        if now != seen:
            seen, since = now, clock.monotonic()
        if seen and clock.monotonic() - since >= _SETTLE_S:
            return seen
        if clock.monotonic() >= ends:
            raise TimedOut("the module has started and shows no disk", "has it eMMC or NVMe? see: dmesg")
        if clock.wait(cancel, _LOOK_S):
            raise Cancelled("interrupted while waiting for the disks of the module", "nothing was written")


def _found(sysfs: Path, dev: Path) -> Iterator[UsbDisk]:
    for link in sorted((sysfs / "block").glob("sd*")):
        try:
            block = link.resolve(strict=True)
            usb = next((up for up in block.parents if (up / "idVendor").is_file()), None)
            if usb is None:
                continue
            yield UsbDisk(
                path=dev / link.name,
                vendor=_text(usb / "idVendor"),
                product=_text(usb / "idProduct"),
                size=int(_text(block / "size") or 0) * _SECTOR,
                model=_text(block / "device" / "model"),
                serial=_text(usb / "serial"),
            )
        except (OSError, ValueError):  # it was pulled
            continue


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace").strip() if path.is_file() else ""
