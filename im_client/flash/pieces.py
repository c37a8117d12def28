"""An image cut into pieces that many targets write: what is mapped, what is zeros, and the begin that comes last."""

import hashlib
import os
import threading
from collections.abc import Iterable, Iterator
from typing import Any, Final

from im_client.flash.bmap import BlockMap, Range, map_file
from im_client.flash.buffers import BLOCK_BYTES, Buffers, Piece, Span, aligned
from im_client.flash.model import BadImage
from im_client.flash.streams import Stream
from im_client.flash.verify import PART_BYTES, digests, zero_digest

__all__ = ["HEAD_BYTES", "Cutter"]

HEAD_BYTES: Final = 1 << 20
"""The partition table, and the GPT where there is one: written last, so that an unfinished card does not boot."""
_ZERO_RUN: Final = 4
"""Parts of 64 KiB; fewer zeros are written like other bytes, which is quicker than one more request."""
_ZEROS: Final = bytes(PART_BYTES)


class Cutter:
    """Reads a stream once. To be used by one thread."""

    def __init__(self, stream: Stream, blocks: BlockMap | None, pool: Buffers) -> None:
        """Raises BadImage where the map is that of another image."""
        if blocks is not None and stream.size not in {None, blocks.size}:
            raise BadImage(
                f"the block map is for an image of {blocks.size} bytes, {stream.path} holds {stream.size}",
                "take the map that belongs to the image, or none",
            )
        self._stream = stream
        self._fd = stream.fileno()
        if blocks is None and self._fd is not None:
            blocks = map_file(self._fd, stream.size or 0)
        self._blocks = blocks
        self._pool = pool
        self._range = 0
        self._hash: Any = None
        self.head = aligned(HEAD_BYTES)
        """The image's first bytes; whole once the first piece is there."""
        self.size = 0
        """Bytes of the image that were seen; all of them at the end."""

    @property
    def total(self) -> int | None:
        """Bytes that a target has to take, as far as they are known beforehand."""
        if self._blocks is None or self._blocks.holes_are_zero:
            return self._stream.size
        return self._blocks.mapped

    @property
    def image_size(self) -> int | None:
        """Bytes of the whole image, as far as they are known beforehand."""
        return self._stream.size if self._blocks is None else self._blocks.size

    def pieces(self, stop: threading.Event) -> Iterator[Piece]:
        """Yield the pieces in their order, until `stop` is set. Who takes one must release it.

        Raises:
            BadImage: truncated, corrupt, or not what its block map says.
        """
        while not stop.is_set():
            hole = self._skip()
            if hole is not None:
                yield hole
            if self._fd is not None and self.size == self._stream.size:
                return
            block = self._pool.take(stop)
            if block is None:
                return
            is_last = True
            try:
                count = self._read(block)
                is_last = count < BLOCK_BYTES
                block[count : -(-count // 4096) * 4096] = bytes(-count % 4096)
                offset = self.size
                self.size += count
                spans = self._spans(block, offset, count) if count else ()
            except BaseException:
                self._pool.free.put(block)
                raise
            yield Piece(offset, block, spans, self._pool)
            if is_last:
                break
        if not stop.is_set():
            self._check_end()

    def _skip(self) -> Piece | None:
        """Leave out the blocks of a raw image in which nothing is mapped."""
        if self._fd is None or self._blocks is None or not self.size:
            return None
        following = self._following()
        start = following.start if following else self._blocks.size
        offset, length = self.size, start // BLOCK_BYTES * BLOCK_BYTES - self.size
        if following is None:
            length = start - offset
        if length <= 0:
            return None
        self.size += length
        spans = (Span(offset, length),) if self._blocks.holes_are_zero else ()
        return Piece(offset, None, spans, self._pool)

    def _following(self) -> Range | None:
        assert self._blocks is not None  # noqa: S101 - asked only where there is a map
        ranges = self._blocks.ranges
        while self._range < len(ranges) and ranges[self._range].end <= self.size:
            self._range += 1
        return ranges[self._range] if self._range < len(ranges) else None

    def _read(self, block: memoryview) -> int:
        if self._fd is None or self._blocks is None:
            return self._stream.read_into(block)
        count = min(BLOCK_BYTES, self._blocks.size - self.size)
        wanted = list(self._mapped(self.size, count))
        if not self.size:  # all of the head, its holes too
            wanted.insert(0, (0, min(HEAD_BYTES, count)))
        for at, length in wanted:
            self._read_at(block[at : at + length], self.size + at)
        return count

    def _read_at(self, part: memoryview, offset: int) -> None:
        assert self._fd is not None  # noqa: S101
        done = 0
        while done < len(part):
            try:
                count = os.preadv(self._fd, [part[done:]], offset + done)
            except OSError as error:
                raise BadImage(
                    f"{self._stream.path} cannot be read at byte {offset + done}: {error.strerror}"
                ) from error
            if not count:
                raise BadImage(f"truncated image: {self._stream.path} ends at byte {offset + done}")
            done += count

    def _mapped(self, offset: int, count: int) -> Iterator[tuple[int, int]]:
        """Yield where in the block what is mapped begins, and its length."""
        if self._blocks is None:
            yield 0, count
            return
        ranges = self._blocks.ranges
        for number in range(self._range, len(ranges)):
            one = ranges[number]
            start, end = max(one.start, offset), min(one.end, offset + count)
            if one.start >= offset + count:
                return
            if start < end:
                yield start - offset, end - start

    def _spans(self, block: memoryview, offset: int, count: int) -> tuple[Span, ...]:
        if self._blocks is not None:
            self._check_ranges(block, offset, count)
        behind = 0
        if not offset:
            behind = min(HEAD_BYTES, count)
            self.head[:behind] = block[:behind]
        spans: list[Span] = []
        for start, length in self._mapped(offset, count):
            at = max(start, behind)
            if self._blocks is not None and self._blocks.holes_are_zero and behind < at:
                spans.append(Span(offset + behind, at - behind))
            if at < start + length:
                spans += _split(block[at : start + length], offset + at)
            behind = max(behind, start + length)
        if self._blocks is not None and self._blocks.holes_are_zero and behind < count:
            spans.append(Span(offset + behind, count - behind))
        if self._blocks is not None:
            self._following()
        return tuple(spans)

    def _check_ranges(self, block: memoryview, offset: int, count: int) -> None:
        """Go on with the checksums of the map's ranges that lie in this block."""
        assert self._blocks is not None  # noqa: S101
        ranges = self._blocks.ranges
        for number in range(self._range, len(ranges)):
            one = ranges[number]
            if one.start >= offset + count:
                return
            if not one.digest or one.end <= offset:
                continue
            start, end = max(one.start, offset), min(one.end, offset + count)
            if start == one.start:
                self._hash = hashlib.new(self._blocks.algorithm)
            self._hash.update(block[start - offset : end - offset])
            if end == one.end and self._hash.hexdigest() != one.digest:
                raise BadImage(
                    f"{self._stream.path}: bytes {one.start} to {one.end - 1} are not those of its block map",
                    "the image was changed, or the map is that of another",
                )

    def _check_end(self) -> None:
        if not self.size:
            raise BadImage(f"{self._stream.path} holds an empty image")
        wanted = self.image_size
        if wanted is not None and self.size != wanted:
            raise BadImage(f"{self._stream.path} holds {self.size} bytes, and should {wanted}", "fetch it again")


def _split(part: memoryview, offset: int) -> Iterable[Span]:
    """Cut mapped bytes into spans of bytes and long runs of zeros."""
    found = digests(part)
    zero = zero_digest(PART_BYTES)
    if zero not in found:
        return (Span(offset, len(part), found),)
    spans: list[Span] = []
    begin = at = 0
    while at < len(found):
        behind = at
        while behind < len(found) and found[behind] == zero and _is_zero(part, behind):
            behind += 1
        if behind - at >= _ZERO_RUN:
            if begin < at:
                spans.append(Span(offset + begin * PART_BYTES, (at - begin) * PART_BYTES, found[begin:at]))
            spans.append(Span(offset + at * PART_BYTES, (behind - at) * PART_BYTES))
            begin = behind
        at = max(behind, at + 1)
    if begin < len(found):
        spans.append(Span(offset + begin * PART_BYTES, len(part) - begin * PART_BYTES, found[begin:]))
    return spans


def _is_zero(part: memoryview, number: int) -> bool:
    return bytes(part[number * PART_BYTES : (number + 1) * PART_BYTES]) == _ZEROS
