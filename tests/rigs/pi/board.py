"""A board: QEMU's arm64 machine that boots from a card as a Pi does.

The firmware's part is played here: at every power on and every reboot it reads kernel, RAM disk and kernel options from
the card's first partition, so that what a running system writes there counts at the next boot. It names the console
that `serial0` stands for, and hands over a device tree with the model and the serial number of a Raspberry Pi 4.
"""

import json
import subprocess
import threading
from pathlib import Path
from typing import Final

from infracore.process import run
from tests.rigs.needs import need_programs

__all__ = ["PROGRAMS", "Board"]

PROGRAMS: Final = ("qemu-system-aarch64", "fdtput", "mcopy", "mtype")
_MODEL: Final = "Raspberry Pi 4 Model B Rev 1.4"
_MEMORY: Final = "1G"
_STOP_S: Final = 10.0
_TABLE_START: Final = 446 + 8
"""Where a master boot record has the first partition's first sector: 4 bytes, the lowest first."""


class Board:
    """One board with a card in it, off at first."""

    def __init__(self, folder: Path, card: Path, tap: str, *, mac: str, serial: str = "10000000a1b2c3d4") -> None:
        need_programs(*PROGRAMS)
        self.card = card
        self.mac = mac
        self.serial = serial
        self.boots = 0
        """How often the firmware ran."""
        self._folder = folder
        self._tap = tap
        self._process: subprocess.Popen[str] | None = None
        self._thread: threading.Thread | None = None
        self._failed: list[str] = []

    @property
    def console(self) -> str:
        """What the serial console has shown, of all boots."""
        return "".join(path.read_text(errors="replace") for path in sorted(self._folder.glob("console-*.log")))

    @property
    def is_on(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def turn_on(self) -> None:
        """Give it power; it boots in the background."""
        assert not self.is_on
        self._thread = threading.Thread(target=self._live, name=f"board {self.mac}")
        self._thread.start()

    def pull_the_plug(self) -> None:
        """Take its power away, at once."""
        if self._process is not None:
            self._process.kill()
        self.wait_off(_STOP_S)

    def wait_off(self, within_s: float) -> None:
        """Wait until it has shut down."""
        if self._thread is not None:
            self._thread.join(within_s)
        assert not self.is_on, f"the board does not shut down within {within_s:g} s: {self.console[-2000:]}"

    def said(self) -> str:
        """Return the end of its console, and why QEMU did not run, where so."""
        return "\n".join([*self._failed, self.console[-3000:]])

    def _live(self) -> None:
        """Boot, and boot again as often as the system asks for it."""
        while self._boot():
            pass

    def _boot(self) -> bool:
        """Run until the system ends; say whether it wants to be booted again."""
        argv = self._firmware()
        self.boots += 1
        console = self._folder / f"console-{self.boots:02d}.log"
        argv += ["-serial", f"file:{console}", "-qmp", "stdio", "-no-reboot"]
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        again = False
        with self._process as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write('{"execute": "qmp_capabilities"}\n')
            process.stdin.flush()
            for line in process.stdout:
                if not line.startswith("{"):
                    self._failed.append(line)
                    continue
                event = json.loads(line)
                again = again or (event.get("event") == "SHUTDOWN" and event["data"]["reason"] == "guest-reset")
        return again

    def _firmware(self) -> list[str]:
        """Read the card, and write the command line of the machine that it boots."""
        with self.card.open("rb") as file:
            file.seek(_TABLE_START)
            start = int.from_bytes(file.read(4), "little") * 512
        there = f"{self.card}@@{start}"
        for name in ("kernel8.img", "initramfs8"):
            run(["mcopy", "-n", "-o", "-i", there, f"::{name}", self._folder / name], timeout_s=120)
        options = run(["mtype", "-i", there, "::cmdline.txt"], timeout_s=60).stdout
        argv = ["qemu-system-aarch64", "-cpu", "cortex-a72", "-m", _MEMORY, "-smp", "2"]
        argv += ["-accel", "tcg,thread=multi,tb-size=256", "-nodefaults", "-no-user-config", "-display", "none"]
        argv += ["-drive", f"file={self.card},if=none,id=card,format=raw,cache=unsafe"]
        argv += ["-device", "virtio-blk-pci,drive=card", "-device", "virtio-rng-pci"]
        argv += ["-netdev", f"tap,id=eth,ifname={self._tap},script=no,downscript=no"]
        argv += ["-device", f"virtio-net-pci,netdev=eth,mac={self.mac},romfile="]
        # a watchdog to set; that of an emulated board on busy cores must not end it
        argv += ["-device", "i6300esb", "-action", "watchdog=none"]
        tree = self._folder / "board.dtb"
        run([*argv, "-machine", f"virt,dumpdtb={tree}"], timeout_s=60)
        run(["fdtput", "-t", "s", tree, "/", "model", _MODEL], timeout_s=20)
        run(["fdtput", "-t", "s", tree, "/", "serial-number", self.serial], timeout_s=20)
        argv += ["-machine", "virt", "-dtb", str(tree)]
        argv += ["-kernel", str(self._folder / "kernel8.img"), "-initrd", str(self._folder / "initramfs8")]
        return [*argv, "-append", options.splitlines()[0].replace("serial0", "ttyAMA0")]
