"""A card that is not finished has no partition that a board boots from, and says so."""

import struct
import uuid
from pathlib import Path

import pytest

from im_client.flash.guard import SECTOR, guarded, is_unfinished
from im_client.flash.partitions import read_table
from infracore.errors import NotFound
from tests.im_client.flash.test_partitions import disk as disk_of
from tests.im_client.flash.test_partitions import gpt


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    path = tmp_path / "card.img"
    entries = b"".join(
        struct.pack("<8B2I", 0, 0, 0, 0, kind, 0, 0, 0, start, 64) for kind, start in ((0x0C, 2048), (0x83, 4096))
    )
    path.write_bytes(b"\xeb" * 446 + entries + bytes(32) + b"\x55\xaa" + bytes(8192 * 512 - 512))
    return path


def guard(path: Path) -> None:
    with path.open("r+b") as file:
        sector = guarded(file.read(SECTOR))
        file.seek(0)
        file.write(sector)


def test_nothing_boots_and_the_partitions_are_found_all_the_same(disk: Path) -> None:
    table = read_table(disk)
    assert not is_unfinished(disk)
    guard(disk)
    assert is_unfinished(disk)
    seen = read_table(disk)
    assert [part.kind for part in seen] == ["da", "83"]
    assert [part.start_bytes for part in seen] == [part.start_bytes for part in table]


def test_a_gpt_is_no_table_that_boots_either(tmp_path: Path) -> None:
    fat = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")
    path = disk_of(tmp_path / "card.img", 4 << 20, *gpt((fat, 2048, 4095)))
    table = read_table(path)
    assert path.read_bytes()[450] == 0xEE
    guard(path)
    assert path.read_bytes()[450] == 0xDA
    assert read_table(path) == table


def test_a_mark_is_looked_for_where_one_can_look(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        is_unfinished(tmp_path / "none")
