"""Loop devices as cards: good ones, one with a block that cannot be written, one that is smaller than it says.

The device mapper would make bad ones too (`dmsetup`, targets error and flakey), where the kernel has it. These need no
more than loop devices and tmpfs: a card lies on a tmpfs that is full but for what it holds, with a hole where the bad
block is; writing there gets the kernel's own error, at that block alone.
"""

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["bad_card", "card", "lying_card", "pull"]

_LOOP_SET_CAPACITY = 0x4C07

PAGE = 4096


def _run(*argv: object) -> str:
    return subprocess.run(list(map(str, argv)), check=True, capture_output=True, text=True, timeout=60).stdout.strip()


@contextmanager
def _attached(*words: object) -> Iterator[Path]:
    device = _run("losetup", "--find", "--show", *words)
    try:
        yield Path(device)
    finally:
        _run("losetup", "--detach", device)


@contextmanager
def card(folder: Path, size: int, name: str = "card", sector: int = 512) -> Iterator[Path]:
    """Yield a loop device; what is written to it lies in `folder/name.img`, which was full of 0xAA before."""
    path = folder / f"{name}.img"
    with path.open("wb") as file:
        for at in range(0, size, 1 << 20):
            file.write(b"\xaa" * min(1 << 20, size - at))
    with _attached("--sector-size", sector, path) as device:
        yield device


def pull(device: Path) -> None:
    """Let the device of `card` have no bytes any more, as a reader whose card was pulled."""
    os.truncate(_run("losetup", "--noheadings", "--output", "BACK-FILE", device), 0)
    with device.open("rb") as file:
        fcntl.ioctl(file, _LOOP_SET_CAPACITY)


@contextmanager
def bad_card(folder: Path, size: int, at: int) -> Iterator[Path]:
    """Yield a loop device whose page at byte `at` cannot be written."""
    mount = folder / "full"
    mount.mkdir()
    with ExitStack() as stack:
        _run("mount", "-t", "tmpfs", "-o", f"size={size - PAGE},huge=never", "tmpfs", mount)
        stack.callback(_run, "umount", mount)
        with (mount / "card.img").open("wb") as file:
            for offset in range(0, size, PAGE):
                if offset != at:
                    os.pwrite(file.fileno(), b"\xaa" * PAGE, offset)
            file.truncate(size)
        device = stack.enter_context(_attached(mount / "card.img"))
        # a request that begins before the bad page would be cut short there, which the loop driver takes for success
        most = Path(f"/sys/block/{device.name}/queue/max_sectors_kb")
        stack.callback(most.write_text, most.read_text())
        most.write_text(str(PAGE >> 10))
        yield device


@contextmanager
def lying_card(folder: Path, size: int, real: int) -> Iterator[tuple[Path, Path]]:
    """Yield two loop devices of `size` bytes that share all but the first `real`: what one is given the other loses."""
    path = folder / "lying.img"
    with path.open("wb") as file:
        file.truncate(real + size)
    with _attached("--sizelimit", size, path) as one, _attached("--offset", real, "--sizelimit", size, path) as other:
        yield one, other
