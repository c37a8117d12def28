"""The record of a run: events on their way to the listener are also stored, in small batches."""

import threading
from pathlib import Path
from typing import Final

from im_client.services.context import Context
from im_client.services.model import Verb
from im_client.state.locks import LostLock
from im_client.state.store import EventRecord, InfrastructureRecord, RunRecord, RunState, StateLost
from infracore.events import Event, EventKind, Listener
from infracore.ids import new_run_id

__all__ = ["Story"]

BATCH: Final = 64
_STORED: Final = frozenset(EventKind) - {EventKind.NOTE}


class Story:
    """One run, from its start to its end. Safe under threads."""

    def __init__(self, ctx: Context, infrastructure: InfrastructureRecord, verb: Verb, listener: Listener) -> None:
        now = ctx.clock.now()
        self._ctx = ctx
        self._listener = listener
        self._waiting: list[EventRecord] = []
        self._most = BATCH
        self._lock = threading.Lock()
        self._began = ctx.clock.monotonic()
        self.id = new_run_id(now)
        self.folder: Path = ctx.runs / infrastructure.id / self.id
        self.folder.mkdir(parents=True, mode=0o700)
        ctx.store.start_run(
            RunRecord(
                id=self.id,
                infrastructure=infrastructure.id,
                verb=verb.value,
                started_at=now,
                log_dir=str(self.folder),
            )
        )
        self.tell(EventKind.RUN_STARTED, text=f"im {verb} {infrastructure.name}")

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return self._ctx.clock.monotonic() - self._began

    def tell(self, kind: EventKind, node: str = "", phase: str = "", text: str = "") -> None:
        """Make an event now and hand it on."""
        self.hear(Event(self._ctx.clock.now(), kind, node, phase, text, self.elapsed_s if not node else None))

    def hear(self, event: Event) -> None:
        """Take an event: to the listener at once, to the store with the next batch."""
        self._listener(event)
        if event.kind not in _STORED:
            return
        text = f"{event.phase}: {event.text}" if event.phase and event.text else event.phase or event.text
        with self._lock:
            self._waiting.append(EventRecord(self.id, event.at, event.kind.value, event.node, text))
            if len(self._waiting) < self._most:
                return
        try:
            self.flush()
        except (LostLock, StateLost):  # of a listener's errors nobody knows; the run's own next write meets the same
            return

    def flush(self) -> None:
        """Store what waits."""
        with self._lock:
            batch, self._waiting, self._most = self._waiting, [], BATCH
        try:
            if batch:
                self._ctx.store.add_events(batch)
        except StateLost:
            with self._lock:
                self._waiting[:0] = batch
                self._most = len(self._waiting) + BATCH  # not with every event: each attempt takes its time
            raise

    def end(self, state: RunState, summary: str) -> None:
        """Tell and store how the run ended."""
        self.tell(EventKind.RUN_ENDED, text=f"{state}: {summary}")
        self.flush()
        self._ctx.store.end_run(self.id, state, summary, self._ctx.clock.now())
