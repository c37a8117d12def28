"""One image to many targets at once: unpacked once, a thread a target, each read back as soon as it is written.

The first MiB, with the partition table, comes after all else is on the target and was found equal; until then a mark
stands there. It comes guarded (`guard.py`), and what it guards against ends with the last block that is written: a card
that was pulled, or whose writing was cancelled, does not boot.
"""

import os
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from im_client.flash.bmap import BlockMap
from im_client.flash.buffers import Buffers, Piece, Span, aligned
from im_client.flash.guard import SECTOR, UNFINISHED, guarded, is_unfinished
from im_client.flash.model import BadImage, Phase, Progress, Result, State, Target
from im_client.flash.pieces import HEAD_BYTES, Cutter
from im_client.flash.progress import Meter
from im_client.flash.sink import Sink
from im_client.flash.streams import Stream
from im_client.flash.verify import check, digests
from infracore.errors import Cancelled, InfraError, InvalidUsage

__all__ = ["UNFINISHED", "is_unfinished", "write"]

_BUFFERS: Final = 6
"""Blocks of 4 MiB in flight: two that are written, and as many as let a slow moment of one target not stop the rest."""
_LOOK_S: Final = 0.2
_TAIL_BYTES: Final = 1 << 20
"""Zeroed at a device's end: the copy of an old GPT stands there."""


def write(
    stream: Stream,
    targets: Sequence[Target],
    *,
    blocks: BlockMap | None = None,
    on_progress: Callable[[Progress], None] = lambda _: None,
    cancel: threading.Event,
    verify: bool = True,
    finish: Callable[[Target], None] | None = None,
) -> tuple[Result, ...]:
    """Write the image to all targets and return what became of each, in their order; blocks until all have ended.

    A target that fails stops no other. `on_progress` is called in this thread, five times a second for each target.
    `finish` is called for each target that holds the image, in that target's thread, while the device is held open and
    its first sector is guarded; where it raises an InfraError that target has failed and stays unfinished.
    Without `blocks` a raw image's own holes are its map, and long runs of zeros in a packed one are zeroed.

    Raises:
        InvalidUsage: no targets, or two that are the same. BadImage: the map is another image's. Nothing was written.
    """
    _refuse_same(targets)
    run = _Run(Cutter(stream, blocks, Buffers(_BUFFERS)), cancel)
    writers = [_Writer(target, run, verify=verify, finish=finish) for target in targets]
    with ThreadPoolExecutor(len(writers) + 1, thread_name_prefix="flash") as pool:
        try:
            ends = [pool.submit(writer.work) for writer in writers]
            ends.append(pool.submit(_read, stream, run, writers))
            _follow(ends, writers, run, on_progress)
        except BaseException:
            cancel.set()
            run.stop.set()
            raise
    for end in ends:
        end.result()
    return tuple(writer.result() for writer in writers)


def _refuse_same(targets: Sequence[Target]) -> None:
    if not targets:
        raise InvalidUsage("no card is named", "example: /dev/sdX")
    seen: dict[object, str] = {}
    for target in targets:
        try:
            facts = target.path.stat()
            key: object = facts.st_rdev or (facts.st_dev, facts.st_ino)
        except OSError:
            key = os.path.realpath(target.path)
        if key in seen:
            raise InvalidUsage(f"{seen[key]} and {target.name} are the same card: {target.path}", "nothing was written")
        seen[key] = target.name


class _Run:
    """What reader and writers share."""

    def __init__(self, cutter: Cutter, cancel: threading.Event) -> None:
        self.cutter = cutter
        self.cancel = cancel
        self.stop = threading.Event()
        """Set when nobody wants more of the image."""


@dataclass(frozen=True, slots=True)
class _End:
    """The image is over: whole, or with an error."""

    error: InfraError | None = None


def _read(stream: Stream, run: _Run, writers: "Sequence[_Writer]") -> None:
    """Hand every piece of the image to every writer, then its end."""
    end = _End(Cancelled("the image was not read to its end"))
    try:
        for piece in run.cutter.pieces(run.stop):
            piece.hold(len(writers))
            for writer in writers:
                writer.queue.put(piece)
        if not run.stop.is_set():
            end = _End()
    except InfraError as error:
        end = _End(error)
    except OSError as error:
        end = _End(BadImage(f"{stream.path} cannot be read: {error.strerror}"))
    finally:
        for writer in writers:
            writer.queue.put(end)


def _follow(
    ends: "list[Future[None]]", writers: "Sequence[_Writer]", run: _Run, on_progress: Callable[[Progress], None]
) -> None:
    """Tell how far all are until they have ended, and pass on that somebody cancels."""
    meters: dict[tuple[Target, Phase], Meter] = {}
    told: dict[Target, tuple[Phase, int]] = {}
    while True:
        over = all(end.done() for end in ends)
        if run.cancel.is_set() or all(writer.is_over for writer in writers):
            run.stop.set()
        for writer in writers:
            phase, done, total = writer.now
            if told.get(writer.target) == (phase, done):
                continue
            told[writer.target] = phase, done
            key = writer.target, phase
            if key not in meters:
                meters[key] = Meter(writer.target.name, phase, total)
            on_progress(meters[key].at(time.monotonic(), done))
        if over:
            return
        wait(ends, _LOOK_S)


class _Writer:
    """Writes one target, in a thread of its own."""

    def __init__(self, target: Target, run: _Run, *, verify: bool, finish: Callable[[Target], None] | None) -> None:
        self.target = target
        self.queue: queue.SimpleQueue[Piece | _End] = queue.SimpleQueue()
        self.now: tuple[Phase, int, int | None] = (Phase.WRITE, 0, run.cutter.total)
        """What is done, how much of it, of how much; read by another thread."""
        self.is_over = False
        self._run = run
        self._verify = verify
        self._finish = finish
        self._spans: list[Span] = []
        self._written = 0
        self._verified = False
        self._is_begun = False
        self._error: InfraError | None = None
        self._has_end = False

    def result(self) -> Result:
        """Return what became of it, once `work` has ended."""
        if self._error is None:
            return Result(self.target, State.DONE, self._written, self._verified, None, self._run.cutter.size, True)
        state = State.CANCELLED if isinstance(self._error, Cancelled) else State.FAILED
        return Result(self.target, state, self._written, error=self._error, is_begun=self._is_begun)

    def work(self) -> None:
        """Write, read back, finish; then take and free what still comes, so that nobody waits for this one."""
        try:
            size = self._run.cutter.image_size or 0
            self._refuse_larger(size)  # before a file is emptied
            sink = Sink(self.target)
            try:
                self._refuse_larger(size, sink.capacity)
                self._fill(sink)
            finally:
                sink.close()
        except InfraError as error:
            self._error = error
        finally:
            self.is_over = True
            while not self._has_end:
                item = self.queue.get()
                self._has_end = isinstance(item, _End)
                if isinstance(item, Piece):
                    item.release()

    def _fill(self, sink: Sink) -> None:
        self._mark(sink)
        while isinstance(item := self.queue.get(), Piece):
            try:
                for span in item.spans:
                    self._put(sink, item, span)
            finally:
                item.release()
        self._has_end = True
        if item.error is not None:
            raise self._cancelled() if isinstance(item.error, Cancelled) else item.error
        size = self._run.cutter.size
        if sink.capacity > size + _TAIL_BYTES and sink.is_device:
            sink.zero(sink.capacity - _TAIL_BYTES, _TAIL_BYTES)
        sink.cut(max(-(-size // sink.align) * sink.align, self.target.size))
        sink.flush()
        self._check(sink, self._spans, size)
        is_whole = False
        try:
            self._end(sink, size)
            is_whole = True
        finally:
            if not is_whole:
                with suppress(InfraError):  # what went wrong before says more
                    self._mark(sink)
        sink.show_partitions()

    def _end(self, sink: Sink, size: int) -> None:
        """Write the head, guarded; then do what comes last, and take the guard off."""
        head = self._run.cutter.head
        length = min(size, HEAD_BYTES)
        own = aligned(HEAD_BYTES)
        own[:] = head
        own[:SECTOR] = guarded(bytes(head[:SECTOR]))
        sink.write(own[: -(-length // sink.align) * sink.align], 0)
        sink.flush()
        self._written += length
        if self.now[0] is Phase.WRITE:
            self._count(length)
        self._check(sink, [Span(0, length, digests(own[:length]))], size)
        sink.cut(max(size, self.target.size, sink.align))
        if self._finish is not None:
            self.now = Phase.FINISH, 0, None
            self._look()
            self._finish(self.target)
        sink.flush()
        block = aligned(sink.align)  # one, which is there whole or not at all
        sink.read(block, 0)
        block[:SECTOR] = head[:SECTOR]
        sink.write(block, 0)
        sink.flush()
        if self._verify:
            check(sink, [Span(0, len(block), digests(block))], lambda _: None, threading.Event())
            self._verified = True
        sink.cut(max(size, self.target.size))
        sink.flush()

    def _mark(self, sink: Sink) -> None:
        self._is_begun = True
        mark = aligned(HEAD_BYTES)
        mark[: len(UNFINISHED)] = UNFINISHED
        sink.write(mark[: min(HEAD_BYTES, sink.capacity or HEAD_BYTES)], 0)
        sink.flush()

    def _put(self, sink: Sink, piece: Piece, span: Span) -> None:
        length = -(-span.length // sink.align) * sink.align
        self._refuse_larger(span.end, sink.capacity)
        if span.digests is None:
            done = 0
            while done < length:
                self._look()
                step = sink.zero(span.offset + done, length - done)
                done += step
                self._count(step)
        else:
            assert piece.block is not None  # noqa: S101 - spans of bytes come with a block
            self._look()
            at = span.offset - piece.offset
            sink.write(piece.block[at : at + length], span.offset)
            self._count(span.length)
            self._written += span.length
        last = self._spans[-1] if self._spans else None
        if last is not None and last.digests is None and span.digests is None and last.end == span.offset:
            self._spans[-1] = Span(last.offset, last.length + span.length)
        else:
            self._spans.append(span)

    def _check(self, sink: Sink, spans: list[Span], size: int) -> None:
        if not self._verify:
            return
        if self.now[0] is not Phase.VERIFY:
            self.now = Phase.VERIFY, 0, sum(span.length for span in spans) + min(size, HEAD_BYTES)
        check(sink, spans, self._count, self._run.cancel)

    def _count(self, count: int) -> None:
        phase, done, total = self.now
        self.now = phase, done + count, total

    def _look(self) -> None:
        if self._run.cancel.is_set():
            raise self._cancelled()

    def _cancelled(self) -> Cancelled:
        at = self._spans[-1].end if self._spans else 0
        return Cancelled(f"{self.target.name}: cancelled at byte {at}, it is marked unfinished", "flash it again")

    def _refuse_larger(self, size: int, capacity: int = 0) -> None:
        room = capacity or self.target.size
        if room and size > room:
            raise InvalidUsage(
                f"{self.target.name} ({self.target.path}) is too small: it has {room} bytes, the image at least {size}",
                "use a larger card",
            )
