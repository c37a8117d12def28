"""What a provider may offer besides: to list and remove all that it made for an infrastructure beside machines.

Security groups, key pairs, networks, addresses, volumes, images: each carries the infrastructure's mark (a tag, or its
name where there are no tags), so that nothing is leaked and `im orphans` finds what no state knows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Keeps", "Thing"]


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing at a place that carries our mark and is no machine."""

    id: str
    kind: str
    """In the place's words: `volume`, `floating IP`, `security group`, `key pair`, `network`."""
    name: str
    infrastructure: str
    token: str = ""
    """Of the machine that it was made for; "": of the infrastructure."""
    used_by: str = ""
    """Id of the machine that uses it now."""


@runtime_checkable
class Keeps(Protocol):
    """A provider that makes more than machines."""

    def things(self, infrastructure: str | None = None) -> Sequence[Thing]:
        """List what carries the mark of one infrastructure, or any mark of ours, in the order in which it can go."""
        ...

    def remove_thing(self, thing: Thing) -> None:
        """Remove one and wait until it is gone. Absent: succeeds.

        Raises:
            Conflict: something uses it; the message says what.
        """
        ...

    def release(self, infrastructure: str) -> Sequence[str]:
        """Remove all things of an infrastructure whose machines are gone; return, a line each, what could not be."""
        ...
