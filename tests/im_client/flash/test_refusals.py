"""What must not be written is refused, with what, where, why and what to do next."""

from dataclasses import replace
from pathlib import Path

import pytest

from im_client.flash.devices import Device, Kind, Spot, Transport, Use
from im_client.flash.refusals import MOST_CARD_BYTES, Wish, refusals, said_twice
from infracore.errors import InfraError

GIB = 1 << 30
CARD = Device(
    name="sdb",
    path=Path("/dev/sdb"),
    size=32 * GIB,
    model="SanDisk Ultra",
    serial="4C53",
    transport=Transport.USB,
    is_removable=True,
)


def on(device: Device, *, kind: Kind = Kind.DISK, path: str = "", node: str = "", is_writable: bool = True) -> Wish:
    at = Path(path or device.path)
    return Wish(Spot(at, at, kind, device.size, device, is_writable), node)


def file(path: str, kind: Kind = Kind.FILE, *, is_writable: bool = True) -> Wish:
    return Wish(Spot(Path(path), Path(path), kind, 0, None, is_writable, frozenset({path})))


def refused(
    *wishes: Wish, size: int | None = 4 * GIB, forced: str = "", image: str = "/srv/pi.img"
) -> list[InfraError]:
    paths = frozenset({Path(forced)}) if forced else frozenset()
    return [*said_twice(wishes), *refusals(wishes, image=file(image).spot, image_size=size, forced=paths)]


CASES = [
    (on(replace(CARD, uses=(Use("/", "sdb2"), Use("swap", "sdb3")))), "the running system is on it (sdb2 is mount", 2),
    (on(replace(CARD, uses=(Use("/media/card", "sdb1"),))), "it is in use (sdb1 is mounted on /media/card)", 2),
    (on(replace(CARD, uses=(Use("held", "sdb1"),))), "it is in use (sdb1 is held by a volume", 2),
    (on(replace(CARD, size=MOST_CARD_BYTES + 1)), "it is larger than cards are (484.3 GiB)", 2),
    (on(replace(CARD, transport=Transport.SATA, is_removable=False)), "it is a disk inside this computer (sata)", 2),
    (on(CARD, kind=Kind.VOLUME), "it is a volume, and no card", 2),
    (
        on(replace(CARD, size=3 * GIB)),
        "the image has at least 4 GiB (4294967296 bytes), and it only 3 GiB (3221225472 bytes)",
        2,
    ),
    (on(replace(CARD, is_read_only=True)), "it is read-only", 2),
    (on(replace(CARD, size=0)), "there is no card in it", 2),
    (on(CARD, kind=Kind.PARTITION, path="/dev/sdb1"), "it is a partition of sdb", 2),
    (on(CARD, is_writable=False), "this user may not write to it", 5),
    (file("/dev/null", Kind.OTHER), "it is neither a block device nor a file", 2),
    (file("/dev/sdz", Kind.ABSENT), "there is no such device", 2),
    (file("/srv/pi.img"), "it is the image itself", 2),
    (file("/srv/out.img", is_writable=False), "this user may not write to it", 5),
    (file("/nowhere/out.img", Kind.ABSENT, is_writable=False), "its folder is not there", 2),
]


@pytest.mark.parametrize(("wish", "why", "code"), CASES, ids=[why for _, why, _ in CASES])
def test_each_refusal_says_where_why_and_what_next(wish: Wish, why: str, code: int) -> None:
    (error,) = refused(wish)
    assert error.message.startswith(str(wish.spot.path))
    assert why in error.message
    assert error.hint
    assert error.exit_code == code


def test_a_card_and_a_file_are_written() -> None:
    assert refused(on(CARD, node="a"), file("/srv/out.img"), file("/srv/new.img", Kind.ABSENT)) == []
    assert refused(on(CARD), size=CARD.size) == []
    assert refused(on(CARD), size=None) == []
    assert refused(on(replace(CARD, size=MOST_CARD_BYTES))) == []


def test_a_disk_is_known_by_model_size_and_serial() -> None:
    (error,) = refused(on(replace(CARD, is_read_only=True), node="web"))
    assert error.message == "web on /dev/sdb (SanDisk Ultra, 32 GiB, serial 4C53): not written: it is read-only"


def test_forcing_by_name_is_for_large_and_inner_disks_and_volumes_only() -> None:
    large = replace(CARD, size=MOST_CARD_BYTES * 2)
    assert refused(on(large), forced="/dev/sdb") == []
    assert len(refused(on(large), forced="/dev/sdc")) == 1
    assert refused(on(replace(CARD, transport=Transport.NVME, is_removable=False)), forced="/dev/sdb") == []
    assert refused(on(CARD, kind=Kind.VOLUME), forced="/dev/sdb") == []
    for uses in ((Use("/", "sdb1"),), (Use("/mnt", "sdb1"),), (Use("held", "sdb1"),)):
        assert len(refused(on(replace(CARD, uses=uses)), forced="/dev/sdb")) == 1
    assert len(refused(on(replace(CARD, size=GIB)), forced="/dev/sdb")) == 1
    assert "--force-device /dev/sdb" in refused(on(large))[0].hint


def test_a_device_for_two_nodes_and_a_node_on_two_devices_are_refused() -> None:
    other = replace(CARD, name="sdc", path=Path("/dev/sdc"))
    (error,) = refused(on(CARD, node="a"), on(CARD, node="b"))
    assert "it is named twice, for a and b" in error.message
    (error,) = refused(on(CARD, node="a"), on(other, node="a"))
    assert error.message.startswith("a on /dev/sdc")
    assert "a goes to /dev/sdb already" in error.message
    assert refused(on(CARD), on(other)) == []


def test_two_names_of_one_device_are_one() -> None:
    link = Path("/dev/disk/by-id/usb-SanDisk")
    wish = Wish(Spot(link, CARD.path, Kind.DISK, CARD.size, CARD))
    (error,) = refused(on(CARD), wish)
    assert error.message.startswith(str(link))
    assert "named twice" in error.message


def test_a_file_that_plays_a_disk_is_not_written_behind_its_back() -> None:
    attached = Wish(replace(file("/srv/c0.img").spot, loops=("loop3",)))
    (error,) = refused(attached)
    assert "it is attached to /dev/loop3" in error.message
    assert "losetup --detach /dev/loop3" in error.hint


def test_all_that_is_wrong_is_said() -> None:
    small = replace(CARD, size=GIB, is_read_only=True)
    assert len(refused(on(small), file("/dev/sdz", Kind.ABSENT), file("/srv/pi.img"))) == 4
