"""Blocks of memory that direct I/O takes, shared by all who write the same bytes."""

import mmap
import queue
import threading
from dataclasses import dataclass, field
from typing import Final

__all__ = ["BLOCK_BYTES", "Buffers", "Piece", "Span", "aligned"]

BLOCK_BYTES: Final = 4 << 20


def aligned(size: int) -> memoryview:
    """Return zeroed memory that begins at a page."""
    return memoryview(mmap.mmap(-1, size))


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the image: bytes with the digests of their parts (see `verify`), or zeros, which have none."""

    offset: int
    length: int
    digests: tuple[int, ...] | None = None

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.offset + self.length


@dataclass(eq=False, slots=True)
class Piece:
    """Spans that are to be written, and the block that holds the bytes of those that are no zeros."""

    offset: int
    """In the image, of the block's begin."""
    block: memoryview | None
    spans: tuple[Span, ...]
    pool: "Buffers"
    _holders: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def hold(self, count: int) -> None:
        """Note how many will release it; to be called once, before it is handed out."""
        self._holders = count

    def release(self) -> None:
        """Give it back; the last who does so frees the block."""
        with self._lock:
            self._holders -= 1
            is_free = self._holders == 0
        if is_free and self.block is not None:
            self.pool.free.put(self.block)


class Buffers:
    """A fixed number of blocks: who wants one waits until one is free."""

    def __init__(self, count: int) -> None:
        self.free: queue.SimpleQueue[memoryview] = queue.SimpleQueue()
        for _ in range(count):
            self.free.put(aligned(BLOCK_BYTES))

    def take(self, stop: threading.Event, look_s: float = 0.2) -> memoryview | None:
        """Return a block; None once `stop` is set."""
        while not stop.is_set():
            try:
                return self.free.get(timeout=look_s)
            except queue.Empty:
                continue
        return None
