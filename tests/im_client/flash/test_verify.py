"""Reading back: what a target lost or changed is found, and where."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.flash.buffers import BLOCK_BYTES, Span, aligned
from im_client.flash.model import BadBlock, Target
from im_client.flash.sink import Sink
from im_client.flash.verify import PART_BYTES, check, digests
from infracore.errors import Cancelled

MIB = 1 << 20


@pytest.fixture
def sink(tmp_path: Path) -> Iterator[Sink]:
    """A file of 12 MiB: 5 MiB of bytes, then zeros."""
    found = Sink(Target("node-1", tmp_path / "card"))
    found.cut(12 * MIB)
    yield found
    found.close()


def written(sink: Sink) -> list[Span]:
    block = aligned(BLOCK_BYTES)
    block[:] = os.urandom(BLOCK_BYTES)
    sink.write(block, 0)
    sink.write(block[:MIB], BLOCK_BYTES)
    sink.flush()
    return [Span(0, BLOCK_BYTES, digests(block)), Span(BLOCK_BYTES, MIB, digests(block[:MIB])), Span(5 * MIB, 7 * MIB)]


def test_what_is_as_it_was_written_passes(sink: Sink) -> None:
    counts: list[int] = []
    check(sink, written(sink), counts.append, threading.Event())
    assert sum(counts) == 12 * MIB


@pytest.mark.parametrize("at", [0, PART_BYTES - 1, 3 * MIB + 5, 5 * MIB - 1, 5 * MIB, 9 * MIB + 70_000, 12 * MIB - 1])
def test_one_changed_byte_is_found_where_it_stands(at: int, sink: Sink, tmp_path: Path) -> None:
    spans = written(sink)
    with (tmp_path / "card").open("r+b") as file:
        file.seek(at)
        byte = file.read(1)
        file.seek(at)
        file.write(bytes([byte[0] ^ 1]))
        file.flush()
        os.fsync(file.fileno())
    with pytest.raises(BadBlock, match="node-1") as found:
        check(sink, spans, lambda _: None, threading.Event())
    assert found.value.offset == at // PART_BYTES * PART_BYTES
    assert f"from byte {found.value.offset}" in str(found.value)


def test_a_card_that_ends_too_early_is_told_so(sink: Sink) -> None:
    spans = written(sink)
    sink.cut(6 * MIB)
    with pytest.raises(BadBlock, match="cannot be read at byte 6291456: it ends there"):
        check(sink, spans, lambda _: None, threading.Event())


def test_reading_back_can_be_cancelled(sink: Sink) -> None:
    spans = written(sink)
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        check(sink, spans, lambda _: None, cancel)
