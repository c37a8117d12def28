"""One writer an infrastructure: what every kind of lock promises."""

import socket
import threading
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from infracore.clock import Clock
from infracore.errors import Locked
from infracore.units import format_duration

__all__ = ["Holder", "Locks", "LostLock", "locked"]


class LostLock(Locked):
    """This process was taken for dead, and another goes on with what it did. Nothing was written."""

    code = "lost-lock"


class Holder(msgspec.Struct, frozen=True):
    """Who holds a lock: a process on `host`, running `im VERB`, since `since` (seconds since the epoch)."""

    pid: int
    verb: str
    host: str
    since: float


class Locks(Protocol):
    """The locks of all infrastructures. Safe under threads and processes."""

    def hold(
        self,
        infrastructure: str,
        verb: str,
        *,
        wait_s: float = 0.0,
        clock: Clock | None = None,
        cancel: threading.Event | None = None,
        name: str = "",
    ) -> AbstractContextManager[None]:
        """Hold the lock of an infrastructure, waiting up to `wait_s` for another process (or thread) to free it.

        `name` is what messages call the infrastructure; the id where it is empty. `cancel` ends the waiting, and is
        set where the lock is lost.

        Raises:
            Locked: another holds it; the message says who.
            Cancelled: while waiting.
        """
        ...

    def holder(self, infrastructure: str) -> Holder | None:
        """Return who holds the lock, None if nobody does. Does not wait."""
        ...

    def check(self, infrastructure: str) -> None:
        """Make sure that a lock which this process has taken is still its own: before what cannot be undone.

        Raises:
            LostLock: it is not, or this process has not been heard from for so long that it may not be.
        """
        ...

    def close(self) -> None:
        """Let go of what the locks need. May be repeated."""
        ...


def locked(who: Holder, name: str, now: float) -> Locked:
    """Say who holds a lock."""
    if who.pid == 0:
        return Locked(f"infrastructure {name} is being changed by another process", "try again in a moment")
    where = "" if who.host == socket.gethostname() else f" on {who.host}"
    return Locked(
        f"infrastructure {name} is being changed by `im {who.verb}` "
        f"(process {who.pid}{where}, since {format_duration(max(0.0, now - who.since))})",
        "wait until it has ended, or say how long to wait for it: --wait SECONDS, or the setting lock_wait_s",
    )
