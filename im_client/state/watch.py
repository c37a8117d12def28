"""Signs of life of a server or worker, and what others do to operations: told by the database as it happens."""

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final
from uuid import uuid4

import psycopg

from im_client.state.postgres import PostgresDatabase
from im_client.state.store import StateLost
from infracore.errors import InfraError

__all__ = ["Watch"]

_LOG: Final = logging.getLogger(__name__)
_LOOK_S: Final = 1.0
"""A message may be lost with its connection: so all is looked at this often besides, by one small query."""
_PAUSE_S: Final = 1.0
_BEATS: Final = 5
_BEAT: Final = """
    INSERT INTO process (id, kind, host, pid, beat_at, lease_s) VALUES (%s, %s, %s, %s, clock_timestamp(), %s)
    ON CONFLICT (id) DO UPDATE SET beat_at = excluded.beat_at"""
_FORGET: Final = "DELETE FROM process WHERE beat_at < clock_timestamp() - interval '1 day'"


class Watch:
    """One connection and one thread of a server or worker."""

    def __init__(self, database: PostgresDatabase, kind: str, lease_s: float) -> None:
        self.id = str(uuid4())
        self._database = database
        self._kind = kind
        self._lease_s = lease_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._told: Callable[[frozenset[str] | None], None] = lambda _: None

    def start(self, told: Callable[[frozenset[str] | None], None]) -> None:
        """Begin; returns when this process is known.

        `told` is called on the thread, with the ids of operations that have changed; None: any may have.

        Raises:
            InfraError: the database is away.
        """
        self._told = told
        with self._database.write("process") as db:
            db.connection.execute(_FORGET)
            db.connection.execute(_BEAT, self._words())
        self._thread.start()

    def close(self) -> None:
        """End, and say that this process is gone. May be repeated."""
        if self._stop.is_set():
            return
        self._stop.set()
        self._thread.join(10)
        if self._database.is_away:  # then it is known when its lease has run out
            return
        try:
            with self._database.write("process") as db:
                db.connection.execute("DELETE FROM process WHERE id = %s", (self.id,))
        except InfraError as error:
            _LOG.warning("%s", error)

    def _words(self) -> tuple[object, ...]:
        return (self.id, self._kind, socket.gethostname(), os.getpid(), self._lease_s)

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._database.own_connection() as connection:
                    self._listen(connection)
            except StateLost:
                self._stop.wait(_PAUSE_S)
            except InfraError as error:
                _LOG.error("no sign of life could be given: %s", error)
                self._stop.wait(_PAUSE_S)

    def _listen(self, connection: "psycopg.Connection[dict[str, Any]]") -> None:
        connection.execute("LISTEN im_operation")
        every_s = self._lease_s / _BEATS
        beat_at = float("-inf")
        while not self._stop.is_set():
            if time.monotonic() - beat_at >= every_s:
                beat_at = time.monotonic()
                connection.execute(_BEAT, self._words())
            said = frozenset(n.payload for n in connection.notifies(timeout=min(_LOOK_S, every_s), stop_after=1))
            self._told(said or None)
