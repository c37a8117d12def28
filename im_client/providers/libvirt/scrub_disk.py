"""Scrubbing a disk image in a file: its root file system is mounted through a loop device, in a process of its own.

`python -m im_client.providers.libvirt.scrub_disk FILE` with further patterns on stdin, a JSON list. It runs in a mount
namespace of its own, which takes mount and loop device with it however it ends. Nothing of the disk is run: it is
mounted without devices, set-user-id files and programs. Free blocks are emptied: what was removed is not in them.
"""

import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from im_client.providers.scrub import Scrubbed, scrub
from infracore.errors import CommandFailed, InfraError, Unsupported
from infracore.process import run

__all__ = ["partitions", "scrubbed"]

_LIMIT_S: Final = 1800.0
_DISCARDED_BYTES: Final = 4096
"""The least that a loop device on a file discards. Only file systems below 512 MB have smaller blocks."""
_SYSTEMS: Final = ("ext4", "ext3", "xfs", "btrfs")


def scrubbed(disk: Path, further: Sequence[str]) -> Scrubbed:
    """Scrub the root file system of a raw disk image. Needs root.

    Raises:
        Unsupported: no Linux root file system is found in it. CommandFailed: it cannot be mounted.
    """
    argv = ["unshare", "--mount", "--propagation=private", "setpriv", "--pdeathsig=KILL"]
    argv += [sys.executable, "-m", __name__, str(disk)]
    environment = {"PYTHONPATH": str(Path(__file__).parents[3]), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    done = run(argv, stdin=msgspec.json.encode(further).decode(), timeout_s=_LIMIT_S, env=environment, check=False)
    if done.status == 3:
        raise Unsupported(done.stderr.strip(), "images are saved of disks with an ext4, xfs or btrfs root, without LVM")
    if done.status != 0:
        raise CommandFailed(f"the disk cannot be scrubbed: {done.stderr.strip()[-400:]}", status=done.status)
    return msgspec.json.decode(done.stdout, type=Scrubbed)


def partitions(table: str) -> list[tuple[int, int]]:
    """Return offset and size in bytes of each partition that `partx --raw --output START,SECTORS` tells."""
    rows = [line.split() for line in table.splitlines()]
    return [(int(row[0]) * 512, int(row[1]) * 512) for row in rows if len(row) == 2 and row[0].isdecimal()]


def main(argv: Sequence[str]) -> int:
    """Scrub one disk and print what was done."""
    disk = Path(argv[0])
    further = msgspec.json.decode(sys.stdin.buffer.read(), type=tuple[str, ...])
    words = ["partx", "--show", "--raw", "--output", "START,SECTORS", str(disk)]
    listed = run(words, timeout_s=60, check=False)
    places = partitions(listed.stdout) or [(0, disk.stat().st_size)]
    with tempfile.TemporaryDirectory() as folder:
        for offset, size in places:
            place = ["--probe", "--offset", str(offset), "--match-tag", "TYPE", "--output", "value", str(disk)]
            system = run(["blkid", *place], timeout_s=60, check=False).stdout.strip()
            if system not in _SYSTEMS:
                continue
            options = f"loop,offset={offset},sizelimit={size},nosuid,nodev,noexec"
            run(["mount", "-t", system, "-o", options, disk, folder], timeout_s=120)
            try:
                if Path(folder, "etc").is_dir() and not Path(folder, "etc").is_symlink():
                    done = scrub(Path(folder), further)
                    _empty_free_blocks(Path(folder))
                    sys.stdout.write(msgspec.json.encode(done).decode())
                    return 0
            finally:
                run(["umount", folder], timeout_s=300)
    sys.stderr.write(f"no root file system is found in {disk.name}\n")
    return 3


def _empty_free_blocks(folder: Path) -> None:
    """Discard what is free; small blocks, which a loop device does not discard, are written over before."""
    run(["sync", "--file-system", folder], timeout_s=_LIMIT_S)  # what was removed just now is free only then
    if os.statvfs(folder).f_bsize < _DISCARDED_BYTES:
        filler = folder / ".im-clues-zero"
        fd = os.open(filler, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            for size in (1 << 20, 512):
                with suppress(OSError):  # the file system is full, as it shall be
                    while os.write(fd, bytes(size)):
                        pass
            os.fsync(fd)
        finally:
            os.close(fd)
            filler.unlink()
        run(["sync", "--file-system", folder], timeout_s=_LIMIT_S)
    run(["fstrim", folder], timeout_s=_LIMIT_S)


if __name__ == "__main__":
    try:
        raise SystemExit(main(sys.argv[1:]))
    except (InfraError, OSError) as error:
        raise SystemExit(str(error)) from error
