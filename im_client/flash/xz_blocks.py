"""An xz of several blocks unpacked on all cores, a block a thread.

`xz -T0` packs such files, Raspberry Pi OS's among them. The index at the file's end tells where each block is; each is
unpacked as a stream of its own (`stream_around`), so that liblzma looks at its check.
"""

import os
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import IO, Final

from im_client.flash.model import BadImage
from im_client.flash.stream import Stream
from im_client.flash.unpack import XZ_MEMORY, unpacked, unxz
from im_client.flash.xz_index import XzBlock, XzIndex, dictionary_bytes, stream_around

__all__ = ["XzBlocks", "threads_for"]

_MOST_THREADS: Final = 4
_INPUT: Final = 128 << 10
_PART: Final = 256 << 10
_AHEAD: Final = 96 << 20
"""Bytes unpacked before they are asked for: of two threads four blocks, as `xz -6 -T0` makes them."""
_BLOCKS_A_THREAD: Final = 2
"""Blocks begun for each thread: one of zeros is done long before the one that is waited for."""
_LOOK_S: Final = 0.2


def threads_for(fd: int, index: XzIndex) -> int:
    """Return how many threads unpack a file: as many as there are blocks, cores and memory for."""
    if not index.blocks:
        return 1
    need = dictionary_bytes(os.pread(fd, 1024, index.blocks[0].offset)) or XZ_MEMORY
    return max(1, min(_MOST_THREADS, len(os.sched_getaffinity(0)), len(index.blocks), XZ_MEMORY // need))


class XzBlocks(Stream):
    """The blocks one after another, some of them unpacked ahead."""

    kind = "xz"

    def __init__(self, path: Path, file: IO[bytes], index: XzIndex, threads: int) -> None:
        super().__init__(path, file)
        self.size = index.size
        self._stop = threading.Event()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="xz")
        begun = threads * _BLOCKS_A_THREAD
        self._most = _AHEAD // begun
        self._blocks = iter(index.blocks)
        self._running: deque[_Unpacking] = deque()
        self._rest = memoryview(b"")
        for _ in range(begun):
            self._begin()

    @property
    def taken(self) -> int:
        return self._running[0].taken if self._running else self.length

    def read_into(self, block: memoryview) -> int:
        done = 0
        while done < len(block):
            if not self._rest:
                if not self._running:
                    break
                self._next()
                continue
            count = min(len(self._rest), len(block) - done)
            block[done : done + count] = self._rest[:count]
            self._rest = self._rest[count:]
            done += count
        return done

    def close(self) -> None:
        self._stop.set()
        self._pool.shutdown()
        super().close()

    def _next(self) -> None:
        """Take the next part of the first block; behind its end begin another."""
        part = self._running[0].take()
        if isinstance(part, BadImage):
            raise part
        if part is None:
            self._running.popleft()
            self._begin()
        else:
            self._rest = memoryview(part)

    def _begin(self) -> None:
        block = next(self._blocks, None)
        if block is not None:
            one = _Unpacking(self, self._file.fileno(), block, self._most, self._stop)
            self._running.append(one)
            self._pool.submit(one.work)


class _Unpacking:
    """One block that is being unpacked, at most so many bytes ahead."""

    def __init__(self, stream: Stream, fd: int, block: XzBlock, most: int, stop: threading.Event) -> None:
        self.taken = block.offset
        """Bytes of the file up to where it is."""
        self._stream = stream
        self._fd = fd
        self._block = block
        self._most = most
        self._stop = stop
        self._parts: deque[bytes | BadImage | None] = deque()
        self._held = 0
        """Bytes of them."""
        self._changed = threading.Condition()

    def take(self) -> bytes | BadImage | None:
        """Return the next part, once it is there; at the end None, or what is wrong."""
        with self._changed:
            self._changed.wait_for(lambda: self._parts)
            part = self._parts.popleft()
            self._held -= len(part) if isinstance(part, bytes) else 0
            self._changed.notify()
            return part

    def work(self) -> None:
        """Unpack the block, as far ahead as there is room."""
        try:
            for part in self._unpacked():
                if not self._put(part):
                    return
            self._put(None)
        except BadImage as error:
            self._put(error)

    def _unpacked(self) -> Iterator[bytes]:
        head, tail = stream_around(self._block)
        unpacker, inputs = unxz(), chain((head,), self._packed(), (tail,))
        while not unpacker.eof:
            data = b""
            if unpacker.needs_input and not (data := next(inputs, b"")):
                what = f"corrupt xz: {self._stream.path} before byte {self.taken}: a block wants more than it has"
                raise BadImage(what, "fetch it again")
            if part := unpacked(self._stream, unpacker, data, _PART):
                yield part

    def _packed(self) -> Iterator[bytes]:
        end = self._block.offset + -(-self._block.unpadded // 4) * 4
        while self.taken < end:
            try:
                data = os.pread(self._fd, min(_INPUT, end - self.taken), self.taken)
            except OSError as error:
                what = f"{self._stream.path} cannot be read at byte {self.taken}: {error.strerror}"
                raise BadImage(what) from error
            if not data:
                raise BadImage(f"truncated xz: {self._stream.path} ends too early", "fetch it again")
            self.taken += len(data)
            yield data

    def _put(self, part: bytes | BadImage | None) -> bool:
        """Hand it over when there is room; return False when nobody wants it any more."""
        with self._changed:
            if isinstance(part, bytes):  # an end takes no room
                while self._held >= self._most and not self._stop.is_set():
                    self._changed.wait(_LOOK_S)
                self._held += len(part)
            self._parts.append(part)
            self._changed.notify()
        return not self._stop.is_set()
