"""Following a change until it has ended: by the operation that ours has, by states and log at the original."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from im_client.plan.model import Phase
from im_client.remote.vms import phase_of
from im_client.services.model import NodeReport
from im_client.services.remote.model import Infrastructure, Kind
from im_client.services.remote.reading import ids, log, look
from im_client.services.remote.server import Server
from im_client.state.store import RunState
from infracore.errors import Cancelled, InfraError, NotFound, TimedOut, Transient
from infracore.events import Event, EventKind, Listener
from infracore.im_rest import Said, id_of, path_of, vm_states

__all__ = ["Ended", "Follower", "node_reports"]

_STREAM_S: Final = 24 * 3600.0
_UNKNOWN_S: Final = 300.0
"""How long the original may say `unknown` before it counts as an end."""
_ASK_AGAIN_S: Final = 3.0
_QUIET_S: Final = 15.0
"""How long the original may not say that it deletes, before that counts as an end."""
_ENDS: Final[Mapping[str, RunState]] = {
    "done": RunState.DONE,
    "partly-done": RunState.PARTLY_DONE,
    "failed": RunState.FAILED,
    "cancelled": RunState.INTERRUPTED,
}
_KINDS: Final = {kind.value: kind for kind in EventKind}
_BETWEEN: Final = frozenset({Phase.PENDING, Phase.RUNNING, Phase.DELETING, Phase.UNKNOWN})
_BAD: Final = frozenset({Phase.FAILED, Phase.UNCONFIGURED, Phase.UNKNOWN, Phase.GONE})


@dataclass(frozen=True, slots=True)
class Ended:
    """How a change ended."""

    state: RunState
    error: str = ""
    hint: str = ""
    operation: str = ""


@dataclass(slots=True)
class _Told:
    """What has been shown already."""

    phases: dict[str, Phase] = field(default_factory=dict)
    lines: int = 0


class Follower:
    """Waits for the changes of one command, and tells of them."""

    def __init__(self, server: Server, listener: Listener, cancel: threading.Event) -> None:
        self.server = server
        self._listener = listener
        self._cancel = cancel
        self._began = server.clock.monotonic()
        self._names: dict[str, str] = {}

    @property
    def elapsed_s(self) -> float:
        """Seconds since the command began."""
        return self.server.clock.monotonic() - self._began

    def tell(self, kind: EventKind, node: str = "", phase: str = "", text: str = "") -> None:
        """Make an event now."""
        self._listener(Event(self.server.clock.now(), kind, node, phase, text, None if node else self.elapsed_s))

    def know(self, seen: Infrastructure) -> None:
        """Take the names of machines."""
        self._names.update({machine.id: machine.name for machine in seen.machines})

    def until_done(self, infra: str, said: Said, *, is_there: Callable[[Mapping[str, Phase]], bool]) -> Ended:
        """Wait for the change behind an answer. `is_there`: whether states are what was wanted, at the original.

        Raises:
            Cancelled: interrupted; the original goes on, ours is asked to stop and that is waited for.
        """
        operation = said.headers.get("operation", "")
        if operation:
            return self._operation(id_of(operation))
        return self._states(infra, is_there)

    def until_gone(self, infra: str, said: Said, *, once_more: Callable[[], object]) -> Ended:
        """Wait until an infrastructure is no longer listed.

        The original drops a deletion that comes while machines are being made (IM 2.0.0): `once_more` asks again.
        """
        operation = said.headers.get("operation", "")
        if operation:
            try:
                return self._operation(id_of(operation))
            except NotFound:
                if infra in ids(self.server):
                    raise
                return Ended(RunState.DONE, operation=id_of(operation))
        told = _Told()
        quiet_since: float | None = None
        is_asked = False
        while infra in ids(self.server):
            state, states = self._state(infra, told)
            now = self.server.clock.monotonic()
            is_at_it = state in {"deleting", "gone"} or any(phase is Phase.DELETING for phase in states.values())
            quiet_since = None if is_at_it else quiet_since or now
            if quiet_since is not None and now - quiet_since > _ASK_AGAIN_S and not is_asked:
                is_asked = True
                try:
                    once_more()
                except NotFound:
                    continue
            if quiet_since is not None and now - quiet_since > _QUIET_S:
                last = [line for line in log(self.server, infra).splitlines() if line.strip()][-1:]
                error = f"the server has it still, {state}"
                return Ended(RunState.FAILED, ": ".join([error, *last]), "look at: im logs INFRA")
            self._pause()
        return Ended(RunState.DONE)

    # ours

    def _operation(self, operation: str) -> Ended:
        path = f"/operations/{operation}"
        stop = threading.Event()
        stream = threading.Thread(target=self._stream, args=(path, stop), name="remote-events", daemon=True)
        stream.start()
        asked = False
        try:
            while True:
                found = self.server.get(path).data
                state = str(found.get("state", ""))
                if state in _ENDS:
                    break
                if self._cancel.is_set() and not asked:
                    asked = True
                    self.server.change("DELETE", path)
                self._wait(min(1.0, self.server.settings.poll_s), heed=not asked)
        finally:
            stop.set()
        stream.join(2.0)
        words = [str(found.get(key, "")) for key in ("error", "summary")]
        return Ended(_ENDS[state], words[0] or words[1], str(found.get("hint", "")), operation)

    def _stream(self, path: str, stop: threading.Event) -> None:
        """Tell the events of an operation; where the stream breaks off it is taken up again."""
        after = ""
        while not stop.is_set():
            try:
                for number, kind, data in self.server.rest.events(f"{path}/events", limit_s=_STREAM_S, after=after):
                    after = number or after
                    if kind == "end":
                        return
                    self._tell_theirs(kind, data)
            except Transient:
                pass  # the state of the operation is asked for besides
            except InfraError as error:
                self.tell(EventKind.NOTE, text=f"no events: {error.message}")
                return
            if stop.wait(1.0):
                return

    def _tell_theirs(self, kind: str, data: Mapping[str, Any]) -> None:
        found = _KINDS.get(kind)
        if found in {None, EventKind.RUN_STARTED, EventKind.RUN_ENDED}:
            return  # one command may be several runs there
        words = {key: value for key in ("node", "phase", "text") if isinstance(value := data.get(key), str)}
        self.tell(found or EventKind.NOTE, **words)

    # the original

    def _states(self, infra: str, is_there: Callable[[Mapping[str, Phase]], bool]) -> Ended:
        told = _Told()
        ends = self.server.clock.monotonic() + self.server.settings.wait_s
        unknown_since: float | None = None
        while True:
            state, states = self._state(infra, told)
            now = self.server.clock.monotonic()
            unknown_since = (unknown_since or now) if state == "unknown" else None
            settled = states and not any(phase in _BETWEEN for phase in states.values()) and is_there(states)
            lost = unknown_since is not None and now - unknown_since > _UNKNOWN_S
            if settled or state == "failed" or lost or (not states and is_there(states)):
                return _judged(state, states)
            if now > ends:
                raise TimedOut(
                    f"the server still works on it after {self.server.settings.wait_s:g} s",
                    "it goes on: im show INFRA; setting remote.wait_s says how long is waited",
                )
            self._pause()

    def _state(self, infra: str, told: _Told) -> tuple[str, Mapping[str, Phase]]:
        """Ask for the states and tell what has changed."""
        try:
            state, words = vm_states(self.server.get(path_of(infra, "state")))
        except NotFound:
            return "gone", {}
        states = {vm: phase_of(word) for vm, word in words.items()}
        if any(vm not in self._names for vm in states):
            try:
                self.know(look(self.server, infra))
            except NotFound:
                return state, states
        for vm, phase in states.items():
            if told.phases.get(vm) is not phase:
                told.phases[vm] = phase
                self._tell_phase(self._names.get(vm, f"vm-{vm}"), phase)
        self._tell_log(infra, told)
        return state, states

    def _tell_phase(self, name: str, phase: Phase) -> None:
        if phase in {Phase.CONFIGURED, Phase.STOPPED}:
            self.tell(EventKind.NODE_DONE, name, text=phase.value)
        elif phase in {Phase.FAILED, Phase.UNCONFIGURED}:
            self.tell(EventKind.NODE_FAILED, name, text=phase.value)
        else:
            self.tell(EventKind.PHASE, name, phase=phase.value)

    def _tell_log(self, infra: str, told: _Told) -> None:
        try:
            lines = [line for line in log(self.server, infra).splitlines() if line.strip()]
        except NotFound:
            return
        for line in lines[max(told.lines, len(lines) - 3) :]:
            self.tell(EventKind.NOTE, text=line.strip()[:200])
        told.lines = len(lines)

    def _pause(self) -> None:
        self._wait(self.server.settings.poll_s, heed=True)

    def _wait(self, seconds: float, *, heed: bool) -> None:
        """Wait; where the original is waited for, an interruption ends it at once: it cannot be told to stop."""
        quiet = self._cancel if heed else threading.Event()
        if self.server.clock.wait(quiet, seconds) and self.server.kind is not Kind.OURS:
            raise Cancelled(
                f"no longer waiting; {self.server.address} cannot be told to stop, and goes on",
                "look at it: im show INFRA, im logs INFRA --follow",
            )


def _judged(state: str, states: Mapping[str, Phase]) -> Ended:
    bad = [vm for vm, phase in states.items() if phase in _BAD]
    if not bad and state not in {"failed", "unknown"}:
        return Ended(RunState.DONE)
    error = f"{len(bad)} of {len(states)} machines are not well" if states else f"the server says: {state}"
    found = RunState.PARTLY_DONE if len(bad) < len(states) else RunState.FAILED
    return Ended(found, error, "look at: im logs INFRA")


def node_reports(server: Server, seen: Infrastructure) -> Sequence[NodeReport]:
    """Return what became of each machine, with the end of its log where it is not well."""
    found = []
    for machine in seen.machines:
        ok = machine.phase not in _BAD
        error = ""
        if not ok:
            try:
                lines = [line.strip() for line in log(server, seen.id, machine.id).splitlines() if line.strip()]
            except InfraError:
                lines = []
            error = lines[-1][:300] if lines else f"it is {machine.phase}"
        found.append(NodeReport(machine.name, ok, machine.phase, error, "" if ok else "see: im logs INFRA"))
    return found
