"""A card that waits for its configuration has no partition that a board boots from, and says that it is unfinished."""

import os
import struct
import uuid
from pathlib import Path

import pytest

from im_client.flash.guard import kept_from_booting
from im_client.flash.partitions import read_table
from im_client.flash.write import is_unfinished
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


def test_nothing_boots_until_the_block_ends_and_the_partitions_are_found_all_the_same(disk: Path) -> None:
    before = disk.read_bytes()
    table = read_table(disk)
    with disk.open("r+b") as file, kept_from_booting(file.fileno()):
        assert is_unfinished(disk)
        guarded = read_table(disk)
        assert [part.kind for part in guarded] == ["da", "83"]
        assert [part.start_bytes for part in guarded] == [part.start_bytes for part in table]
    assert disk.read_bytes() == before


def test_after_an_error_it_stays_unfinished(disk: Path) -> None:
    with disk.open("r+b") as file, pytest.raises(OSError, match="gone"), kept_from_booting(file.fileno()):
        raise OSError("the card is gone")
    assert is_unfinished(disk)
    assert read_table(disk)[0].kind == "da"


def test_what_was_written_meanwhile_stays(disk: Path) -> None:
    with disk.open("r+b") as file, kept_from_booting(file.fileno()):
        os.pwrite(file.fileno(), b"root", 4096 * 512)
    assert disk.read_bytes()[4096 * 512 :][:4] == b"root"


def test_a_gpt_is_no_table_that_boots_either_until_the_block_ends(tmp_path: Path) -> None:
    fat = uuid.UUID("ebd0a0a2-b9e5-4433-87c0-68b6b72699c7")
    path = disk_of(tmp_path / "card.img", 4 << 20, *gpt((fat, 2048, 4095)))
    table = read_table(path)
    with path.open("r+b") as file, kept_from_booting(file.fileno()):
        assert path.read_bytes()[450] == 0xDA
        assert read_table(path) == table
    assert path.read_bytes()[450] == 0xEE
