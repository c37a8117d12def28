"""`im flash` on loop devices as cards: all that is done with a real card but pulling it out."""

import gzip
import json
import lzma
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from im_client.flash.claim import claimed
from im_client.flash.devices import look_at
from im_client.flash.write import is_unfinished
from im_client.remote.hostkeys import find_known_host
from tests.im_client.flash.customise.pi_images import KEY, Disk, make_disk
from tests.im_client.flash.loops import MIB, cards, loop_device, with_bad_block

pytestmark = [pytest.mark.loop, pytest.mark.mtools]
SIZE = 64 * MIB
BAD = 9 * MIB + 4096
"""In the second page of the root partition of these images."""


@dataclass(frozen=True)
class Flash:
    """Runs `im flash` with a state of its own."""

    folder: Path

    def start(self, *words: str) -> "subprocess.Popen[str]":
        environment = {
            "PYTHONPATH": ":".join(sys.path),
            "PATH": "/usr/sbin:/sbin:/usr/bin:/bin",
            "HOME": str(self.folder),
            "IM_STATE_DIR": str(self.folder / "state"),
        }
        argv = [sys.executable, "-m", "im_client.cli.main", "flash", *words]
        return subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )

    def __call__(self, *words: str, nodes: dict[str, Path] | None = None) -> tuple[int, str, str]:
        given = {
            name: {
                "raspberry_pi_device": str(device),
                "raspberry_pi_node": {
                    "user": "ana",
                    "authorized_keys": [KEY],
                    "wifi": {"ssid": "lab", "country": "ES", "passphrase": "correct horse battery"},
                    "k3s_cgroups": True,
                },
            }
            for name, device in (nodes or {}).items()
        }
        more = ("--nodes", "-", "--all") if nodes else ()
        child = self.start(*words, *more, "-y")
        out, err = child.communicate(json.dumps(given), timeout=120)
        return child.returncode, out, err

    @property
    def known_hosts(self) -> str:
        return (self.folder / "state" / "raspberry_pi" / "known_hosts").read_text()


@pytest.fixture
def flash(tmp_path: Path) -> Flash:
    return Flash(tmp_path)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    folder = tmp_path / "make"
    folder.mkdir()
    packed = tmp_path / "pi.img.xz"
    packed.write_bytes(lzma.compress(make_disk(folder).path.read_bytes(), preset=0))
    return packed


def report_of(out: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert report["type"] == "report"
    return report


def expect_node(device: Path, name: str, flash: Flash, tmp_path: Path) -> None:
    """Look at a card by programs of others: boot files, file systems, host key, secrets."""
    disk = Disk(device)
    assert {"config.txt", "cmdline.txt", "user-data", "network-config", "im-clues.json"} <= disk.boot_names()
    assert f"hostname: {name}" in disk.boot("user-data")
    assert "cgroup_enable=memory" in disk.boot("cmdline.txt")
    disk.fsck(tmp_path)
    public = disk.root("/etc/ssh/im_host_ed25519_key.pub").strip()
    assert public == find_known_host(flash.known_hosts, f"{name}.local", 22)
    assert disk.root_mode("/etc/ssh/im_host_ed25519_key") == "0600"
    assert b"PRIVATE KEY" not in disk.boot_bytes()
    assert b"correct horse" not in disk.boot_bytes()


def test_four_cards_at_once_are_customised_read_back_and_clean(flash: Flash, image: Path, tmp_path: Path) -> None:
    with cards(tmp_path, 4, SIZE) as devices:
        nodes = {f"pi-{number}": device for number, device in enumerate(devices, 1)}
        status, out, err = flash(str(image), "--json", nodes=nodes)
        assert status == 0, err
        assert {(c["name"], c["state"], c["verified"]) for c in report_of(out)["cards"]} == {
            (name, "done", True) for name in nodes
        }
        for name, device in nodes.items():
            expect_node(device, name, flash, tmp_path)
        status, out, _ = flash(str(image), "--json", "--if-needed", nodes=nodes)
        assert (status, report_of(out)["changed"]) == (0, False)
    keys = [line.split()[2] for line in flash.known_hosts.splitlines() if ".local" in line]
    assert len(set(keys)) == 4


def test_a_bad_block_is_reported_by_node_and_offset_and_the_others_are_good(
    flash: Flash, image: Path, tmp_path: Path
) -> None:
    with cards(tmp_path, 3, SIZE) as devices, with_bad_block(tmp_path / "bad", SIZE, BAD) as bad:
        nodes = {f"pi-{number}": device for number, device in enumerate([*devices, bad], 1)}
        status, out, err = flash(str(image), "--json", nodes=nodes)
        assert status == 4, err
        *good, failed = report_of(out)["cards"]
        assert {c["state"] for c in good} == {"done"}
        for name, device in list(nodes.items())[:3]:
            expect_node(device, name, flash, tmp_path)
        assert (failed["name"], failed["state"], failed["unfinished"]) == ("pi-4", "failed", True)
        assert failed["error"]["code"] == "bad-block"
        assert failed["error"]["offset"] <= BAD < failed["error"]["offset"] + 65536
        assert f"pi-4 ({bad})" in failed["error"]["message"]
        assert str(failed["error"]["offset"]) in failed["error"]["message"]
        assert is_unfinished(bad)
        assert "pi-4" not in flash.known_hosts


def refused(flash: Flash, image: Path, device: Path, file: Path, said: str, *words: str) -> None:
    """Expect exit code 2, a message and a hint, and that not a byte changed."""
    before = file.read_bytes()
    status, out, err = flash(str(image), str(device), *words)
    assert (status, out) == (2, "")
    assert said in err
    assert "hint: " in err
    subprocess.run(["sync"], check=True, timeout=60)
    assert file.read_bytes() == before


def test_a_card_that_is_not_to_be_written_is_refused(flash: Flash, image: Path, tmp_path: Path) -> None:
    with cards(tmp_path, 1, 16 * MIB) as (small,):
        said = "the image has at least 21 MiB (22020096 bytes), and it only 16 MiB (16777216 bytes)"
        refused(flash, image, small, tmp_path / "card-0.img", said)
        gz = tmp_path / "image.gz"
        gz.write_bytes(gzip.compress(lzma.decompress(image.read_bytes()), 1))
        refused(flash, gz, small, tmp_path / "card-0.img", said)
    file = tmp_path / "locked.img"
    file.write_bytes(bytes(SIZE))
    with loop_device(file, read_only=True) as locked:
        refused(flash, image, locked, file, "it is read-only")


def test_a_partition_is_refused_for_its_disk(flash: Flash, image: Path, tmp_path: Path) -> None:
    disk = lzma.decompress(image.read_bytes())
    file = tmp_path / "disk.img"
    file.write_bytes(disk)
    with loop_device(file) as device:
        subprocess.run(["blockdev", "--rereadpt", str(device)], check=False, timeout=30, capture_output=True)
        subprocess.run(["partx", "--add", str(device)], check=False, timeout=30, capture_output=True)
        part = Path(f"{device}p1")
        try:
            refused(flash, image, part, file, f"it is a partition of {device.name}")
        finally:
            subprocess.run(["partx", "--delete", str(device)], check=True, timeout=30)


@contextmanager
def ext4_card(tmp_path: Path) -> Any:
    file = tmp_path / "used.img"
    file.write_bytes(bytes(SIZE))
    with loop_device(file) as device:
        subprocess.run(["mke2fs", "-q", "-t", "ext4", str(device)], check=True, timeout=60)
        yield device, file


def test_a_mounted_card_is_refused(flash: Flash, image: Path, tmp_path: Path) -> None:
    point = tmp_path / "mounted here"
    point.mkdir()
    with ext4_card(tmp_path) as (device, file):
        subprocess.run(["mount", "-o", "ro", str(device), str(point)], check=True, timeout=60)
        try:
            said = f"{device.name} is mounted on {point}"
            refused(flash, image, device, file, said)
            refused(flash, image, device, file, said, "--force-device", str(device))
        finally:
            subprocess.run(["umount", str(point)], check=True, timeout=60)


def test_a_card_that_is_mounted_where_we_cannot_see_it_is_refused(flash: Flash, image: Path, tmp_path: Path) -> None:
    with ext4_card(tmp_path) as (device, file):
        inside = ["unshare", "--mount", "sh", "-c", f"mount -o ro {device} /mnt && echo mounted && read _"]
        with subprocess.Popen(inside, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
            assert other.stdin is not None
            assert other.stdout is not None
            assert other.stdout.readline() == "mounted\n"
            try:
                before = file.read_bytes()
                status, _, err = flash(str(image), str(device))
                assert status == 2
                assert "the kernel says that it is in use" in err
                assert file.read_bytes() == before
            finally:
                other.stdin.close()
                other.wait(30)


def test_of_two_that_write_one_card_the_second_is_refused(flash: Flash, image: Path, tmp_path: Path) -> None:
    with cards(tmp_path, 1, SIZE) as (device,):
        with claimed(look_at(device)):
            status, _, err = flash(str(image), str(device))
            assert status == 6
            assert f"{device} is being written by another process" in err
        assert flash(str(image), str(device))[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_card_whose_writing_was_cut_off_is_unfinished_and_is_written_by_the_same_command(
    flash: Flash, image: Path, tmp_path: Path, number: int
) -> None:
    large = tmp_path / "large.img"
    with large.open("wb") as out:
        out.write(lzma.decompress(image.read_bytes()))
        for block in range(256):
            out.write(bytes([block % 255 + 1]) * MIB)
    file = tmp_path / "card.img"
    file.write_bytes(bytes(300 * MIB))
    with loop_device(file) as device:
        with flash.start(str(large), str(device), "-y", "--json") as child:
            assert child.stdout is not None
            next(line for line in child.stdout if '"progress"' in line)
            ends = time.monotonic() + 60
            while not is_unfinished(device):  # the first thing that is written
                assert time.monotonic() < ends
            child.send_signal(number)
            out = child.stdout.read()
            assert child.wait(60) == (130 if number is signal.SIGINT else -signal.SIGKILL)
        assert is_unfinished(device)
        if number is signal.SIGINT:
            (card,) = report_of(out)["cards"]
            assert (card["state"], card["unfinished"]) == ("cancelled", True)
        status, _, err = flash(str(large), nodes={"web": device})
        assert status == 0, err
        assert not is_unfinished(device)
        expect_node(device, "web", flash, tmp_path)
