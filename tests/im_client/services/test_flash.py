"""Cards of several images, one after another: what happens to one leaves the report of the others."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from im_client.flash.card import Outcome, Step
from im_client.flash.devices import Kind
from im_client.services.flash import FlashReport, FlashRequest, flash, module_cards, prepare_flash
from im_client.settings import Settings, load_settings
from infracore.clock import FakeClock
from infracore.errors import InvalidUsage, Several
from tests.im_client.flash.rooms import Computer

FIRST, SECOND = bytes(range(256)) * 4096, bytes(reversed(range(256))) * 4096
BMAP = """<?xml version="1.0" ?>
<bmap version="2.0"><ImageSize> 4096 </ImageSize><BlockSize> 4096 </BlockSize><BlocksCount> 1 </BlocksCount>
<MappedBlocksCount> 1 </MappedBlocksCount><ChecksumType> sha256 </ChecksumType>
<BlockMap><Range> 0 </Range></BlockMap></bmap>
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    overrides = {"state_dir": str(tmp_path / "state"), "cache_dir": str(tmp_path / "cache")}
    return load_settings(overrides=overrides, environ={"HOME": str(tmp_path)}, cwd=tmp_path).value


@pytest.fixture
def request_(tmp_path: Path) -> FlashRequest:
    """Two cards as they are; images stand in the order of their nodes."""
    (tmp_path / "1.img").write_bytes(FIRST)
    (tmp_path / "2.img").write_bytes(SECOND)
    nodes = {
        f"pi-{n}": {"raspberry_pi_device": f"{tmp_path}/card-{n}.img", "raspberry_pi_image": f"{tmp_path}/{n}.img"}
        for n in (1, 2)
    }
    return FlashRequest(nodes=nodes, every=True)


def run(settings: Settings, request: FlashRequest, cancel_after: str = "") -> FlashReport:
    cancel = threading.Event()

    def on_step(name: str, step: Step) -> None:
        if name == cancel_after and step is Step.ENDED:
            cancel.set()

    plan = prepare_flash(settings, request)
    return flash(settings, plan, on_progress=lambda _: None, on_step=on_step, cancel=cancel)


@pytest.mark.mtools
def test_an_image_that_is_none_of_a_board_fails_after_it_is_written_and_stays_unfinished(
    settings: Settings, request_: FlashRequest
) -> None:
    report = run(settings, request_)
    assert [made.outcome for made in report.made] == [Outcome.FAILED, Outcome.FAILED]
    assert all(made.is_unfinished and made.written for made in report.made)


@pytest.mark.mtools
def test_the_map_of_another_image_fails_the_second_and_the_first_is_in_the_report(
    settings: Settings, request_: FlashRequest, tmp_path: Path
) -> None:
    (tmp_path / "2.img.bmap").write_text(BMAP)
    first, second = run(settings, request_).made
    assert first.written
    assert (second.outcome, second.written, second.is_unfinished) == (Outcome.FAILED, 0, False)
    assert second.error is not None
    assert "block map" in second.error.message
    assert not (tmp_path / "card-2.img").read_bytes()


@pytest.mark.mtools
def test_what_is_cancelled_before_it_is_begun_is_not_touched(
    settings: Settings, request_: FlashRequest, tmp_path: Path
) -> None:
    (tmp_path / "card-2.img").write_bytes(b"precious")
    report = run(settings, request_, cancel_after="pi-1")
    assert (report.made[1].outcome, report.made[1].is_unfinished) == (Outcome.CANCELLED, False)
    assert (tmp_path / "card-2.img").read_bytes() == b"precious"


def test_cards_are_ejected_when_all_images_are_written(settings: Settings, tmp_path: Path) -> None:
    steps: list[tuple[str, Step]] = []
    first = FlashRequest(image=str(tmp_path / "1.img"), device=str(tmp_path / "card-1.img"), eject=True)
    (tmp_path / "1.img").write_bytes(FIRST)
    (tmp_path / "2.img").write_bytes(SECOND)
    one = prepare_flash(settings, first)
    two = prepare_flash(settings, replace(first, image=str(tmp_path / "2.img"), device=str(tmp_path / "card-2.img")))
    plan = replace(one, batches=one.batches + two.batches)
    flash(
        settings,
        plan,
        on_progress=lambda _: None,
        on_step=lambda name, step: steps.append((name[-10:], step)),
        cancel=threading.Event(),
    )
    assert steps == [
        ("card-1.img", Step.ENDED),
        ("card-2.img", Step.ENDED),
        ("card-1.img", Step.EJECT),
        ("card-2.img", Step.EJECT),
    ]


@pytest.mark.mtools
def test_a_plan_says_what_stands_where(settings: Settings, request_: FlashRequest, tmp_path: Path) -> None:
    plan = prepare_flash(settings, request_)
    assert [(card.name, card.spot.kind) for card in plan.cards] == [("pi-1", Kind.ABSENT), ("pi-2", Kind.ABSENT)]
    assert [batch.source.address for batch in plan.batches] == [f"{tmp_path}/1.img", f"{tmp_path}/2.img"]
    assert not plan.is_empty
    assert list(tmp_path.glob("card-*")) == []


@pytest.mark.mtools
def test_all_refusals_are_said_together(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "1.img").write_bytes(FIRST)
    nodes = {name: {"raspberry_pi_device": place} for name, place in (("a", "/dev/null"), ("b", "/dev/nowhere"))}
    with pytest.raises(Several) as caught:
        prepare_flash(settings, FlashRequest(image=f"{tmp_path}/1.img", nodes=nodes, every=True))
    assert "a on /dev/null: " in caught.value.message
    assert "b on /dev/nowhere: " in caught.value.message
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("device", "said"),
    [
        ("ssh://ana@pi-1.local/dev/sda", "the disk of a running machine is written alone"),
        ("a?b.img", "a name with"),
        ("a@@5.img", "a name with"),
        ("a\nb.img", "a name with"),
    ],
)
def test_places_that_no_node_can_be_put_in_are_refused_before_anything_is_written(
    settings: Settings, request_: FlashRequest, tmp_path: Path, device: str, said: str
) -> None:
    place = device if "://" in device else f"{tmp_path}/{device}"
    with pytest.raises(InvalidUsage, match=said):
        prepare_flash(settings, replace(request_, every=False, to=(("pi-1", place),)))


def test_the_disks_of_a_compute_module_are_listed_once_it_has_started(tmp_path: Path) -> None:
    here = Computer(tmp_path)
    way = "usb1/1-1/host0/block"
    module = here.disk("sdb", 8 << 30, way=way)
    here.disk("sda", 32 << 30, way="usb1/1-2/host1/block")  # somebody's stick
    for number, vendor in ((1, "0a5c"), (2, "0781")):
        usb = here.roots.sys / "devices" / "usb1" / f"1-{number}"
        (usb / "idVendor").write_text(f"{vendor}\n")
        (usb / "idProduct").write_text("0104\n")
    link = here.roots.sys / "block" / "sdb"
    link.unlink()
    program = tmp_path / "rpiboot"
    program.write_text(f"#!/bin/sh\nln -s {module} {link}\n")
    program.chmod(0o755)
    told: list[str] = []
    found = module_cards(
        told.append, threading.Event(), roots=here.roots, program=str(program), folder=tmp_path, clock=FakeClock()
    )
    assert [(one.path.name, one.size) for one in found] == [("sdb", 8 << 30)]
    assert "waiting for a Compute Module" in told[0]


@pytest.mark.mtools
def test_boards_that_boot_from_the_network_get_an_image_file_or_are_said_to_be_left_out(
    settings: Settings, request_: FlashRequest
) -> None:
    given = request_.nodes or {}
    boards = {
        **given,
        "pi-1": {**given["pi-1"], "raspberry_pi_storage": "network"},
        "pi-7": {"raspberry_pi_storage": "network"},
        "pi-8": {"raspberry_pi_storage": "card"},
    }
    plan = prepare_flash(settings, replace(request_, nodes=boards))
    assert [card.name for card in plan.cards] == ["pi-1", "pi-2"]
    assert plan.notes == (
        "left out, for they have no raspberry_pi_device: pi-8",
        "left out, for they boot from the network; with a file as raspberry_pi_device they get an image: pi-7",
    )
