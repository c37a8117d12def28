"""A target belongs to one process while it is written."""

from dataclasses import replace
from pathlib import Path

import pytest

from im_client.flash.card import Card, Made, Outcome, let_go
from im_client.flash.claim import Let, claimed, eject
from im_client.flash.devices import Device, Kind, Spot, Transport, look_at
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
    assert eject([look_at(tmp_path / "card.img")]) == (Let.SYNCED,)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What `udisksctl` and `eject` are asked; the first fails where there is a file `no-power`."""
    log = tmp_path / "asked"
    log.touch()
    for name, ends in (("udisksctl", f"test ! -e {tmp_path}/no-power"), ("eject", "true")):
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f'#!/bin/sh\necho "{name} $*" >>{log}\n{ends}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:/usr/bin:/bin")
    return log


def made(name: str, usb: str, outcome: Outcome = Outcome.DONE) -> Made:
    path = Path(f"/dev/{name}")
    device = Device(name, path, 8 << 30, transport=Transport.USB, is_removable=True, usb=usb)
    return Made(Card(name, Spot(path, path, Kind.DISK, 8 << 30, device)), outcome)


OFF = "udisksctl power-off --no-user-interaction --block-device /dev/"


def test_the_power_of_a_reader_goes_once_for_all_its_cards(asked: Path) -> None:
    steps: list[str] = []
    gone = let_go(
        [made("sda", "1-1"), made("sdc", "1-2"), made("sdb", "1-1"), made("sdd", "1-1", Outcome.UNCHANGED)],
        lambda name, _: steps.append(name),
    )
    assert [one.let for one in gone] == [*[Let.POWERED_OFF] * 3, Let.SYNCED]
    assert asked.read_text().splitlines() == [f"{OFF}sda", f"{OFF}sdc"]
    assert sorted(steps) == ["sda", "sdb", "sdc"]


def test_a_reader_with_a_card_that_failed_keeps_its_power(asked: Path) -> None:
    cards = [made("sda", "1-1"), made("sdb", "1-1", Outcome.FAILED), made("sdc", "1-1")]
    gone = let_go(cards, lambda *_: None)
    assert [one.let for one in gone] == [Let.EJECTED, Let.SYNCED, Let.EJECTED]
    assert asked.read_text().splitlines() == ["eject /dev/sda", "eject /dev/sdc"]


def test_where_no_power_can_be_cut_each_slot_is_ejected(asked: Path, tmp_path: Path) -> None:
    (tmp_path / "no-power").touch()
    gone = let_go([made("sda", "1-1"), made("sdb", "1-1")], lambda *_: None)
    assert [one.let for one in gone] == [Let.EJECTED, Let.EJECTED]
    assert asked.read_text().splitlines() == [f"{OFF}sda", "eject /dev/sda", "eject /dev/sdb"]
