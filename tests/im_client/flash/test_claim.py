"""A target belongs to one process while it is written."""

from dataclasses import replace
from pathlib import Path

import pytest

from im_client.flash.claim import Let, claimed, eject
from im_client.flash.devices import Kind, look_at
from infracore.errors import Locked, NotFound


def test_a_file_that_another_has_is_refused_as_locked(tmp_path: Path) -> None:
    path = tmp_path / "card.img"
    path.write_bytes(b"x" * 512)
    spot = look_at(path)
    with claimed(spot):
        with (
            pytest.raises(Locked, match=f"{path} is being written by another process") as caught,
            claimed(spot, wait_s=0),
        ):
            pass
        assert caught.value.exit_code == 6
    with claimed(spot, wait_s=0):
        assert path.read_bytes() == b"x" * 512


def test_a_file_that_is_not_there_is_made(tmp_path: Path) -> None:
    spot = look_at(tmp_path / "new.img")
    with claimed(spot):
        assert (tmp_path / "new.img").read_bytes() == b""


def test_a_card_that_was_taken_out_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "card.img"
    path.write_bytes(b"x" * 512)
    spot = look_at(path)
    spot = replace(spot, kind=Kind.DISK)
    path.unlink()
    with pytest.raises(NotFound, match="is gone") as caught, claimed(spot):
        pass
    assert caught.value.hint == "put the card in again, then the same command"


def test_a_file_is_let_go_of_without_ejecting_anything(tmp_path: Path) -> None:
    assert eject(look_at(tmp_path / "card.img")) is Let.SYNCED
