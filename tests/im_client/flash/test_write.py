"""Image files as targets: what is written, what is left out, what is found wrong."""

import hashlib
import itertools
import lzma
import os
import random
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import zstandard

from im_client.flash.bmap import BlockMap, Range
from im_client.flash.guard import guarded
from im_client.flash.model import BadBlock, BadImage, Phase, Progress, Result, State, Target
from im_client.flash.sink import Sink
from im_client.flash.streams import open_stream
from im_client.flash.write import UNFINISHED, is_unfinished, write
from infracore.errors import Cancelled, InvalidUsage, NotFound, Unsupported

MIB = 1 << 20
SIZE = 18 * MIB + 1536


@pytest.fixture(scope="module")
def raw() -> bytes:
    """Bytes here and there, also at the end that is no whole page."""
    chance = random.Random(6)
    image = bytearray(SIZE)
    for at, length in ((0, 700_000), (2 * MIB, 3 * MIB), (9 * MIB + 4096, 10_000), (SIZE - 1000, 1000)):
        image[at : at + length] = chance.randbytes(length)
    return bytes(image)


@cache
def xz(content: bytes) -> bytes:
    return lzma.compress(content, preset=0)


def sparse(path: Path, content: bytes) -> Path:
    with path.open("wb") as file:
        file.truncate(len(content))
        for at in range(0, len(content), 4096):
            if any(content[at : at + 4096]):
                file.seek(at)
                file.write(content[at : at + 4096])
    return path


def flash(
    image: Path,
    *targets: Path,
    blocks: BlockMap | None = None,
    verify: bool = True,
    room: int = 0,
    seen: list[Progress] | None = None,
    cancel: threading.Event | None = None,
) -> tuple[Result, ...]:
    with open_stream(image) as stream:
        return write(
            stream,
            [Target(path.name, path, room) for path in targets],
            blocks=blocks,
            verify=verify,
            on_progress=(seen if seen is not None else []).append,
            cancel=cancel or threading.Event(),
        )


@pytest.mark.parametrize("kind", ["raw", "sparse", "xz", "zst"])
def test_several_targets_get_the_image_and_hold_no_more_than_it_has(kind: str, raw: bytes, tmp_path: Path) -> None:
    image = tmp_path / "image"
    if kind == "sparse":
        sparse(image, raw)
    else:
        image.write_bytes({"raw": bytes, "xz": xz, "zst": zstandard.compress}[kind](raw))
    targets = [tmp_path / f"card-{n}" for n in range(3)]
    targets[0].write_bytes(b"\xff" * (SIZE + 5 * MIB))
    results = flash(image, *targets)
    for path, result in zip(targets, results, strict=True):
        assert result.target.path == path
        assert (result.state, result.verified, result.error, result.size) == (State.DONE, True, None, SIZE)
        assert path.read_bytes() == raw
        assert result.written < 6 * MIB
        assert path.stat().st_blocks * 512 < 6 * MIB
        assert not is_unfinished(path)


def fails_at(count: int, call: Callable[..., None], *, ends_too: bool = True) -> Callable[..., None]:
    """Return a method of Sink whose nth call for the first block fails, as those after it do where the card is gone."""
    calls = itertools.count(1)

    def stop(sink: Sink, block: memoryview, offset: int) -> None:
        number = 0 if offset else next(calls)
        if number == count or (ends_too and number > count):
            raise BadBlock("it is gone", offset=0)
        call(sink, block, offset)

    return stop


@pytest.mark.parametrize("is_gone", [True, False])
@pytest.mark.parametrize(
    ("method", "count", "what"),
    [
        ("write", 2, "the head"),
        ("write", 3, "the last block"),
        ("read", 1, "the head is read back"),
        ("read", 2, "the last block is changed"),
        ("read", 3, "the last block is read back"),
    ],
)
def test_whatever_fails_at_the_end_leaves_a_card_that_is_marked(
    method: str, count: int, what: str, is_gone: bool, raw: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sink, method, fails_at(count, getattr(Sink, method), ends_too=is_gone))
    (tmp_path / "image").write_bytes(raw)
    (result,) = flash(tmp_path / "image", tmp_path / "card")
    assert (result.state, result.is_begun, str(result.error)) == (State.FAILED, True, "it is gone")
    assert is_unfinished(tmp_path / "card"), what
    assert (tmp_path / "card").read_bytes()[MIB:SIZE] == raw[MIB:]


def test_what_is_cancelled_while_the_head_is_read_back_is_marked(
    raw: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancel = threading.Event()
    write_block = Sink.write

    def cancels(sink: Sink, block: memoryview, offset: int) -> None:
        write_block(sink, block, offset)
        if not offset and any(block[4096:]):  # the head, not the mark
            cancel.set()

    monkeypatch.setattr(Sink, "write", cancels)
    (tmp_path / "image").write_bytes(raw)
    (result,) = flash(tmp_path / "image", tmp_path / "card", cancel=cancel)
    assert result.state is State.CANCELLED
    assert is_unfinished(tmp_path / "card")


def test_a_card_that_is_refused_was_not_begun(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(raw)
    (result,) = flash(tmp_path / "image", tmp_path / "card", room=10 * MIB)
    assert not result.is_begun


def test_only_what_the_map_names_is_written(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image.xz").write_bytes(xz(raw))
    part = raw[2 * MIB : 3 * MIB]
    blocks = BlockMap(
        SIZE,
        (Range(0, 4096), Range(2 * MIB, MIB, hashlib.sha256(part).hexdigest()), Range(9 * MIB, 8192)),
        "sha256",
    )
    (result,) = flash(tmp_path / "image.xz", tmp_path / "card", blocks=blocks)
    assert result.state is State.DONE
    card = (tmp_path / "card").read_bytes()
    assert len(card) == SIZE
    assert card[: 3 * MIB] == raw[:MIB] + bytes(MIB) + part
    assert card[9 * MIB : 9 * MIB + 8192] == raw[9 * MIB : 9 * MIB + 8192]
    assert not any(card[3 * MIB : 9 * MIB])
    assert result.written == 2 * MIB + 8192


@pytest.mark.parametrize("kind", ["raw", "zst"])
def test_a_range_that_is_not_what_the_map_says_leaves_the_card_unfinished(
    kind: str, raw: bytes, tmp_path: Path
) -> None:
    (tmp_path / "image").write_bytes(raw if kind == "raw" else zstandard.compress(raw))
    blocks = BlockMap(SIZE, (Range(0, 4096), Range(6 * MIB, 8 * MIB, "0" * 64)), "sha256")
    (result,) = flash(tmp_path / "image", tmp_path / "card", blocks=blocks)
    assert result.state is State.FAILED
    assert isinstance(result.error, BadImage)
    assert "bytes 6291456 to 14680063" in str(result.error)
    assert is_unfinished(tmp_path / "card")


def test_the_map_of_another_image_is_refused_and_nothing_written(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(raw)
    with pytest.raises(BadImage, match="the block map is for an image of 4096 bytes"):
        flash(tmp_path / "image", tmp_path / "card", blocks=BlockMap(4096, (Range(0, 4096),)))
    assert not (tmp_path / "card").exists()


def test_a_card_too_small_is_refused_and_keeps_what_it_holds(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(raw)
    (tmp_path / "card").write_bytes(b"precious")
    (result,) = flash(tmp_path / "image", tmp_path / "card", room=10 * MIB)
    assert result.state is State.FAILED
    assert isinstance(result.error, InvalidUsage)
    assert "too small: it has 10485760 bytes" in str(result.error)
    assert (tmp_path / "card").read_bytes() == b"precious"


def test_an_image_file_of_a_size_keeps_that_size(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(raw)
    (result,) = flash(tmp_path / "image", tmp_path / "card", room=32 * MIB)
    assert result.state is State.DONE
    assert (tmp_path / "card").stat().st_size == 32 * MIB
    assert (tmp_path / "card").read_bytes().rstrip(b"\0") == raw.rstrip(b"\0")


def test_a_corrupt_image_fails_every_card_and_leaves_them_unfinished(raw: bytes, tmp_path: Path) -> None:
    packed = bytearray(xz(raw))
    packed[len(packed) // 2] ^= 1
    (tmp_path / "image.xz").write_bytes(packed)
    results = flash(tmp_path / "image.xz", tmp_path / "a", tmp_path / "b")
    assert [r.state for r in results] == [State.FAILED, State.FAILED]
    assert all("corrupt xz" in str(r.error) for r in results)
    assert is_unfinished(tmp_path / "a")
    assert is_unfinished(tmp_path / "b")


def test_one_card_that_cannot_be_opened_stops_no_other(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(raw)
    results = flash(tmp_path / "image", tmp_path / "good", tmp_path / "no" / "such" / "folder", Path("/dev/null"))
    assert [r.state for r in results] == [State.DONE, State.FAILED, State.FAILED]
    assert isinstance(results[1].error, NotFound)
    assert "neither a block device nor a file" in str(results[2].error)
    assert (tmp_path / "good").read_bytes() == raw


def test_when_no_card_is_left_the_image_is_not_read_on(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(raw)
    results = flash(tmp_path / "image", Path("/dev/null"), tmp_path / "no" / "folder")
    assert [r.state for r in results] == [State.FAILED, State.FAILED]


def test_cancelled_before_it_began_and_in_the_middle(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image.xz").write_bytes(xz(raw))
    cancel = threading.Event()
    cancel.set()
    (result,) = flash(tmp_path / "image.xz", tmp_path / "card", cancel=cancel)
    assert result.state is State.CANCELLED
    assert isinstance(result.error, Cancelled)

    class Cancels(list[Progress]):
        """Cancels at the first sign of life."""

        def append(self, progress: Progress) -> None:
            again.set()

    again = threading.Event()
    (tmp_path / "large").write_bytes(os.urandom(MIB) * 64)
    (result,) = flash(tmp_path / "large", tmp_path / "card", cancel=again, seen=Cancels())
    assert result.state is State.CANCELLED
    assert result.written < 64 * MIB
    assert "marked unfinished" in str(result.error)
    assert (tmp_path / "card").read_bytes()[:510].startswith(UNFINISHED)


def test_what_on_progress_raises_stops_all_threads(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(raw)

    class Breaks(list[Progress]):
        def append(self, progress: Progress) -> None:
            raise KeyboardInterrupt

    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt):
        flash(tmp_path / "image", tmp_path / "card", seen=Breaks())
    assert threading.active_count() == before


def test_progress_ends_with_all_read_back(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image.zst").write_bytes(zstandard.compress(raw))
    seen: list[Progress] = []
    flash(tmp_path / "image.zst", tmp_path / "a", tmp_path / "b", seen=seen)
    for name in ("a", "b"):
        last = [one for one in seen if one.name == name][-1]
        assert last.phase is Phase.VERIFY
        assert last.done == last.total == SIZE
        assert last.share == 1.0
        assert last.left_s == 0.0


def test_without_reading_back_it_is_said_so(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(raw)
    seen: list[Progress] = []
    (result,) = flash(tmp_path / "image", tmp_path / "card", verify=False, seen=seen)
    assert (result.state, result.verified) == (State.DONE, False)
    assert {one.phase for one in seen} == {Phase.WRITE}
    assert seen[-1].done == SIZE


def test_what_comes_last_is_done_on_a_whole_card_and_may_fail_for_one(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(raw)
    seen: dict[str, bool] = {}

    def finish(target: Target) -> None:
        seen[target.name] = is_unfinished(target.path) and target.path.read_bytes() == guarded(raw[:512]) + raw[512:]
        with target.path.open("r+b") as file:
            file.seek(5 * MIB)
            file.write(b"node")
        if target.name == "b":
            raise Unsupported("no boot partition")

    with open_stream(tmp_path / "image") as stream:
        targets = [Target(name, tmp_path / name) for name in ("a", "b")]
        results = write(stream, targets, cancel=threading.Event(), finish=finish)
    assert seen == {"a": True, "b": True}
    assert [r.state for r in results] == [State.DONE, State.FAILED]
    assert str(results[1].error) == "no boot partition"
    assert (tmp_path / "a").read_bytes() == raw[: 5 * MIB] + b"node" + raw[5 * MIB + 4 :]
    assert not is_unfinished(tmp_path / "a")
    assert is_unfinished(tmp_path / "b")


def test_the_same_card_twice_and_no_card_are_refused(raw: bytes, tmp_path: Path) -> None:
    (tmp_path / "image").write_bytes(raw)
    (tmp_path / "link").symlink_to(tmp_path / "card")
    with pytest.raises(InvalidUsage, match="the same card"):
        flash(tmp_path / "image", tmp_path / "card", tmp_path / "link")
    with pytest.raises(InvalidUsage, match="no card"):
        flash(tmp_path / "image")


def test_a_small_image_is_all_head(tmp_path: Path) -> None:
    content = os.urandom(100_000)
    (tmp_path / "image.zst").write_bytes(zstandard.compress(content))
    (result,) = flash(tmp_path / "image.zst", tmp_path / "card")
    assert result.state is State.DONE
    assert (tmp_path / "card").read_bytes() == content


@pytest.mark.parametrize("size", [4 * MIB, 8 * MIB, MIB])
def test_an_image_of_whole_blocks_ends_where_it_ends(size: int, tmp_path: Path) -> None:
    content = os.urandom(size)
    (tmp_path / "image").write_bytes(content)
    (tmp_path / "image.zst").write_bytes(zstandard.compress(content))
    for name in ("image", "image.zst"):
        (result,) = flash(tmp_path / name, tmp_path / "card")
        assert result.state is State.DONE
        assert (tmp_path / "card").read_bytes() == content
    sparse(tmp_path / "image", bytes(MIB) + content + bytes(9 * MIB))
    (result,) = flash(tmp_path / "image", tmp_path / "card")
    assert (tmp_path / "card").read_bytes() == bytes(MIB) + content + bytes(9 * MIB)
