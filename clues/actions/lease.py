"""Which of several daemons acts: a Lease of coordination.k8s.io, renewed as client-go's leader election does.

A holder counts itself as leader only until `renew_s` after it *began* its last renewal that succeeded; others take
over when they have seen no change for `duration_s` by their own clock. As the first is shorter than the second, there
are never two, whatever the machines' clocks say (they are compared nowhere).
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from clues.settings import LeaseOptions
from infracore.clock import Clock
from infracore.errors import Conflict, InfraError

__all__ = ["Elector", "LeaseState", "LeaseStore"]


@dataclass(frozen=True, slots=True)
class LeaseState:
    """The Lease as the API server has it."""

    holder: str
    version: str
    """resourceVersion: another at every change."""
    transitions: int = 0
    acquired_at: float = 0.0


class LeaseStore(Protocol):
    """The Lease object. Errors are `infracore.errors`; each call has a time limit below `retry_s`."""

    def read(self) -> LeaseState | None:
        """Return the Lease; None: there is none."""
        ...

    def write(
        self,
        state: LeaseState | None,
        *,
        holder: str,
        transitions: int,
        acquired_at: float,
        now: float,
        duration_s: float,
    ) -> LeaseState:
        """Write the Lease in place of `state` (None: create it). Raises Conflict if somebody was quicker."""
        ...


class Elector:
    """Tries for the Lease in a thread of its own. `on_change` is called when leadership is gained or lost."""

    def __init__(
        self,
        options: LeaseOptions,
        store: LeaseStore,
        identity: str,
        clock: Clock,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.identity = identity
        self.problem = ""
        self._options = options
        self._store = store
        self._clock = clock
        self._on_change = on_change
        self._stop = threading.Event()
        self._state: LeaseState | None = None
        self._seen_at = 0.0
        self._valid_until: float | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_leader(self) -> bool:
        """Whether this daemon may act right now."""
        until = self._valid_until
        return until is not None and self._clock.monotonic() < until

    @property
    def holder(self) -> str:
        """Who holds the Lease, as last seen."""
        return self._state.holder if self._state is not None else ""

    def start(self) -> None:
        """Begin to try."""
        self._thread = threading.Thread(target=self._run, name="clues-lease", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float = 3.0) -> None:
        """Stop, and give the Lease back so that another need not wait for it to run out."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout_s)
        if self.is_leader and self._state is not None:
            self._valid_until = None
            try:
                self._write(self._state, "")
            except InfraError as error:
                self.problem = error.message

    def attempt(self) -> None:
        """Renew or try for the Lease once. Blocks for at most the store's time limit."""
        was = self.is_leader
        began = self._clock.monotonic()
        try:
            self._attempt(began)
            self.problem = ""
        except Conflict:
            self._state = None  # somebody was quicker: look anew
        except InfraError as error:
            self.problem = f"lease {self._options.namespace}/{self._options.name}: {error.message}"
        if self.is_leader != was:
            self._on_change()

    def _attempt(self, began: float) -> None:
        if not (self.is_leader and self._state is not None):
            found = self._store.read()
            if found != self._state or found is None:
                self._state, self._seen_at = found, began
                if found is not None and found.holder not in {"", self.identity}:
                    return  # it lives: `duration_s` begins now
            elif found.holder not in {"", self.identity} and began - self._seen_at < self._options.duration_s:
                return
        self._state = self._write(self._state, self.identity)
        self._seen_at = began
        self._valid_until = began + self._options.renew_s

    def _write(self, state: LeaseState | None, holder: str) -> LeaseState:
        now = self._clock.now()
        same = state is not None and state.holder == holder
        return self._store.write(
            state,
            holder=holder,
            transitions=(state.transitions if state is not None else 0) + (0 if same or state is None else 1),
            acquired_at=state.acquired_at if same and state is not None else now,
            now=now,
            duration_s=self._options.duration_s,
        )

    def _run(self) -> None:
        while not self._stop.is_set():
            was = self.is_leader
            self.attempt()
            if was != self.is_leader:
                self._on_change()
            self._clock.wait(self._stop, self._options.retry_s)
