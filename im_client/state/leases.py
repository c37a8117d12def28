"""One writer an infrastructure on many machines: a row in PostgreSQL, with a token and signs of life.

A process renews its locks several times within their lease; one that stays silent for longer is taken for dead, and
whoever wants the lock takes it over with a greater token (a fencing token). Every write to an infrastructure by the
process that holds its lock is checked against the token in the same transaction (`PostgresDatabase.write`), so that a
process which was only paused writes nothing when it wakes. Times are the database's own: clocks of machines differ.

A provider checks no token. So this process also asks its own clock, before each call that changes something there,
whether its lease may have run out (`check`); the one that counts while it is stopped or its machine sleeps.
"""

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

from im_client.state.locks import Holder, Locks, LostLock, locked
from im_client.state.postgres import PostgresDatabase
from im_client.state.store import StateLost
from infracore.clock import Clock, SystemClock
from infracore.errors import Cancelled, InfraError, Locked

__all__ = ["PostgresLocks"]

_LOG: Final = logging.getLogger(__name__)
_POLL_S: Final = 0.5
_BEATS: Final = 5
"""Signs of life within one lease: four may be lost on their way."""
_IS_DEAD: Final = "beat_at < clock_timestamp() - lease_s * interval '1 second'"
_TAKE: Final = f"""
    INSERT INTO infrastructure_lock AS l (infrastructure, token, owner, verb, pid, host, since, beat_at, lease_s)
    VALUES (%(infrastructure)s, nextval('lock_token'), %(owner)s, %(verb)s, %(pid)s, %(host)s, %(since)s,
            clock_timestamp(), %(lease_s)s)
    ON CONFLICT (infrastructure) DO UPDATE SET token = excluded.token, owner = excluded.owner, verb = excluded.verb,
        pid = excluded.pid, host = excluded.host, since = excluded.since, beat_at = excluded.beat_at,
        lease_s = excluded.lease_s
    WHERE l.{_IS_DEAD.replace("lease_s", "l.lease_s")}
    RETURNING token"""  # noqa: S608 (nothing of a caller's is in it)
_BEAT: Final = """
    UPDATE infrastructure_lock SET beat_at = clock_timestamp() WHERE owner = %s AND token = ANY(%s)
    RETURNING infrastructure, token"""
_HOLDER: Final = (
    f"SELECT pid, verb, host, since, {_IS_DEAD} AS is_dead FROM infrastructure_lock WHERE infrastructure = %s"  # noqa: S608
)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


@dataclass(slots=True)
class _Held:
    """A lock that this process has taken."""

    token: int
    cancel: threading.Event
    beat_at: float
    """When it was last renewed for certain: the moment before the database was asked, on this computer's clock."""
    is_lost: bool = False


class PostgresLocks:
    """See the protocol `Locks`. Renews what it holds on a thread of its own."""

    def __init__(self, database: PostgresDatabase, lease_s: float, now: Callable[[], float] = _now) -> None:
        """`now` returns seconds that also pass while this process is stopped or its machine sleeps."""
        self._database = database
        self._lease_s = lease_s
        self._now = now
        self._owner = str(uuid4())
        self._held: dict[str, _Held] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def hold(
        self,
        infrastructure: str,
        verb: str,
        *,
        wait_s: float = 0.0,
        clock: Clock | None = None,
        cancel: threading.Event | None = None,
        name: str = "",
    ) -> Iterator[None]:
        clock, cancel = clock or SystemClock(), cancel or threading.Event()
        until = clock.monotonic() + wait_s
        while not self._take(infrastructure, verb, clock.now(), cancel):
            left = until - clock.monotonic()
            if left <= 0:
                raise self._refusal(infrastructure, name or infrastructure, clock.now())
            if clock.wait(cancel, min(_POLL_S, self._lease_s / _BEATS, left)):
                raise Cancelled(f"cancelled while waiting for {name or infrastructure}")
        try:
            yield
        finally:
            self._free(infrastructure)

    def holder(self, infrastructure: str) -> Holder | None:
        with self._database.read() as db:
            row = db.connection.execute(_HOLDER, (infrastructure,)).fetchone()
        return None if row is None or row["is_dead"] else _holder(row)

    def check(self, infrastructure: str) -> None:
        with self._lock:
            held = self._held.get(infrastructure)
        if held is None or not (held.is_lost or self._now() - held.beat_at > self._lease_s):
            return
        raise LostLock(
            f"this process was not heard from for {self._lease_s:g} s, and another may go on with {infrastructure}",
            "nothing more is done here",
        )

    def inside(self) -> "Locks":
        """Return the locks as work sees them that is done under locks of this process: those it has anyway."""
        return _Inside(self)

    def holds(self, infrastructure: str) -> bool:
        """Return whether this process has taken the lock."""
        with self._lock:
            return infrastructure in self._held

    def close(self) -> None:
        """End the thread. What is still held becomes free when its lease has run out."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(10)

    def _take(self, infrastructure: str, verb: str, now: float, cancel: threading.Event) -> bool:
        words = {
            "infrastructure": infrastructure,
            "owner": self._owner,
            "verb": verb,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": now,
            "lease_s": self._lease_s,
        }
        began = self._now()
        with self._database.write(f"lock {infrastructure}") as db:
            before = db.connection.execute(_HOLDER, (infrastructure,)).fetchone()
            if before is not None and not before["is_dead"]:
                return False
            row = db.connection.execute(_TAKE, words).fetchone()
        if row is None:
            return False
        if before is not None:
            _LOG.warning(
                "took %s over from process %d on %s (im %s), which was not heard from any more",
                infrastructure,
                before["pid"],
                before["host"],
                before["verb"],
            )
        with self._lock:
            self._held[infrastructure] = _Held(row["token"], cancel, began)
            self._database.fences[infrastructure] = row["token"]
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
                self._thread.start()
        return True

    def _free(self, infrastructure: str) -> None:
        with self._lock:
            held = self._held.pop(infrastructure)
            self._database.fences.pop(infrastructure, None)
        if self._database.is_away:  # it becomes free by itself when its lease has run out
            return
        with contextlib.suppress(InfraError), self._database.write(f"lock {infrastructure}") as db:
            db.connection.execute("DELETE FROM infrastructure_lock WHERE token = %s", (held.token,))

    def _refusal(self, infrastructure: str, name: str, now: float) -> Locked:
        return locked(self.holder(infrastructure) or Holder(0, "", "", 0.0), name, now)

    def _beat(self) -> None:
        """Give signs of life until the end, on a connection that nothing else waits for."""
        while not self._stop.is_set():
            began = self._now()
            asked: dict[str, int] = {}
            try:
                with self._database.own_connection() as connection:
                    while not self._stop.wait(self._lease_s / _BEATS):
                        began, asked = self._now(), self._asked()
                        if asked:
                            found = connection.execute(_BEAT, (self._owner, list(asked.values())))
                            self._note(asked, {row["infrastructure"]: row["token"] for row in found}, began)
            except InfraError as error:
                if not isinstance(error, StateLost):  # that is logged already
                    _LOG.error("no sign of life could be given: %s", error)
                self._note(asked or self._asked(), None, began)
                self._stop.wait(self._lease_s / _BEATS)

    def _asked(self) -> dict[str, int]:
        with self._lock:
            return {infrastructure: held.token for infrastructure, held in self._held.items()}

    def _note(self, asked: dict[str, int], kept: dict[str, int] | None, began: float) -> None:
        """Note which locks were renewed, and let what goes on under a lost one end; `kept` None: nobody answered."""
        with self._lock:
            for infrastructure, held in self._held.items():
                if asked.get(infrastructure) != held.token:
                    continue  # taken meanwhile
                if kept is not None and kept.get(infrastructure) == held.token:
                    held.beat_at = began
                elif not held.is_lost and (kept is not None or began - held.beat_at > self._lease_s):
                    held.is_lost = True
                    held.cancel.set()
                    _LOG.error("lost the lock of %s: this process was not heard from in time", infrastructure)


class _Inside:
    """Takes nothing that this process has taken."""

    def __init__(self, locks: PostgresLocks) -> None:
        self._locks = locks

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
        if self._locks.holds(infrastructure):
            return contextlib.nullcontext()
        return self._locks.hold(infrastructure, verb, wait_s=wait_s, clock=clock, cancel=cancel, name=name)

    def holder(self, infrastructure: str) -> Holder | None:
        return None if self._locks.holds(infrastructure) else self._locks.holder(infrastructure)

    def check(self, infrastructure: str) -> None:
        self._locks.check(infrastructure)

    def close(self) -> None:
        """Do nothing: they belong to another."""


def _holder(row: dict[str, Any]) -> Holder:
    return Holder(row["pid"], row["verb"], row["host"], row["since"])
