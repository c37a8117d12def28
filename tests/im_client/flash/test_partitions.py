"""Partition tables: what sfdisk calls the same, and damaged ones."""

import shutil
import struct
import subprocess
import uuid
import zlib
from pathlib import Path

import pytest

from im_client.flash.model import BadImage
from im_client.flash.partitions import Partition, read_table
from infracore.errors import NotFound

MIB = 1 << 20


def mbr(*entries: tuple[int, int, int]) -> bytes:
    """The first sector: type, first sector, count of each."""
    table = b"".join(struct.pack("<4xB3xII", *entry) for entry in entries)
    return bytes(446) + table.ljust(64, b"\0") + b"\x55\xaa"


def disk(path: Path, size: int, *parts: tuple[int, bytes]) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        for at, content in parts:
            file.seek(at)
            file.write(content)
    return path


def gpt(*entries: tuple[uuid.UUID, int, int], sector: int = 512) -> list[tuple[int, bytes]]:
    table = b"".join(
        kind.bytes_le + bytes(16) + struct.pack("<QQQ", first, last, 0) + bytes(72) for kind, first, last in entries
    ).ljust(128 * 128, b"\0")
    head = struct.pack(
        "<8sIIIIQQQQ16sQIII", b"EFI PART", 0x10000, 92, 0, 0, 1, 0, 34, 999, bytes(16), 2, 128, 128, zlib.crc32(table)
    )
    head = head[:16] + struct.pack("<I", zlib.crc32(head)) + head[20:]
    return [(0, mbr((0xEE, 1, 0xFFFF))), (sector, head), (2 * sector, table)]


def test_the_table_of_a_raspberry_pi_image(tmp_path: Path) -> None:
    path = disk(tmp_path / "a", 64 * MIB, (0, mbr((0x0C, 8192, 65536), (0x83, 73728, 32768))))
    assert read_table(path) == (
        Partition(1, 8192 * 512, 32 * MIB, "0c"),
        Partition(2, 73728 * 512, 16 * MIB, "83"),
    )
    with path.open("rb") as file:
        assert len(read_table(file.fileno())) == 2


def test_logical_partitions_begin_with_five(tmp_path: Path) -> None:
    path = disk(
        tmp_path / "a",
        64 * MIB,
        (0, mbr((0x0C, 2048, 2048), (0x05, 8192, 65536))),
        (8192 * 512, mbr((0x83, 2048, 1000), (0x05, 10000, 4000))),
        (18192 * 512, mbr((0x82, 2048, 500))),
    )
    found = read_table(path)
    assert [one.number for one in found] == [1, 2, 5, 6]
    assert found[3] == Partition(6, (18192 + 2048) * 512, 500 * 512, "82")


def test_a_gpt_is_read(tmp_path: Path) -> None:
    kind = uuid.UUID("0fc63daf-8483-4772-8e79-3d69d8477de4")
    path = disk(tmp_path / "a", 64 * MIB, *gpt((kind, 2048, 4095), (kind, 4096, 8191)))
    assert read_table(path)[1] == Partition(2, 2 * MIB, 2 * MIB, str(kind))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([(0, bytes(512))], "no partition table"),
        ([(0, mbr((0x83, 2048, 2**31)))], "behind the disk"),
        ([(0, mbr((0x05, 2048, 4096)))], "damaged at byte 1048576"),
        (
            [
                (0, mbr((0x05, 2048, 4096))),
                (MIB, mbr((0, 0, 0), (0x05, 8, 8))),
                (MIB + 4096, mbr((0, 0, 0), (0x05, 8, 8))),
            ],
            "circles",
        ),
        ([(0, mbr((0xEE, 1, 100)))], "has none"),
        ([*gpt(), (512 + 60, b"x")], "GPT of .* is damaged"),
        ([*gpt(), (1024, b"x")], "entries of the GPT"),
        (gpt((uuid.uuid4(), 100, 50)), "ends before it begins"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_damaged_table_is_refused_with_a_reason(parts: list[tuple[int, bytes]], said: str, tmp_path: Path) -> None:
    with pytest.raises(BadImage, match=said):
        read_table(disk(tmp_path / "a", 8 * MIB, *parts))


def test_a_disk_that_is_not_there_is_said_to_be_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_table(tmp_path / "none")
    with pytest.raises(BadImage):
        read_table(disk(tmp_path / "a", 100))


@pytest.mark.skipif(shutil.which("sfdisk", path="/usr/sbin:/sbin:/usr/bin") is None, reason="not installed: sfdisk")
@pytest.mark.parametrize("label", ["dos", "gpt"])
def test_sfdisk_sees_the_same(label: str, tmp_path: Path) -> None:
    path = disk(tmp_path / "a", 64 * MIB)
    script = f"label: {label}\nstart=4MiB, size=8MiB\nstart=12MiB, size=20MiB\n"
    sfdisk = shutil.which("sfdisk", path="/usr/sbin:/sbin:/usr/bin")
    subprocess.run([sfdisk, "-q", path], input=script, text=True, check=True, capture_output=True)  # type: ignore[list-item]
    assert [(p.number, p.start_bytes, p.size_bytes) for p in read_table(path)] == [
        (1, 4 * MIB, 8 * MIB),
        (2, 12 * MIB, 20 * MIB),
    ]
