"""What disks there are and what the running system has on them, from files that look like the kernel's."""

import os
from pathlib import Path

import pytest

from im_client.flash.devices import Device, Kind, Transport, Use, look_at, read_devices
from tests.im_client.flash.rooms import Computer

GIB = 1 << 30


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


def test_a_card_reader_on_usb_is_shown_with_its_model_and_serial(computer: Computer) -> None:
    way = "pci0000:00/usb1/1-2/1-2:1.0/host6/target6:0:0/6:0:0:0/block"
    folder = computer.disk(
        "sda",
        32 * GIB,
        way=way,
        partitions={"sda1": GIB, "sda2": 4 * GIB},
        files={"removable": "1", "device/vendor": "Generic ", "device/model": "SD/MMC  Reader "},
    )
    usb = folder.parents[5]
    (usb / "idVendor").write_text("058f\n")
    (usb / "serial").write_text("058F63666438\n")
    (device,) = read_devices(computer.roots)
    assert device == Device(
        name="sda",
        path=computer.roots.dev / "sda",
        size=32 * GIB,
        model="Generic SD/MMC Reader",
        serial="058F63666438",
        transport=Transport.USB,
        is_removable=True,
        partitions=("sda1", "sda2"),
        usb="1-2",
    )
    assert device.is_external
    assert not device.is_system


def test_a_card_in_a_slot_has_the_name_of_its_maker(computer: Computer) -> None:
    files = {"device/name": "SD32G", "device/serial": "0x1b2c3d4e", "ro": "1"}
    computer.disk("mmcblk0", 31 * GIB, way="platform/mmc_host/mmc0/mmc0:0001/block", files=files)
    (device,) = read_devices(computer.roots)
    assert (device.model, device.serial, device.transport) == ("SD32G", "0x1b2c3d4e", Transport.CARD)
    assert device.is_read_only
    assert device.is_external


def test_mounts_on_the_disk_and_on_its_partitions_are_its_uses(computer: Computer) -> None:
    computer.disk("sdb", 8 * GIB, partitions={"sdb1": GIB})
    computer.mount("sdb1", "/media/ana/my\\040card")
    (device,) = read_devices(computer.roots)
    assert device.uses == (Use("/media/ana/my card", "sdb1"),)
    assert str(device.uses[0]) == "sdb1 is mounted on /media/ana/my card"
    assert not device.is_system


def test_the_systems_disk_is_found_through_encryption_and_volumes(computer: Computer) -> None:
    computer.disk("nvme0n1", 512 * GIB, way="pci0/nvme/nvme0", partitions={"nvme0n1p1": GIB, "nvme0n1p2": 511 * GIB})
    computer.disk("dm-0", 511 * GIB)
    computer.disk("dm-1", 500 * GIB)
    computer.disk("dm-2", 11 * GIB)
    computer.hold("dm-0", "nvme0n1p2")
    computer.hold("dm-1", "dm-0")
    computer.hold("dm-2", "dm-0")
    (computer.roots.dev / "mapper" / "vg-root").symlink_to("../dm-1")
    (computer.roots.dev / "mapper" / "vg-swap").symlink_to("../dm-2")
    computer.mount("dm-1", "/", source="/dev/mapper/vg-root")
    computer.swap("/dev/mapper/vg-swap")
    (device,) = read_devices(computer.roots)  # volumes are no cards
    assert device.uses == (Use("/", "dm-1"), Use("swap", "dm-2"))
    assert device.is_system


def test_both_disks_of_a_mirror_are_the_systems(computer: Computer) -> None:
    computer.disk("sda", GIB, partitions={"sda1": GIB})
    computer.disk("sdb", GIB, partitions={"sdb1": GIB})
    computer.disk("md0", GIB, partitions={"md0p1": GIB})
    computer.hold("md0", "sda1", "sdb1")
    computer.mount("md0p1", "/boot/efi")
    assert [(device.name, device.uses) for device in read_devices(computer.roots)] == [
        ("sda", (Use("/boot/efi", "md0p1"),)),
        ("sdb", (Use("/boot/efi", "md0p1"),)),
    ]


def test_btrfs_is_found_by_the_path_of_its_device(computer: Computer) -> None:
    computer.disk("sda", GIB, partitions={"sda2": GIB})
    computer.mount("sda2", "/", number="0:31", source="/dev/sda2")
    (device,) = read_devices(computer.roots)
    assert device.is_system


def test_a_volume_that_is_not_mounted_still_holds_its_disk(computer: Computer) -> None:
    computer.disk("sda", GIB, partitions={"sda1": GIB})
    computer.disk("dm-0", GIB)
    computer.hold("dm-0", "sda1")
    (device,) = read_devices(computer.roots)
    assert device.uses == (Use("held", "sda1"),)
    assert not device.is_system


def test_swap_is_the_systems(computer: Computer) -> None:
    computer.disk("sda", GIB, partitions={"sda1": GIB})
    computer.swap("/dev/sda1")
    (device,) = read_devices(computer.roots)
    assert device.is_system
    assert str(device.uses[0]) == "sda1 is swap"


@pytest.mark.parametrize("below", ["sda", "sda1"])
def test_a_loop_device_on_a_disk_is_that_disk_under_another_name(computer: Computer, below: str) -> None:
    computer.disk("sda", GIB, way="pci0/ata1/block", partitions={"sda1": GIB})
    computer.disk("loop0", GIB, files={"loop/backing_file": f"/dev/{below}"})
    computer.disk("loop1", GIB, files={"loop/backing_file": "/dev/loop0"})
    loops = read_devices(computer.roots)[:2]
    assert [(loop.uses, loop.transport, loop.is_external) for loop in loops] == [
        ((Use("held", "loop0"),), Transport.SATA, False),
        ((), Transport.SATA, False),
    ]
    computer.mount("sda1", "/")
    assert [(device.name, device.uses) for device in read_devices(computer.roots)] == [
        ("loop0", (Use("/", "sda1"),)),
        ("loop1", (Use("/", "sda1"),)),
        ("sda", (Use("/", "sda1"),)),
    ]


def test_a_loop_device_that_is_mounted_uses_the_disk_beneath_it(computer: Computer) -> None:
    computer.disk("sda", GIB, way="pci0/usb1/block")
    computer.disk("loop0", GIB, files={"loop/backing_file": "/dev/sda"})
    assert [device.uses for device in read_devices(computer.roots)] == [(), (Use("held", "sda"),)]
    computer.mount("loop0", "/mnt")
    assert [device.uses for device in read_devices(computer.roots)] == [(Use("/mnt", "loop0"),)] * 2


def test_names_of_one_file_are_known_as_one(tmp_path: Path, computer: Computer) -> None:
    file = tmp_path / "card.img"
    file.write_bytes(b"x" * 1000)
    (tmp_path / "hard.img").hardlink_to(file)
    computer.disk("loop4", GIB, files={"loop/backing_file": str(file)})
    spots = [look_at(tmp_path / name, computer.roots) for name in ("card.img", "hard.img")]
    assert spots[0].ground == spots[1].ground
    assert [spot.loops for spot in spots] == [("loop4",)] * 2
    assert not look_at(tmp_path / "other.img", computer.roots).ground & spots[0].ground


def test_loop_devices_without_a_file_and_memory_are_no_disks(computer: Computer) -> None:
    computer.disk("loop0", 0)
    computer.disk("loop1", GIB, files={"loop/backing_file": "/srv/card.img"})
    computer.disk("zram0", GIB)
    computer.disk("sr0", GIB)
    computer.disk("mmcblk0boot0", GIB)
    computer.disk("nvme0c0n1", GIB, files={"hidden": "1"})
    (device,) = read_devices(computer.roots)
    assert (device.name, device.model, device.transport) == ("loop1", "/srv/card.img", Transport.LOOP)


@pytest.mark.parametrize(
    ("point", "is_system"),
    [("/", True), ("/boot", True), ("/boot/firmware", True), ("/var/lib", True), ("/bootleg", False), ("/mnt", False)],
)
def test_what_the_system_needs_is_told_by_where_it_is_mounted(point: str, is_system: bool) -> None:
    assert Use(point, "sda1").is_system is is_system


def test_a_file_an_absent_one_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    file = tmp_path / "card.img"
    file.write_bytes(b"x" * 1000)
    link = tmp_path / "link"
    link.symlink_to(file)
    spot = look_at(link)
    assert (spot.path, spot.real, spot.kind, spot.size) == (link, file, Kind.FILE, 1000)
    assert look_at(tmp_path / "new.img").kind is Kind.ABSENT
    assert not look_at(tmp_path / "nowhere" / "new.img").is_writable
    assert look_at(file / "below").kind is Kind.ABSENT
    assert look_at(tmp_path).kind is Kind.OTHER
    assert look_at(Path(os.devnull)).kind is Kind.OTHER


def test_the_disks_of_this_computer_can_be_read() -> None:
    for device in read_devices():
        assert look_at(device.path).device == device
