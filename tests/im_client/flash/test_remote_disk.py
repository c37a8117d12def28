"""Disks of other machines: how they are named, and which may be written."""

import pytest

from im_client.flash.remote_disk import RemoteDisk, RemoteFacts, parse_remote, refuse_remote
from im_client.remote.access import Access
from infracore.errors import InvalidUsage

GIB = 1 << 30
DISK = RemoteDisk("pi-1", Access("pi-1.local", user="ana"), "/dev/sda")
WORD = "ssh://ana@pi-1.local/dev/sda"


def facts(size: int = 32 * GIB, transport: str = "usb", refusal: str = "", is_device: bool = True) -> RemoteFacts:
    return RemoteFacts(size, "SanDisk", "4C53", transport, is_device, refusal)


def refuse(seen: RemoteFacts, *, image_size: int | None = None, is_forced: bool = False) -> None:
    refuse_remote(DISK, seen, image_size=image_size, is_forced=is_forced, force=WORD)


@pytest.mark.parametrize(
    "seen", [facts(), facts(transport="nvme"), facts(500 * GIB // 2, "mmc"), facts(0, "", is_device=False)]
)
def test_the_disks_of_a_board_may_be_written(seen: RemoteFacts) -> None:
    refuse(seen, image_size=0)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (facts(4000 * GIB), "larger than cards are"),
        (facts(transport="sata"), "sata"),
        (facts(transport="volume"), "a volume"),
    ],
)
def test_a_disk_that_is_somebodys_is_written_only_when_it_is_named(seen: RemoteFacts, why: str) -> None:
    with pytest.raises(InvalidUsage, match=why) as caught:
        refuse(seen)
    assert "SanDisk" in caught.value.message
    assert "serial 4C53" in caught.value.message
    assert caught.value.hint.endswith(f"--force-device {WORD}")
    refuse(seen, is_forced=True)


@pytest.mark.parametrize(
    ("seen", "why"),
    [
        (facts(refusal="this machine runs from it"), "runs from it"),
        (facts(refusal="it is used as swap"), "swap"),
        (facts(0), "no card"),
        (facts(GIB), "the image has"),
    ],
)
def test_nothing_forces_what_cannot_be(seen: RemoteFacts, why: str) -> None:
    with pytest.raises(InvalidUsage, match=why):
        refuse(seen, image_size=2 * GIB, is_forced=True)


@pytest.mark.parametrize(
    ("text", "user", "host", "port", "path"),
    [
        ("ssh://pi@pi-1.local/dev/nvme0n1", "pi", "pi-1.local", 22, "/dev/nvme0n1"),
        ("ssh://10.0.0.2:2222/dev/sda", "root", "10.0.0.2", 2222, "/dev/sda"),
        ("ssh://pi@[fe80::1]/srv/a%20disk.img", "pi", "fe80::1", 22, "/srv/a disk.img"),
    ],
)
def test_the_place_of_a_disk_is_read(text: str, user: str, host: str, port: int, path: str) -> None:
    access, found = parse_remote(text)
    assert (access.user, access.address, access.port, found) == (user, host, port, path)
    assert access.become is (user != "root")


@pytest.mark.parametrize(
    "text",
    [
        "/dev/sda",
        "ssh://pi-1",
        "ssh://pi-1/",
        "http://x/dev/sda",
        "ssh://a:b@c/dev/sda",
        "ssh://c:x/dev/sda",
        "ssh://c/a/../b",
        "ssh://c/dev/",
    ],
)
def test_what_is_no_place_of_a_disk_is_refused(text: str) -> None:
    with pytest.raises(InvalidUsage):
        parse_remote(text)
