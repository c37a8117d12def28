"""What changed from one picture to the next, for the history: states of nodes, pods that are not pending any more."""

from collections.abc import Iterator, Mapping
from typing import Final

from clues.history.model import NodeChange, PodWait
from clues.model import Pod
from clues.snapshot import Machine, MachineState, NodeState, Snapshot

__all__ = ["Tracker", "busy_share", "requested"]

_BUSY_STEP: Final = 0.05
"""A node's share is stored again when it changed by so much."""
_WORDS: Final = {
    MachineState.OFF: "off",
    MachineState.BOOTING: "booting",
    MachineState.ON: "unready",
    MachineState.STOPPING: "stopping",
    MachineState.FAILED: "failed",
    MachineState.UNKNOWN: "unknown",
}


def requested(state: NodeState, resource: str) -> int:
    """Return what the pods of a node ask for, in the resource's unit."""
    return sum(amount for pod in state.pods for name, amount in pod.spec.requests if name == resource)


def busy_share(state: NodeState) -> float:
    """Return the share of a node's cpu or memory, the larger, that its pods ask for."""
    shares = [0.0]
    for resource in ("cpu", "memory"):
        room = state.node.allocatable.get(resource, 0)
        if room > 0:
            shares.append(requested(state, resource) / room)
    return min(1.0, max(shares))


class Tracker:
    """Compares each picture with the last. Its work is in what changed, but for a look at each node's identity."""

    def __init__(self) -> None:
        self._nodes: Mapping[str, NodeState] = {}
        self._machines: Mapping[str, tuple[Machine, ...]] = {}
        self._states: dict[str, tuple[str, str, str, float]] = {}
        self._busy: dict[str, tuple[NodeState, float, bool]] = {}
        self._words: Mapping[str, str] = {}
        self._pending: tuple[Pod, ...] = ()
        self._by_uid: dict[str, Pod] = {}
        self.states: Mapping[str, tuple[str, str, str, float]] = {}
        """Node or machine -> its pool, machine, word and busy share; another object whenever one changed."""
        self.became_idle: list[NodeState] = []
        self.became_used: list[NodeState] = []

    def observe(self, snapshot: Snapshot, words: Mapping[str, str]) -> tuple[list[NodeChange], list[PodWait]]:
        """Return what changed. `words`: node -> `draining` or `stopping`, for those on which something is done.

        `became_idle` and `became_used` hold the nodes that lost their last pod or got their first since the last call.
        """
        self.became_idle, self.became_used = [], []
        came = [state for name, state in snapshot.nodes.items() if self._nodes.get(name) is not state]
        changes: list[NodeChange] = []
        gone = len(snapshot.nodes) - len(came) != len(self._nodes)
        if came or gone or words != self._words or snapshot.machines != self._machines:
            changes = list(self._changes(snapshot, words))
            if changes:
                self.states = dict(self._states)
        waits = list(self._waits(snapshot, came)) if snapshot.pending is not self._pending else []
        self._nodes, self._machines, self._words = snapshot.nodes, snapshot.machines, dict(words)
        return changes, waits

    def _changes(self, snapshot: Snapshot, words: Mapping[str, str]) -> Iterator[NodeChange]:
        seen: dict[str, tuple[str, str, str, float]] = {}
        by_node = {m.node or m.name: m for machines in snapshot.machines.values() for m in machines}
        for name, state in snapshot.nodes.items():
            machine = by_node.get(name)
            off = machine is not None and machine.state in {MachineState.OFF, MachineState.STOPPING}
            if not state.pool:
                word = "unmanaged"
            elif name in words:
                word = words[name]
            elif state.node.ready:
                word = "ready"
            elif machine is not None and (off or machine.state in {MachineState.BOOTING, MachineState.FAILED}):
                word = _WORDS[machine.state]
            else:
                word = "unready"
            seen[name] = (state.pool, machine.name if machine else state.machine, word, self._share(name, state))
        for name, machine in by_node.items():
            if name not in seen:
                word = words.get(name, _WORDS[machine.state])
                seen[name] = (machine.pool, machine.name, "booting" if word == "unready" else word, 0.0)
        for name, now in seen.items():
            before = self._states.get(name)
            if before is None or before[:3] != now[:3] or abs(before[3] - now[3]) >= _BUSY_STEP:
                self._states[name] = now
                yield NodeChange(snapshot.now, name, *now)
        for name in [name for name in self._states if name not in seen]:
            pool, machine_name, _, _ = self._states.pop(name)
            self._busy.pop(name, None)
            yield NodeChange(snapshot.now, name, pool, machine_name, "gone")

    def _share(self, name: str, state: NodeState) -> float:
        known = self._busy.get(name)
        if known is not None and known[0] is state:
            return known[1]
        share, used = busy_share(state), any(not pod.stays_with_node for pod in state.pods)
        if known is not None and state.pool and known[2] != used:
            (self.became_used if used else self.became_idle).append(state)
        self._busy[name] = (state, share, used)
        return share

    def _waits(self, snapshot: Snapshot, came: list[NodeState]) -> Iterator[PodWait]:
        now = {pod.uid: pod for pod in snapshot.pending}
        left = [pod for uid, pod in self._by_uid.items() if uid not in now]
        if left:
            places = {pod.uid: state.node.name for state in came for pod in state.pods}
            for pod in left:
                yield PodWait(pod.namespace, pod.name, pod.uid, pod.created_at, snapshot.now, places.get(pod.uid, ""))
        self._pending, self._by_uid = snapshot.pending, now
