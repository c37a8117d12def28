"""Telling Kubernetes: events on pods and nodes, and a ConfigMap with the status. Never in the loop's way."""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final, Protocol

import msgspec
import structlog

from clues.history import ActionKind, Phase
from clues.loop import View
from clues.model import PodRef
from infracore.clock import Clock
from infracore.errors import InfraError

__all__ = ["Announcer", "Note", "Sink"]

_MOST_WAITING: Final = 200
_PODS_OF_A_GROUP: Final = 10
"""Pods of one verdict that get an event: the others are alike."""
_STATUS_EVERY_S: Final = 15.0


class Note(msgspec.Struct, frozen=True):
    """An event to be written."""

    kind: str
    """`Pod` or `Node`."""
    namespace: str
    name: str
    uid: str
    reason: str
    message: str
    warning: bool = False


class Sink(Protocol):
    """Where events and the status go. Errors are `infracore.errors`; each call has a time limit."""

    def write_event(self, note: Note, now: float) -> None: ...

    def write_status(self, namespace: str, name: str, text: str) -> None: ...


class Announcer:
    """A thread that writes what passes left behind, no faster than allowed; what is too much is left out."""

    def __init__(
        self,
        sink: Sink,
        clock: Clock,
        *,
        per_minute: float,
        config_map: str,
        status: Callable[[], str],
        events: bool = True,
    ) -> None:
        self.left_out = 0
        self.problem = ""
        self._sink = sink
        self._clock = clock
        self._per_s = per_minute / 60.0
        self._tokens = self._most = max(1.0, per_minute)
        self._filled_at = clock.monotonic()
        self._namespace, _, self._name = config_map.partition("/")
        self._status = status
        self._events = events
        self._waiting: deque[Note] = deque()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._said: dict[tuple[str, str, str], str] = {}
        self._written = ""
        self._written_at = float("-inf")
        self._thread: threading.Thread | None = None
        self._log = structlog.get_logger("clues.announce")

    def start(self) -> None:
        """Begin to write."""
        self._thread = threading.Thread(target=self._run, name="clues-announce", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop writing; what waits is dropped."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout_s)

    def observe(self, view: View) -> None:
        """Take what one pass leaves behind. Never blocks."""
        if self._events and view.leader:
            for note in self.notes(view):
                if len(self._waiting) >= _MOST_WAITING:
                    self.left_out += 1
                else:
                    self._waiting.append(note)
        if self._waiting or self._name:
            self._wake.set()

    def notes(self, view: View) -> Iterator[Note]:
        """Yield what is new since the last call: nothing is said twice."""
        for turn in view.turns:
            record = turn.record
            if not record.node:
                continue
            say = _NODE_SAYINGS.get((record.kind, record.phase))
            if say is not None:
                reason, text, warning = say
                why = record.error if warning else record.reason
                state = view.snapshot.nodes.get(record.node)
                uid = state.node.uid if state is not None else ""
                yield Note("Node", "", record.node, uid, reason, f"{text}: {why}" if why else text, warning)
        if not view.decided or view.decision is None:
            return
        said: dict[tuple[str, str, str], str] = {}
        for verdict in view.decision.pods:
            saying = _POD_SAYINGS.get(verdict.outcome)
            if saying is None:
                continue
            reason, warning = saying
            refusals = "; ".join(
                f"{r.where}: {r.rule}{f' ({r.detail})' if r.detail else ''}" for r in verdict.refusals[:4]
            )
            message = " ".join(part for part in (verdict.reason, refusals, verdict.place) if part) or verdict.outcome
            for ref in verdict.pods[:_PODS_OF_A_GROUP]:
                key = _key(ref)
                said[key] = reason
                if self._said.get(key) != reason:
                    yield Note("Pod", ref.namespace, ref.name, ref.uid, reason, message[:1000], warning)
        self._said = said

    def _run(self) -> None:
        while not self._stop.is_set():
            self._clock.wait(self._wake, _STATUS_EVERY_S)
            self._wake.clear()
            while self._waiting and not self._stop.is_set():
                self._write(self._waiting.popleft())
            now = self._clock.monotonic()
            if self._name and not self._stop.is_set() and now - self._written_at >= _STATUS_EVERY_S:
                self._written_at = now
                self._write_status()

    def _write(self, note: Note) -> None:
        now = self._clock.monotonic()
        self._tokens = min(self._most, self._tokens + max(0.0, now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._tokens < 1.0:
            self.left_out += 1
            return
        self._tokens -= 1.0
        self._try(lambda: self._sink.write_event(note, self._clock.now()))

    def _write_status(self) -> None:
        text = self._status()
        if text != self._written and self._try(lambda: self._sink.write_status(self._namespace, self._name, text)):
            self._written = text

    def _try(self, write: Callable[[], None]) -> bool:
        try:
            write()
        except InfraError as error:
            if error.message != self.problem:
                self._log.warning("cannot tell Kubernetes", error=error.message, hint=error.hint)
            self.problem = error.message
            return False
        self.problem = ""
        return True


def _key(ref: PodRef) -> tuple[str, str, str]:
    return ref.namespace, ref.name, ref.uid


_POD_SAYINGS: Final = {
    "ordered": ("NodeOrdered", False),
    "unschedulable": ("NoNodeWouldHelp", True),
    "resting": ("PoolsRest", True),
    "limit": ("LimitReached", True),
}
_NODE_SAYINGS: Final = {
    (ActionKind.POWER_OFF, Phase.CORDONING): ("NodeGoing", "cordoned, to be emptied and turned off", False),
    (ActionKind.POWER_OFF, Phase.STOPPING): ("NodePoweringOff", "empty, being turned off", False),
    (ActionKind.POWER_OFF, Phase.CANCELLED): ("NodeStays", "its removal was called off", True),
    (ActionKind.POWER_OFF, Phase.FAILED): ("NodeRemovalFailed", "it could not be removed", True),
    (ActionKind.POWER_ON, Phase.DONE): ("NodePoweredOn", "turned on and ready", False),
    (ActionKind.POWER_ON, Phase.GIVING_UP): ("NodeGivenUp", "given up", True),
}
