"""Loop devices as cards (needs root), one of them with a block that cannot be written."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["cards", "loop_device", "with_bad_block"]

MIB = 1 << 20
_BLOCK = 4096


@contextmanager
def loop_device(file: Path, *, read_only: bool = False) -> Iterator[Path]:
    """Attach a file."""
    words = ["losetup", "--find", "--show", *(["--read-only"] if read_only else []), str(file)]
    device = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    try:
        yield Path(device)
    finally:
        subprocess.run(["losetup", "--detach", device], check=True, timeout=30)


@contextmanager
def cards(folder: Path, count: int, size: int) -> Iterator[list[Path]]:
    """Make cards that are full of something else."""
    with ExitStack() as stack:
        devices = []
        for number in range(count):
            file = folder / f"card-{number}.img"
            file.write_bytes(os.urandom(MIB) * (size // MIB))
            devices.append(stack.enter_context(loop_device(file)))
        yield devices


@contextmanager
def with_bad_block(folder: Path, size: int, offset: int) -> Iterator[Path]:
    """Make a card of which 4096 bytes cannot be written.

    Its file has a hole there, on a file system of its own that is full: no device-mapper is needed.
    """
    folder.mkdir()
    options = f"size={size + 8 * MIB}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(folder)], check=True, timeout=30)
    try:
        file = folder / "card.img"
        with file.open("wb") as out:
            out.truncate(size)
            os.posix_fallocate(out.fileno(), 0, offset)
            os.posix_fallocate(out.fileno(), offset + _BLOCK, size - offset - _BLOCK)
        _fill(folder / "filler")
        with loop_device(file) as device:
            yield device
    finally:
        subprocess.run(["umount", str(folder)], check=True, timeout=30)


def _fill(path: Path) -> None:
    with path.open("wb", buffering=0) as out:
        try:
            while True:
                out.write(bytes(_BLOCK))
        except OSError:  # it is full
            return
