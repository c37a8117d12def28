"""A disk of another machine is flashed over a real ssh, and left in a clear state whatever happens."""

import ast
import contextlib
import errno
import fcntl
import gzip
import hashlib
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from im_client.flash import remote_receiver as receiver
from im_client.flash.bmap import BlockMap, Range
from im_client.flash.model import BadImage, Phase, Progress, State
from im_client.flash.remote_disk import RemoteDisk
from im_client.flash.remote_flash import flash_remote, look_remote, reboot
from im_client.flash.write import UNFINISHED
from im_client.remote.hostkeys import new_key_pair
from infracore.errors import Conflict, InvalidUsage, Misconfigured, Transient, Unauthorised, Unsupported
from infracore.secrets import Secret
from tests.im_client.flash.loops import loop_device, with_bad_block
from tests.im_client.remote.loopback import Loopback, serve
from tests.rigs.needs import need_programs, need_root

MIB = 1 << 20
RECEIVER = [sys.executable, receiver.__file__]
sshd = pytest.mark.sshd


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Loopback]:
    need_programs("sshd", "ssh")
    made = serve(tmp_path / "server")
    try:
        yield made
    finally:
        made.stop()


def image(path: Path, size: int = 24 * MIB) -> bytes:
    """Make an image with a head, something in the middle, zeros, and an odd end; return its bytes."""
    dice = random.Random(6)
    whole = bytearray(size - 512)
    whole[: 2 * MIB] = dice.randbytes(2 * MIB)
    whole[9 * MIB + 4096 : 13 * MIB] = dice.randbytes(4 * MIB - 4096)
    whole[-1000:] = dice.randbytes(1000)
    with path.open("wb") as out:
        out.truncate(len(whole))
        for at in range(0, len(whole), 4096):
            if any(part := whole[at : at + 4096]):
                out.seek(at)
                out.write(part)
    return bytes(whole)


def disk(server: Loopback, path: Path | str, python: str = sys.executable) -> RemoteDisk:
    return RemoteDisk("pi-1", replace(server.access, python=python), str(path))


@sshd
@pytest.mark.parametrize("pack", ["raw", "xz", "gz"])
def test_an_image_arrives_whole_and_is_read_back(server: Loopback, tmp_path: Path, pack: str) -> None:
    source, target = tmp_path / "image", tmp_path / "disk.img"
    whole = image(source)
    if pack == "xz":
        source = tmp_path / "image.xz"
        source.write_bytes(lzma.compress(whole, preset=0))
    if pack == "gz":  # it does not say how large it is
        source = tmp_path / "image.gz"
        source.write_bytes(gzip.compress(whole, 1))
    target.write_bytes(b"old" * MIB * 10)
    seen: list[Progress] = []
    result = flash_remote(source, disk(server, target), on_progress=seen.append, cancel=threading.Event())
    assert (result.state, result.verified, result.error) == (State.DONE, True, None)
    assert result.size == len(whole)
    assert target.read_bytes() == whole
    assert target.stat().st_blocks * 512 < 16 * MIB  # holes stay holes
    assert {one.phase for one in seen} >= {Phase.WRITE}
    assert all(one.name == "pi-1" for one in seen)


@sshd
@pytest.mark.loop
def test_a_disk_that_held_something_holds_the_image_alone(server: Loopback, tmp_path: Path) -> None:
    need_root()
    need_programs("losetup")
    backing, source = tmp_path / "backing", tmp_path / "image"
    whole = image(source)
    backing.write_bytes(b"\xaa" * (len(whole) + 512 + 4 * MIB))
    made = subprocess.run(["losetup", "--find", "--show", backing], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no loop device can be made: {made.stderr.strip()}")
    device = made.stdout.strip()
    try:
        facts = look_remote(disk(server, device))
        assert (facts.size, facts.is_device, facts.refusal) == (len(whole) + 512 + 4 * MIB, True, "")
        result = flash_remote(source, disk(server, device), cancel=threading.Event())
        small = flash_remote(source, disk(server, device), size=len(whole), cancel=threading.Event())
    finally:
        subprocess.run(["losetup", "-d", device], check=True)
    assert (result.state, small.state) == (State.DONE, State.DONE)
    after = backing.read_bytes()
    assert after[: len(whole)] == whole
    assert after[-MIB:] == bytes(MIB)  # no copy of an older partition table


@sshd
def test_only_what_a_map_names_is_sent(server: Loopback, tmp_path: Path) -> None:
    source, target = tmp_path / "image", tmp_path / "disk.img"
    whole = image(source)
    blocks = BlockMap(len(whole), (Range(0, 2 * MIB), Range(9 * MIB, MIB)))
    result = flash_remote(source, disk(server, target), blocks=blocks, cancel=threading.Event())
    assert result.state is State.DONE
    after = target.read_bytes()
    assert len(after) == len(whole)
    assert after[: 2 * MIB] == whole[: 2 * MIB]
    assert after[9 * MIB : 10 * MIB] == whole[9 * MIB : 10 * MIB]
    assert after[10 * MIB :] == bytes(len(whole) - 10 * MIB)


def wrapper(folder: Path) -> str:
    """Return a `python3` that leaves its own number and its parent's."""
    path = folder / "python"
    path.write_text(f'#!/bin/sh\necho $$ $PPID > {folder}/pids\nexec {sys.executable} "$@"\n')
    path.chmod(0o755)
    return str(path)


@sshd
@pytest.mark.parametrize("victim", [0, 1], ids=["program", "session"])
def test_a_connection_that_breaks_leaves_a_disk_that_says_so(server: Loopback, tmp_path: Path, victim: int) -> None:
    source, target = tmp_path / "image", tmp_path / "disk.img"
    source.write_bytes(random.Random(1).randbytes(24 * MIB))

    def cut(_progress: Progress) -> None:
        pid = int((tmp_path / "pids").read_text().split()[victim])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    result = flash_remote(source, disk(server, target, wrapper(tmp_path)), on_progress=cut, cancel=threading.Event())
    assert result.state is State.FAILED
    assert isinstance(result.error, Transient)
    assert "pi-1" in result.error.message
    assert "flash it again" in result.error.hint
    assert target.read_bytes()[: len(UNFINISHED)] == UNFINISHED
    again = flash_remote(source, disk(server, target), cancel=threading.Event())
    assert again.state is State.DONE
    assert target.read_bytes() == source.read_bytes()


@sshd
def test_who_cancels_is_told_how_the_disk_is_left(server: Loopback, tmp_path: Path) -> None:
    source, target, cancel = tmp_path / "image", tmp_path / "disk.img", threading.Event()
    image(source)
    result = flash_remote(source, disk(server, target), on_progress=lambda _: cancel.set(), cancel=cancel)
    assert result.state is State.CANCELLED
    assert result.error is not None
    assert "marked unfinished" in result.error.message
    assert target.read_bytes()[: len(UNFINISHED)] == UNFINISHED


@sshd
def test_who_cancels_while_it_is_read_back_has_a_marked_disk(server: Loopback, tmp_path: Path) -> None:
    source, target, cancel = tmp_path / "image", tmp_path / "disk.img", threading.Event()
    image(source, 80 * MIB)

    def told(progress: Progress) -> None:
        if progress.phase is Phase.VERIFY:
            cancel.set()

    result = flash_remote(source, disk(server, target), on_progress=told, cancel=cancel)
    assert result.state is State.CANCELLED
    assert result.error is not None
    assert "; it is marked unfinished" in result.error.message
    assert target.read_bytes()[: len(UNFINISHED)] == UNFINISHED


DIES_AT_THE_END = f"""#!{sys.executable}
import struct, sys
take, say = sys.stdin.buffer.read, lambda words: print(words, flush=True)
take(int(sys.stdin.buffer.readline())), sys.stdin.buffer.readline()
say('{{"ready": 0}}')
kind = 0
while kind != {receiver.HEAD}:
    kind, _, length, _ = struct.unpack("!BQQ32s", take(49))
    take(length if kind in (1, {receiver.HEAD}) else 0)
    if kind == {receiver.END}:
        say('{{"body": 7}}')
"""


@sshd
def test_a_machine_that_is_gone_at_the_last_block_leaves_it_unknown(server: Loopback, tmp_path: Path) -> None:
    source, python = tmp_path / "image", tmp_path / "python"
    image(source)
    python.write_text(DIES_AT_THE_END)
    python.chmod(0o755)
    result = flash_remote(source, disk(server, tmp_path / "disk.img", str(python)), cancel=threading.Event())
    assert isinstance(result.error, Transient)
    assert "which is not known" in result.error.message
    assert "marked unfinished, and nothing boots" not in result.error.message


@sshd
def test_what_must_not_be_written_is_refused_and_stays(server: Loopback, tmp_path: Path) -> None:
    source = tmp_path / "image"
    image(source)
    for path, reason in (("/dev/im-no-such", "no such device"), ("/dev/null", "neither"), ("/none/x", "no folder")):
        assert reason in look_remote(disk(server, path)).refusal
        result = flash_remote(source, disk(server, path), cancel=threading.Event())
        assert isinstance(result.error, InvalidUsage)
        assert reason in result.error.message
    roots = [name for name, where in receiver.used_disks().items() if where == "/"]
    for name in roots:
        result = flash_remote(source, disk(server, f"/dev/{name}"), cancel=threading.Event())
        assert result.error is not None
        assert "runs from it" in result.error.message
        assert "from the network" in result.error.hint
    assert not Path("/dev/im-no-such").exists()


@sshd
def test_an_impostor_and_a_stranger_get_nothing(server: Loopback, tmp_path: Path) -> None:
    source, target = tmp_path / "image", tmp_path / "disk.img"
    image(source)
    good = disk(server, target)
    ways = {
        Conflict: replace(good.access, host_key=new_key_pair()[0]),
        Unauthorised: replace(good.access, private_key=new_key_pair()[1]),
        Misconfigured: replace(good.access, python="/no/python3"),
    }
    for kind, access in ways.items():
        result = flash_remote(source, replace(good, access=access), cancel=threading.Event())
        assert isinstance(result.error, kind), result.error
        with pytest.raises(kind):
            look_remote(replace(good, access=access))
    with pytest.raises(Unsupported):
        look_remote(replace(good, access=replace(good.access, password=Secret("x"))))
    assert not target.exists()


@sshd
def test_a_broken_image_is_refused_or_leaves_an_unfinished_disk(server: Loopback, tmp_path: Path) -> None:
    source, target = tmp_path / "image.xz", tmp_path / "disk.img"
    packed = lzma.compress(random.Random(2).randbytes(12 * MIB), preset=0)
    source.write_bytes(packed[:-4000])
    with pytest.raises(BadImage):
        flash_remote(source, disk(server, target), cancel=threading.Event())
    assert not target.exists()
    source.write_bytes(packed)
    result = flash_remote(source, disk(server, target), sha256="0" * 64, cancel=threading.Event())
    assert isinstance(result.error, BadImage)
    assert target.read_bytes()[: len(UNFINISHED)] == UNFINISHED


@sshd
def test_a_machine_is_told_to_restart(server: Loopback) -> None:
    reboot(server.access)
    assert (server.home / "power.log").read_text() == "systemctl reboot\n"


def order(path: Path, **more: object) -> bytes:
    return (
        json.dumps({"do": "write", "path": str(path), "size": 0, "verify": True, "mark": "00", **more}).encode() + b"\n"
    )


def frame(kind: int, offset: int, data: bytes, digest: bytes | None = None) -> bytes:
    return receiver.FRAME.pack(kind, offset, len(data), digest or hashlib.sha256(data).digest()) + data


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        (frame(receiver.DATA, 8192, b"x" * 10, bytes(32)), {"error": "bad", "offset": 8192}),
        (frame(9, 0, b"x"), {"error": "protocol", "offset": None}),
        (frame(receiver.DATA, 0, b"xyz")[:-1], {"error": "cut", "offset": None}),
        (frame(receiver.END, 0, b"") + frame(receiver.DATA, 0, b"x"), {"error": "protocol", "offset": None}),
        (b"", {"error": "cut", "offset": None}),
    ],
)
def test_the_receiver_says_what_is_wrong_with_what_it_gets(
    tmp_path: Path, frames: bytes, error: dict[str, object]
) -> None:
    done = subprocess.run(
        RECEIVER,
        input=order(tmp_path / "disk.img", mark=UNFINISHED.hex()) + frames,
        capture_output=True,
        timeout=60,
        check=False,
    )
    last = json.loads(done.stdout.splitlines()[-1])
    assert {key: last[key] for key in error} == error
    assert (tmp_path / "disk.img").read_bytes()[: len(UNFINISHED)] == UNFINISHED


@pytest.mark.parametrize("is_dead", [False, True], ids=["lies", "dies"])
def test_a_disk_that_loses_its_first_bytes_is_marked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_dead: bool
) -> None:
    path, head = tmp_path / "disk.img", b"\x55" * MIB
    made = receiver.Disk(receiver.look(str(path)), {"size": 0, "mark": UNFINISHED.hex()})
    made.begin()

    def lost(_fd: int, count: int, _at: int) -> bytes:
        if is_dead:
            monkeypatch.setattr(os, "pwrite", dead)
        return bytes(count)

    def dead(_fd: int, _data: bytes, _at: int) -> int:
        raise OSError(errno.EIO, "gone")

    monkeypatch.setattr(os, "pread", lost)
    with pytest.raises(receiver.Refused, match="does not hold"):
        made.end(head, hashlib.sha256(head).digest(), len(head))
    os.close(made.fd)
    assert made.is_marked is not is_dead
    assert path.read_bytes()[:512] == (head[:512] if is_dead else UNFINISHED.ljust(512, b"\0"))


@pytest.mark.loop
def test_a_bad_block_near_the_begin_leaves_a_marked_disk(tmp_path: Path) -> None:
    need_root()
    whole = b"\x55" * (2 * MIB)
    frames = frame(receiver.DATA, MIB, whole[MIB:]) + frame(receiver.END, 0, b"")
    frames += frame(receiver.HEAD, len(whole), whole[:MIB])
    with with_bad_block(tmp_path / "card", 8 * MIB, 64 << 10) as device:
        words = order(device, mark=UNFINISHED.hex()) + frames
        done = subprocess.run(RECEIVER, input=words, capture_output=True, timeout=60, check=False)
        last = json.loads(done.stdout.splitlines()[-1])
        assert (last["error"], last["marked"]) == ("bad", True)
        assert device.read_bytes()[:512] == UNFINISHED.ljust(512, b"\0")


def test_a_disk_that_was_changed_since_it_was_agreed_to_is_not_written(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"other")
    words = order(path, expect={"is_device": True, "size": 7, "model": "", "serial": "4C53"})
    done = subprocess.run(RECEIVER, input=words, capture_output=True, timeout=60, check=False)
    assert json.loads(done.stdout)["error"] == "refused"
    assert path.read_bytes() == b"other"


def test_a_usb_disk_has_the_serial_number_of_what_is_plugged_in(tmp_path: Path) -> None:
    usb = tmp_path / "pci0" / "usb2" / "2-1"
    sda = usb / "2-1:1.0" / "host0" / "block" / "sda"
    (sda / "device").mkdir(parents=True)
    (usb / "idVendor").write_text("0781\n")
    (usb / "serial").write_text("4C530001\n")
    assert (receiver.serial_of(str(sda)), receiver.transport_of(str(sda))) == ("4C530001", "usb")
    (sda / "device" / "serial").write_text("own\n")
    assert receiver.serial_of(str(sda)) == "own"
    assert receiver.transport_of("/sys/devices/virtual/block/dm-0") == "volume"
    assert receiver.serial_of(str(tmp_path / "pci0")) == ""


def test_two_writers_of_one_disk_are_kept_apart(tmp_path: Path) -> None:
    path = tmp_path / "disk.img"
    path.write_bytes(b"other")
    with path.open("rb+") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = subprocess.run(RECEIVER, input=order(path), capture_output=True, timeout=60, check=False)
    assert json.loads(done.stdout)["error"] == "busy"
    assert path.read_bytes() == b"other"


def test_the_receiver_needs_no_newer_python_than_it_says() -> None:
    ast.parse(Path(receiver.__file__).read_text(), feature_version=(3, 9))


@pytest.mark.loop
def test_a_loop_device_on_another_disk_is_refused_for_it_hides_what_is_mounted(tmp_path: Path) -> None:
    (tmp_path / "disk.img").write_bytes(bytes(1 << 20))
    with loop_device(tmp_path / "disk.img") as below, loop_device(below) as above:
        assert receiver.look(str(below))["refusal"] == ""
        assert receiver.look(str(above))["refusal"] == f"it is another name of {below}"
