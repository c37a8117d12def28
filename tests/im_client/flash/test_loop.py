"""Real block devices as cards."""

import os
import random
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import zstandard

from im_client.flash.bmap import BlockMap, Range
from im_client.flash.model import BadBlock, BadImage, Progress, Result, State, Target
from im_client.flash.partitions import read_table
from im_client.flash.streams import open_stream
from im_client.flash.write import is_unfinished, write
from infracore.errors import Conflict, InvalidUsage
from tests.im_client.flash.test_partitions import mbr
from tests.rigs.cards import bad_card, card, lying_card, pull

pytestmark = pytest.mark.loop

MIB = 1 << 20
SIZE = 24 * MIB + 512
CARD = 32 * MIB


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """An image with two partitions, packed."""
    (tmp_path / "image.zst").write_bytes(zstandard.compress(content()))
    return tmp_path / "image.zst"


def content() -> bytes:
    raw = bytearray(SIZE)
    chance = random.Random(6)
    for at, length in ((4 * MIB, 3 * MIB), (12 * MIB, 5 * MIB + 4096), (SIZE - 512, 512)):
        raw[at : at + length] = chance.randbytes(length)
    raw[:512] = mbr((0x0C, 8192, 8192), (0x83, 16384, 16384))
    return bytes(raw)


def flash(image: Path, *cards: Path, blocks: BlockMap | None = None) -> tuple[Result, ...]:
    with open_stream(image) as stream:
        targets = [Target(f"node-{n}", path, CARD) for n, path in enumerate(cards, 1)]
        return write(stream, targets, blocks=blocks, cancel=threading.Event())


def read(device: Path, count: int = SIZE) -> bytes:
    with device.open("rb") as file:
        return file.read(count)


def test_four_cards_at_once_hold_the_image_and_zeros_where_it_has_zeros(image: Path, tmp_path: Path) -> None:
    with ExitStack() as stack:
        cards = [stack.enter_context(card(tmp_path, CARD, f"card-{n}")) for n in range(4)]
        results = flash(image, *cards)
        assert [(r.state, r.verified, r.error) for r in results] == [(State.DONE, True, None)] * 4
        for device in cards:
            assert read(device) == content()
            assert [one.number for one in read_table(device)] == [1, 2]
            assert not any(read(device, CARD)[-MIB:])  # where a GPT of before would have its copy


def test_one_bad_block_is_named_by_node_and_byte_and_the_others_are_good(image: Path, tmp_path: Path) -> None:
    at = 13 * MIB + 5 * 4096
    with ExitStack() as stack:
        good = [stack.enter_context(card(tmp_path, CARD, f"card-{n}")) for n in range(3)]
        bad = stack.enter_context(bad_card(tmp_path, CARD, at))
        results = flash(image, good[0], bad, *good[1:])
        assert [r.state for r in results] == [State.DONE, State.FAILED, State.DONE, State.DONE]
        error = results[1].error
        assert isinstance(error, BadBlock)
        assert error.offset == at
        assert str(error).startswith(f"node-2 ({bad}) cannot be written at byte {at}: ")
        assert is_unfinished(bad)
        assert all(read(device) == content() for device in good)


def test_a_bad_block_among_the_zeros_is_found_too(image: Path, tmp_path: Path) -> None:
    with bad_card(tmp_path, CARD, 9 * MIB) as bad:
        (result,) = flash(image, bad)
        assert isinstance(result.error, BadBlock)
        assert result.error.offset == 9 * MIB
        assert is_unfinished(bad)


def test_what_a_card_loses_is_found_when_it_is_read_back(image: Path, tmp_path: Path) -> None:
    with lying_card(tmp_path, CARD, 10 * MIB) as (one, other):
        results = flash(image, one, other)
        failed = [r for r in results if r.state is State.FAILED]
        assert failed
        assert all(isinstance(r.error, BadBlock) and "does not hold what was written" in str(r.error) for r in failed)


def test_what_the_map_leaves_out_keeps_what_stood_there(image: Path, tmp_path: Path) -> None:
    with card(tmp_path, CARD) as device:
        (result,) = flash(image, device, blocks=BlockMap(SIZE, (Range(0, 4096), Range(12 * MIB, MIB))))
        assert result.state is State.DONE
        assert result.written == 2 * MIB
        assert read(device, 13 * MIB) == content()[:MIB] + b"\xaa" * 11 * MIB + content()[12 * MIB : 13 * MIB]


def test_a_raw_sparse_image_leaves_zeros_in_its_holes(tmp_path: Path) -> None:
    raw = tmp_path / "image"
    with raw.open("wb") as file:
        file.truncate(SIZE)
        for at in (0, 4 * MIB, 12 * MIB):
            os.pwrite(file.fileno(), content()[at : at + 3 * MIB], at)
    expected = raw.read_bytes()
    with card(tmp_path, CARD) as device:
        (result,) = flash(raw, device)
        assert result.state is State.DONE
        assert read(device) == expected


def test_a_card_that_is_too_small_keeps_what_it_holds(image: Path, tmp_path: Path) -> None:
    with card(tmp_path, 16 * MIB) as device:
        (result,) = flash(image, device)
        assert isinstance(result.error, InvalidUsage)
        assert read(device, 16 * MIB) == b"\xaa" * 16 * MIB


def test_a_disk_of_larger_sectors_is_written_and_said_to_be_no_card_for_the_table(image: Path, tmp_path: Path) -> None:
    with card(tmp_path, CARD, sector=4096) as device:
        (result,) = flash(image, device)
        assert result.state is State.DONE
        assert read(device) == content()
        with pytest.raises(BadImage, match="behind the disk") as raised:
            read_table(device)
        assert "4096 bytes" in (raised.value.hint or "")


def test_a_card_that_is_in_use_is_refused(image: Path, tmp_path: Path) -> None:
    with card(tmp_path, CARD) as device:
        fd = os.open(device, os.O_RDONLY | os.O_EXCL)  # as a mount holds it
        try:
            (result,) = flash(image, device)
        finally:
            os.close(fd)
        assert isinstance(result.error, Conflict)
        assert read(device, MIB) == b"\xaa" * MIB


def test_a_card_whose_end_is_no_whole_page_is_written_to_its_end(tmp_path: Path) -> None:
    raw = random.Random(1).randbytes(5 * MIB + 512)
    (tmp_path / "image.zst").write_bytes(zstandard.compress(raw))
    with card(tmp_path, len(raw)) as device:
        (result,) = flash(tmp_path / "image.zst", device)
        assert (result.state, result.error) == (State.DONE, None)
        assert read(device, len(raw)) == raw


def test_a_card_that_is_pulled_is_said_to_be_so_and_the_other_is_good(tmp_path: Path) -> None:
    raw = random.Random(1).randbytes(MIB) * 48
    (tmp_path / "image").write_bytes(raw)
    with card(tmp_path, 64 * MIB, "one") as one, card(tmp_path, 64 * MIB, "two") as two:

        def told(progress: Progress) -> None:
            if one.exists() and read(one, 1):
                pull(one)

        with open_stream(tmp_path / "image") as stream:
            targets = [Target("node-1", one), Target("node-2", two)]
            results = write(stream, targets, cancel=threading.Event(), on_progress=told)
        assert [r.state for r in results] == [State.FAILED, State.DONE]
        assert "node-1" in str(results[0].error)
        assert "the card was pulled" in str(results[0].error)
        assert read(two, len(raw)) == raw


def test_a_killed_writer_leaves_a_card_that_is_marked(tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(random.Random(1).randbytes(MIB) * 31)
    code = (
        "import sys, threading; from pathlib import Path; from im_client.flash.write import write;"
        "from im_client.flash.streams import open_stream; from im_client.flash.model import Target\n"
        "def told(progress):\n"
        "    if progress.done:\n"  # not before: a card that was not begun is not marked
        "        print(progress.done, flush=True)\n"
        "        sys.stdin.read()\n"
        "write(open_stream(Path(sys.argv[1])), [Target('node', Path(sys.argv[2]))], cancel=threading.Event(),"
        " on_progress=told)"
    )
    with card(tmp_path, CARD) as device:
        argv = [sys.executable, "-c", code, str(tmp_path / "image"), str(device)]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            child.stdout.readline()
            child.send_signal(signal.SIGSTOP)
            child.kill()
        marked = is_unfinished(device)
        finished = read(device, 31 * MIB) == (tmp_path / "image").read_bytes()
        assert marked or finished
