"""What runs on a machine whose disk is flashed over ssh: sent there as text, it needs Python 3.9 and nothing else.

It reads a line of JSON (what is to be done) and then frames, and answers with lines of JSON. Whatever ends it before
the last frame leaves a disk that begins with a mark instead of a partition table, so that nothing boots from it.
"""
# ruff: noqa: PTH110, PTH112, PTH116, PTH119, PTH120, PTH123, PTH208 - it starts without a module more than needed

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import signal
import stat
import struct
import sys
from typing import Any

__all__ = ["DATA", "END", "FRAME", "HEAD", "MOST", "ZERO", "main"]

FRAME = struct.Struct("!BQQ32s")
"""Kind, offset (with HEAD the size of the image), length, SHA-256 of the bytes."""
DATA, ZERO, END, HEAD = 1, 2, 3, 4
MOST = 4 << 20
"""Bytes of one frame of data."""
IDLE_S = 120
"""The other end may be gone without a word."""
STEP = 64 << 20
FIRST = 4096
"""What a disk writes whole or not at all: with the mark, and with the partition table, at its begin."""
_BLKZEROOUT = 0x127F
_BLKRRPART = 0x125F


class Refused(Exception):
    """Nothing, or no more, is written. `kind` is a word of the protocol."""

    def __init__(self, kind: str, message: str, offset: int | None = None) -> None:
        super().__init__(message)
        self.kind, self.message, self.offset = kind, message, offset


def tell(**words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().replace("\0", "").strip()
    except OSError:
        return ""


def disk_of(device: str) -> set[str]:
    """Return the names of the disks under a device number `major:minor`, through partitions, LVM and RAID."""
    folder = os.path.realpath(f"/sys/dev/block/{device}")
    if not os.path.isdir(folder):
        return set()
    if os.path.exists(f"{folder}/partition"):
        return {os.path.basename(os.path.dirname(folder))}
    below = os.listdir(f"{folder}/slaves") if os.path.isdir(f"{folder}/slaves") else []
    found = {os.path.basename(folder)}
    for name in below:
        found |= disk_of(read_text(f"/sys/class/block/{name}/dev"))
    return found


def used_disks() -> dict[str, str]:
    """Return disk -> where it is mounted, or `swap`."""
    used: dict[str, str] = {}
    for line in read_text("/proc/self/mountinfo").splitlines():
        words = line.split()
        numbers = {words[2]}
        source = words[words.index("-") + 2]
        if source.startswith("/dev/"):
            numbers.add(number_of(source))
        for name in {name for number in numbers for name in disk_of(number)}:
            if words[4] == "/" or name not in used:
                used[name] = words[4]
    for line in read_text("/proc/swaps").splitlines()[1:]:
        for name in disk_of(number_of(line.split()[0])):
            used.setdefault(name, "swap")
    return used


def number_of(path: str) -> str:
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}" if stat.S_ISBLK(status.st_mode) else ""


def serial_of(folder: str) -> str:
    """Return a disk's serial number, else that of the USB device that it hangs on."""
    for place in (f"{folder}/serial", f"{folder}/device/serial"):
        if text := read_text(place):
            return text
    while folder not in ("/", ""):
        folder = os.path.dirname(folder)
        if os.path.exists(f"{folder}/idVendor"):
            return read_text(f"{folder}/serial")
    return ""


def transport_of(folder: str) -> str:
    """Return how a disk is attached; "volume": it is made of others."""
    name = os.path.basename(folder)
    if re.match(r"(dm-|md|nbd)", name):
        return "volume"
    if name.startswith("loop"):
        return "loop"
    ways = {"/usb": "usb", "/mmc": "mmc", "/nvme": "nvme", "/ata": "sata", "/virtio": "virtio"}
    return next((way for sign, way in ways.items() if sign in folder), "other")


def look(path: str) -> dict[str, Any]:
    """Return what is known of a target, with the reason why it must not be written, or ""."""
    facts: dict[str, Any] = {"path": path, "size": 0, "model": "", "serial": "", "transport": "", "refusal": ""}
    facts["is_device"] = False
    try:
        status = os.stat(path)
    except FileNotFoundError:
        if path.startswith("/dev/"):
            facts["refusal"] = "there is no such device"
        elif not os.path.isdir(os.path.dirname(path)):
            facts["refusal"] = "there is no folder for this file"
        return facts
    if stat.S_ISREG(status.st_mode):
        return facts
    if not stat.S_ISBLK(status.st_mode):
        facts["refusal"] = "it is neither a disk nor a file"
        return facts
    number = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
    folder = os.path.realpath(f"/sys/dev/block/{number}")
    name = os.path.basename(folder)
    facts.update(
        is_device=True,
        size=int(read_text(f"{folder}/size") or 0) * 512,
        model=read_text(f"{folder}/device/model") or read_text(f"{folder}/device/name"),
        serial=serial_of(folder),
        transport=transport_of(folder),
    )
    used = used_disks()
    if os.path.exists(f"{folder}/partition"):
        facts["refusal"] = "it is a partition, not a disk"
    elif used.get(name) == "/":
        facts["refusal"] = "this machine runs from it"
    elif name in used:
        where = used[name]
        facts["refusal"] = "it is used as swap" if where == "swap" else f"it is mounted at {where}"
    elif read_text(f"{folder}/ro") == "1":
        facts["refusal"] = "it is locked against writing"
    elif (below := read_text(f"{folder}/loop/backing_file")).startswith("/dev/"):
        facts["refusal"] = f"it is another name of {below}"
    elif re.fullmatch(r"(zram|ram)\d+", name):
        facts["refusal"] = "it is memory"
    return facts


class Disk:
    """The open target."""

    def __init__(self, facts: dict[str, Any], order: dict[str, Any]) -> None:
        if facts["refusal"]:
            raise Refused("refused", facts["refusal"])
        if any(facts[key] != value for key, value in order.get("expect", {}).items()):
            raise Refused("refused", "it is not the disk that it was a moment ago")
        self.path, self.is_device = facts["path"], facts["is_device"]
        self.mark = bytes.fromhex(order["mark"])
        self.is_marked = False
        flags = os.O_RDWR | os.O_CLOEXEC | (os.O_EXCL if self.is_device else os.O_CREAT)
        try:
            self.fd = os.open(self.path, flags, 0o600)
            fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            kind = "busy" if error.errno in (errno.EBUSY, errno.EAGAIN) else "refused"
            raise Refused(kind, f"it cannot be opened: {error.strerror}") from error
        self.size = os.lseek(self.fd, 0, os.SEEK_END) if self.is_device else 0
        if self.is_device and order["size"] and order["size"] > self.size:
            raise Refused("refused", f"the image has {order['size']} bytes, and it only {self.size}")

    def write(self, data: bytes, offset: int) -> None:
        if self.is_device and offset + len(data) > self.size:
            raise Refused("bad", f"the image is larger than its {self.size} bytes", offset)
        done = 0
        while done < len(data):
            try:
                done += os.pwrite(self.fd, data[done:], offset + done)
            except OSError as error:
                raise Refused("bad", f"it cannot be written: {error.strerror}", offset + done) from error

    def zero(self, offset: int, length: int) -> None:
        for at in range(offset, offset + length, STEP):
            step = min(STEP, offset + length - at)
            if self.is_device:
                with contextlib.suppress(OSError):  # not known or not aligned: they are written
                    fcntl.ioctl(self.fd, _BLKZEROOUT, struct.pack("QQ", at, step))
                    continue
            elif at >= os.fstat(self.fd).st_size:
                os.ftruncate(self.fd, at + step)
                continue
            for part in range(at, at + step, MOST):
                self.write(bytes(min(MOST, at + step - part)), part)

    def begin(self) -> None:
        """Let it be unfinished: a mark instead of a partition table, at both ends."""
        if not self.is_device:
            os.ftruncate(self.fd, 0)
        else:
            tail = min(self.size, 1 << 20)
            self.zero(0, tail)
            self.zero(self.size - tail, tail)
        self.put_mark()

    def put_mark(self) -> None:
        self.write(self.mark.ljust(FIRST, b"\0"), 0)
        self.flush()
        self.is_marked = True

    def end(self, head: bytes, digest: bytes, size: int) -> None:
        """Put the first bytes where the mark is, 4 KiB of them last of all; where they do not stay, mark it again."""
        self.write(head[FIRST:], FIRST)
        if not self.is_device:
            os.ftruncate(self.fd, size)
        self.flush()
        self.is_marked = False
        try:
            self.write(head[:FIRST], 0)
            self.flush()
            self.check(0, len(head), digest)
        except Refused:
            with contextlib.suppress(Refused):
                self.put_mark()
            raise

    def flush(self) -> None:
        try:
            os.fsync(self.fd)
            os.posix_fadvise(self.fd, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            raise Refused("bad", f"it does not keep what was written: {error.strerror}", 0) from error

    def check(self, offset: int, length: int, digest: bytes | None) -> None:
        """Read back; `digest` None: zeros."""
        found = hashlib.sha256()
        for at in range(offset, offset + length, MOST):
            want = min(MOST, offset + length - at)
            try:
                part = os.pread(self.fd, want, at)
            except OSError as error:
                raise Refused("bad", f"it cannot be read: {error.strerror}", at) from error
            if len(part) < want or (digest is None and part.count(0) != len(part)):
                raise Refused("bad", "it does not hold what was written", at)
            found.update(part)
        if digest is not None and found.digest() != digest:
            raise Refused("bad", "it does not hold what was written", offset)


def take(count: int) -> bytes:
    """Read so many bytes; the connection may end in the middle."""
    signal.alarm(IDLE_S)
    data = sys.stdin.buffer.read(count)
    signal.alarm(0)
    if len(data) < count:
        raise Refused("cut", "the connection ended before the image did")
    return data


def receive(disk: Disk, order: dict[str, Any]) -> None:
    parts: list[tuple[int, int, bytes | None]] = []
    written = told = 0
    while True:
        kind, offset, length, digest = FRAME.unpack(take(FRAME.size))
        if kind == END:
            break
        if kind == DATA and length <= MOST:
            data = take(length)
            if hashlib.sha256(data).digest() != digest:
                raise Refused("bad", "the bytes changed on their way", offset)
            disk.write(data, offset)
            parts.append((offset, length, digest))
        elif kind == ZERO:
            disk.zero(offset, length)
            parts.append((offset, length, None))
        else:
            raise Refused("protocol", f"a frame of kind {kind}")
        written += length
        if written - told >= STEP // 8:
            told = written
            tell(written=written)
    tell(written=written)
    disk.flush()
    if order["verify"]:
        done = 0
        for offset, length, digest in parts:
            disk.check(offset, length, digest)
            done += length
            tell(verified=done)
    tell(body=written)  # so that whoever cancels before has a marked disk for certain
    kind, size, length, digest = FRAME.unpack(take(FRAME.size))
    data = take(length) if kind == HEAD and length <= MOST else b""
    if not data or hashlib.sha256(data).digest() != digest:
        raise Refused("protocol", "the first bytes did not come whole")
    disk.end(data, digest, size)
    if disk.is_device:
        with contextlib.suppress(OSError):  # a loop device may have no partitions
            fcntl.ioctl(disk.fd, _BLKRRPART)
    tell(done=written + length)


def main() -> None:
    signal.alarm(IDLE_S)
    order = json.loads(sys.stdin.buffer.readline())
    signal.alarm(0)
    try:
        facts = look(order["path"])
        if order["do"] == "look":
            tell(**facts)
            return
        disk = Disk(facts, order)
    except Refused as error:
        tell(error=error.kind, message=error.message, offset=error.offset, marked=False)
        return
    try:
        disk.begin()
        tell(ready=disk.size)
        receive(disk, order)
    except Refused as error:
        tell(error=error.kind, message=error.message, offset=error.offset, marked=disk.is_marked)


if __name__ == "__main__":
    main()
