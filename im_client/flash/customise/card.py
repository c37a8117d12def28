"""A card or an image file is customised: looked at, written, read back, checked."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from im_client.flash.customise.ext4 import Ext4
from im_client.flash.customise.fat import Fat
from im_client.flash.customise.hashing import hash_password
from im_client.flash.customise.image import PROBES, Image, Way, find_way
from im_client.flash.customise.layout import CONNECTIONS, Layout, lay_out
from im_client.flash.customise.mark import MARK, Mark, mark_of, mark_text, parse_mark
from im_client.flash.customise.programs import UNUSABLE_NAME, is_usable_name
from im_client.flash.customise.rootfiles import OURS
from im_client.flash.customise.sysconf import EXTRA_CMDLINE, FIRMWARE_CUSTOM
from im_client.flash.model import BadImage, InitFormat
from im_client.flash.node import Node
from im_client.flash.partitions import read_table
from infracore.errors import CommandFailed, InvalidUsage, Misconfigured, NotFound, Unsupported

__all__ = ["Customised", "customise", "read_mark"]

_EXT_MAGIC_AT: Final = 1080
"""Bytes from the partition's begin (ext4's documentation, "Super Block")."""
_BOOT: Final = frozenset({"config.txt", "cmdline.txt", "user-data", "start4.elf", "bootcode.bin", "kernel8.img"})


@dataclass(frozen=True, slots=True)
class Customised:
    """What was written."""

    way: Way
    boot: tuple[str, ...]
    """Files of the boot partition."""
    removed: tuple[str, ...]
    """Files of other ways, or of another time, that lay there."""
    root: tuple[str, ...]
    """Files of the root partition."""
    mark: Mark


def customise(disk: Path, node: Node, init: InitFormat | None = None, *, image: str = "") -> Customised:
    """Write a node's configuration into a disk or image file that nobody has mounted. Blocks for seconds.

    `init` is what the OS list says of the image; None: found by what it has. `image` names it in the mark. Nothing is
    written before it is known that all of it can be. The mark is written last; repeating it writes the same again.

    Raises:
        Unsupported, Several: the image cannot be told some of it. Misconfigured: a program is not installed, or the
            disk may not be written.
        NotFound, BadImage: the disk cannot be read, or has no partitions. CommandFailed: it could not be written, or
            does not hold what was written.
    """
    fat, ext4 = _open(disk)
    _flush(disk)
    seen = _look(fat, ext4)
    way = find_way(seen, init, node)
    password_hash = node.password_hash or (hash_password(node.password) if node.password else "")
    old = parse_mark(fat.read(MARK) or "") if MARK in seen.boot else None
    mark = mark_of(node, image, bytes.fromhex(old.salt) if old else None)
    layout = lay_out(node, seen, way, password_hash=password_hash, instance=mark.instance)
    has_root_part = bool(layout.root or layout.root_removed)
    if has_root_part and ext4:
        ext4.check()
        ext4.write(layout.root, layout.root_removed)
    if MARK in seen.boot:  # until all is written it says nothing
        fat.remove(MARK)
    _write_boot(fat, layout)
    _flush(disk)
    for path, text in layout.boot.items():
        if fat.read(path) != text:
            raise CommandFailed(f"{path} of the boot partition is not what was written", "flash the card again")
    if has_root_part and ext4:
        ext4.check()
    fat.write(MARK, mark_text(mark))
    _flush(disk)
    return Customised(
        way, tuple(layout.boot), (*layout.removed, *layout.root_removed), tuple(f.path for f in layout.root), mark
    )


def read_mark(disk: Path) -> Mark | None:
    """Return what a card says that it holds; None for one that says nothing, is damaged, or was not finished.

    Raises:
        NotFound: the disk cannot be read. Misconfigured: mtools is not installed.
    """
    try:
        fat, _ = _open(disk)
        text = fat.read(MARK)
    except (Unsupported, BadImage, CommandFailed):
        return None
    return parse_mark(text) if text else None


def _open(disk: Path) -> tuple[Fat, Ext4 | None]:
    """Find the boot partition, the first FAT with what a Raspberry Pi starts by, and the root partition after it."""
    if not is_usable_name(disk):
        raise InvalidUsage(f"{disk}: {UNUSABLE_NAME}", "rename the file")
    boot: Fat | None = None
    root: Ext4 | None = None
    table = read_table(disk)
    try:
        with disk.open("rb") as device:
            for partition in table:
                device.seek(partition.start_bytes)
                head = device.read(2048)
                if boot is None and _is_fat(head):
                    fat = Fat(disk, partition.start_bytes)
                    boot = fat if fat.names() & _BOOT else None
                elif root is None and head[_EXT_MAGIC_AT : _EXT_MAGIC_AT + 2] == b"\x53\xef":
                    root = Ext4(disk, partition.start_bytes)
    except OSError as error:
        raise NotFound(f"{disk} cannot be read: {error.strerror}") from error
    if boot is None:
        raise Unsupported(f"{disk} has no boot partition of a Raspberry Pi", "take an image that is made for one")
    return boot, root


def _is_fat(head: bytes) -> bool:
    """Say whether a partition begins as FAT does (Microsoft's FAT specification, 3.1 to 3.3)."""
    return head[510:512] == b"\x55\xaa" and (head[54:57] == b"FAT" or head[82:85] == b"FAT")


def _look(fat: Fat, ext4: Ext4 | None) -> Image:
    """Read what decides about the way."""
    names = fat.names()
    path = "cmdline.txt"
    if path not in names and "current" in names:  # Ubuntu from 25.10 on keeps two sets of boot files
        path = "current/cmdline.txt"
    seen = Image(boot=names, cmdline_path=path, cmdline=fat.read(path) or "", config=fat.read("config.txt") or "")
    if ext4 is None:
        return seen
    return replace(
        seen,
        root=ext4.has(PROBES),
        fstab=ext4.read("/etc/fstab") or "",
        hosts=ext4.read("/etc/hosts") or "",
        sshd_config=ext4.read("/etc/ssh/sshd_config") or "",
        extra_cmdline=ext4.read(EXTRA_CMDLINE) or "",
        firmware_custom=ext4.read(FIRMWARE_CUSTOM) or "",
        ours=_ours(ext4),
    )


def _ours(ext4: Ext4) -> frozenset[str]:
    names = ext4.names(CONNECTIONS)
    connections = {
        f"{CONNECTIONS}/{name}" for name in names if name.startswith("im-") and name.endswith(".nmconnection")
    }
    return ext4.has(OURS) | connections


def _write_boot(fat: Fat, layout: Layout) -> None:
    for name in layout.removed:
        fat.remove(name)
    for path, text in layout.boot.items():
        fat.write(path, text)


def _flush(disk: Path) -> None:
    """Let the device have all of it, and let what is read next come from the device."""
    with _opened(disk) as fd:
        os.fsync(fd)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)


@contextmanager
def _opened(disk: Path) -> Iterator[int]:
    try:
        fd = os.open(disk, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise Misconfigured(
            f"cannot write to {disk}: {error.strerror}", "become root, or take an image file"
        ) from error
    try:
        yield fd
    finally:
        os.close(fd)
