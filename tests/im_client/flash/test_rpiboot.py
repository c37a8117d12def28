"""The disks of a module appear after rpiboot, and no other is taken for one. A scripted program, a tree as /sys."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from im_client.flash.rpiboot import UsbDisk, boot_module, usb_disks
from infracore.clock import FakeClock
from infracore.errors import Cancelled, CommandFailed, Misconfigured, TimedOut


class Sysfs:
    """A tree as the kernel shows it, and a program that plugs disks in."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "sys"
        (self.root / "block").mkdir(parents=True)
        self.sent = folder / "gadget"
        self.sent.mkdir()
        self.program = folder / "rpiboot"

    def script(self, *lines: str) -> str:
        self.program.write_text("\n".join(("#!/bin/sh", *lines)) + "\n")
        self.program.chmod(0o755)
        return str(self.program)

    def plug(self, name: str, vendor: str, product: str, size: int = 1 << 30) -> list[str]:
        """Return the commands that let a disk appear."""
        usb = self.root / "devices" / "usb1" / f"1-{name}"
        block = usb / "1-1:1.0" / "host0" / "target0:0:0" / "0:0:0:0" / "block" / name
        return [
            f"mkdir -p {block}/device",
            f"echo {vendor} > {usb}/idVendor; echo {product} > {usb}/idProduct; echo abcd > {usb}/serial",
            f"echo {size // 512} > {block}/size; echo 'RPi-MSD- 0001' > {block}/device/model",
            f"ln -s {block} {self.root}/block/{name}",
        ]

    def boot(self, program: str, **more: object) -> tuple[UsbDisk, ...]:
        values = {
            "timeout_s": 30.0,
            "clock": FakeClock(),
            "cancel": threading.Event(),
            "tell": lambda _: None,
            "folder": self.sent,
            "program": program,
            "sysfs": self.root,
            **more,
        }
        return boot_module(**values)  # type: ignore[arg-type]


@pytest.fixture
def sysfs(tmp_path: Path) -> Sysfs:
    return Sysfs(tmp_path)


def run_now(sysfs: Sysfs, lines: list[str]) -> None:
    import subprocess

    subprocess.run(["sh", "-e", "-c", "\n".join(lines)], check=True)


def test_the_disks_that_appear_are_the_modules_and_no_other(sysfs: Sysfs) -> None:
    run_now(sysfs, sysfs.plug("sda", "0a5c", "0104"))  # another module, from before
    new = [*sysfs.plug("sdb", "0a5c", "0104"), *sysfs.plug("sdc", "2e8a", "0003"), *sysfs.plug("sdd", "0781", "5581")]
    program = sysfs.script(f'[ "$1 $2" = "-d {sysfs.sent}" ] || exit 9', *new)
    (found,) = sysfs.boot(program)
    assert (found.path, found.size, found.serial) == (Path("/dev/sdb"), 1 << 30, "abcd")
    assert found.model == "RPi-MSD- 0001"


def test_disks_that_are_not_behind_usb_or_not_ready_are_left_out(sysfs: Sysfs) -> None:
    run_now(sysfs, sysfs.plug("sdb", "0a5c", "0104", size=0))
    (sysfs.root / "block" / "sdz").symlink_to(sysfs.root / "gone")
    (sysfs.root / "devices" / "sde").mkdir()
    (sysfs.root / "block" / "sde").symlink_to(sysfs.root / "devices" / "sde")
    assert [(one.path.name, one.size) for one in usb_disks(sysfs.root)] == [("sdb", 0)]


def test_a_module_without_a_disk_has_an_end(sysfs: Sysfs) -> None:
    with pytest.raises(TimedOut, match="shows no disk"):
        sysfs.boot(sysfs.script("exit 0"))


def test_no_module_has_an_end(sysfs: Sysfs) -> None:
    with pytest.raises(TimedOut, match="no Compute Module came"):
        sysfs.boot(sysfs.script("exec sleep 60"), timeout_s=0.3)


def test_what_rpiboot_says_is_told(sysfs: Sysfs) -> None:
    with pytest.raises(CommandFailed, match="libusb_open"):
        sysfs.boot(sysfs.script("echo 'libusb_open() failed' >&2; exit 1"))


def test_who_interrupts_is_heard(sysfs: Sysfs) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        sysfs.boot(sysfs.script("exec sleep 60"), cancel=cancel)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda sysfs: {"program": "no-rpiboot-here"}, "not installed"),
        (lambda sysfs: {"folder": sysfs.root / "none", "program": sysfs.script("exit 0")}, "no folder"),
    ],
)
def test_what_is_missing_is_said(sysfs: Sysfs, change: Callable[[Sysfs], dict[str, object]], said: str) -> None:
    with pytest.raises(Misconfigured, match=said):
        sysfs.boot(**{"program": "x", **change(sysfs)})  # type: ignore[arg-type]
