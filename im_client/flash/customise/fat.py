"""A FAT partition of a disk, by mtools: no mount, no root where the disk may be written (mtools(1))."""

from pathlib import Path
from typing import Final

from im_client.flash.customise.memory import memory_folder
from im_client.flash.customise.programs import program
from infracore.errors import CommandFailed
from infracore.process import Completed, run

__all__ = ["Fat"]

_TIMEOUT_S: Final = 120.0
_ENVIRONMENT: Final = {"MTOOLSRC": "/dev/null", "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"}
"""No settings of the user's; a card's geometry is none of mtools' business."""


class Fat:
    """The partition that begins at `offset` (bytes) of a disk or an image file."""

    def __init__(self, disk: Path, offset: int) -> None:
        self._image = f"{disk}@@{offset}"

    def names(self, folder: str = "") -> frozenset[str]:
        """Return what is in a folder; nothing where there is no such folder."""
        done = self._run("mdir", ["-b", f"::/{folder}"], check=False)
        if done.status != 0 and not _is_missing(done):
            raise CommandFailed(f"cannot read the boot partition: {_said(done)}", "flash the card again")
        paths = [line.removeprefix("::/").rstrip("/") for line in done.stdout.splitlines() if line.startswith("::/")]
        return frozenset(path.rpartition("/")[2] for path in paths)

    def read(self, path: str) -> str | None:
        """Return a file's text; None where there is no such file. Bytes that are no UTF-8 survive `write`."""
        with memory_folder() as folder:
            copy = folder / "file"
            done = self._run("mcopy", ["-Q", f"::/{path}", copy], check=False)
            if done.status == 0:
                return copy.read_bytes().decode(errors="surrogateescape")
        if _is_missing(done):
            return None
        raise CommandFailed(f"cannot read {path} of the boot partition: {_said(done)}", "flash the card again")

    def write(self, path: str, text: str) -> None:
        """Write a file, in place of one that is there."""
        with memory_folder() as folder:
            source = folder / "file"
            source.write_bytes(text.encode(errors="surrogateescape"))
            self._run("mcopy", ["-o", "-Q", source, f"::/{path}"])

    def remove(self, path: str) -> None:
        """Delete a file that is there."""
        self._run("mdel", [f"::/{path}"])

    def _run(self, name: str, words: list[str | Path], *, check: bool = True) -> Completed:
        argv = [program(name), "-i", self._image, *words]
        return run(argv, timeout_s=_TIMEOUT_S, env=_ENVIRONMENT, check=check)


def _is_missing(done: Completed) -> bool:
    return "not found" in done.stderr or "No such file" in done.stderr


def _said(done: Completed) -> str:
    return " ".join((done.stderr or done.stdout).split())[-300:]
