"""Digests of what was written, and reading it back.

The digest is XXH3 of 64 KiB: it finds what a card lost or changed, at the speed of memory. Who made the image is
vouched for elsewhere, by SHA-256.
"""

import threading
from collections.abc import Callable, Iterable
from functools import cache
from typing import Final

import xxhash

from im_client.flash.buffers import BLOCK_BYTES, Span, aligned
from im_client.flash.model import BadBlock
from im_client.flash.sink import Sink
from infracore.errors import Cancelled

__all__ = ["PART_BYTES", "check", "digests", "zero_digest"]

PART_BYTES: Final = 64 << 10


def digests(block: memoryview) -> tuple[int, ...]:
    """Return the digests of a block's parts of 64 KiB; the last part may be shorter."""
    parts = range(0, len(block), PART_BYTES)
    return tuple(xxhash.xxh3_64_intdigest(block[at : at + PART_BYTES]) for at in parts)


@cache
def zero_digest(length: int) -> int:
    """Return the digest of so many zeros."""
    return xxhash.xxh3_64_intdigest(bytes(length))


def check(sink: Sink, spans: Iterable[Span], on_bytes: Callable[[int], None], cancel: threading.Event) -> None:
    """Read the spans back from the target and compare; blocks as long as the target takes.

    Raises:
        BadBlock: something else stands there, or it cannot be read. Cancelled.
    """
    buffer = aligned(BLOCK_BYTES)
    for span in spans:
        for at in range(0, span.length, BLOCK_BYTES):
            if cancel.is_set():
                raise Cancelled(f"{sink.target.name}: cancelled while it was read back")
            length = min(BLOCK_BYTES, span.length - at)
            sink.read(buffer[: -(-length // sink.align) * sink.align], span.offset + at)
            _compare(sink, span, at, digests(buffer[:length]))
            on_bytes(length)


def _compare(sink: Sink, span: Span, at: int, found: tuple[int, ...]) -> None:
    first = at // PART_BYTES
    if span.digests is not None:
        if found == span.digests[first : first + len(found)]:
            return
        wrong = next(n for n, digest in enumerate(found) if digest != span.digests[first + n])
    else:
        last = (min(span.length - at, BLOCK_BYTES) - 1) % PART_BYTES + 1
        wanted = [zero_digest(PART_BYTES)] * (len(found) - 1) + [zero_digest(last)]
        if list(found) == wanted:
            return
        wrong = next(n for n, digest in enumerate(found) if digest != wanted[n])
    offset = span.offset + at + wrong * PART_BYTES
    raise BadBlock(
        f"{sink.target.name} ({sink.target.path}) does not hold what was written, within 64 KiB from byte {offset}",
        "use another card: this one loses what it is given, or is smaller than it says",
        offset=offset,
    )
