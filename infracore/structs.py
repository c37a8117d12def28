"""Types of msgspec made ready before several threads use them."""

from collections.abc import Iterator
from typing import Any

import msgspec

__all__ = ["make_ready"]


def make_ready(*packages: str) -> None:
    """Let msgspec find out all that it has to know of the Structs of these packages, as far as they are imported.

    It does so when a type is first read, and a thread that comes meanwhile finds it half known and the process dies:
    with msgspec 0.22.0, 14 threads that read their first list together ended 2 of 60 processes with SIGSEGV. To be
    called before threads begin; may be repeated, which costs some 10 microseconds a type.
    """
    for struct in _below(msgspec.Struct):
        if struct.__module__.partition(".")[0] in packages:
            try:
                msgspec.msgpack.Decoder(struct)
            except TypeError:  # of what no document holds; nobody reads such a type
                continue


def _below(base: type[Any]) -> Iterator[type[Any]]:
    for found in base.__subclasses__():
        yield found
        yield from _below(found)
