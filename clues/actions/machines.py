"""The book of machines: what drivers list, what was ordered, what nodes show, brought together."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from clues.history import MachineRecord
from clues.options import BackOff, MachineOption, Pool
from clues.power.base import MachineReport, PowerState
from clues.snapshot import Machine, MachineState, NodeState, Snapshot

__all__ = ["MachineBook", "Surprise"]

_POWERED: Final = frozenset({MachineState.ON, MachineState.BOOTING, MachineState.STOPPING})
_MISSES: Final = 2
"""Lists in a row that a machine must be missing from before it is forgotten: a list may be older than an order."""


_GRACE_S: Final = 60.0
"""How long a Node object may say ready after its machine went off: kube-controller-manager's
--node-monitor-grace-period is 40 s, since Kubernetes 1.32 50 s."""


class Surprise(msgspec.Struct, frozen=True):
    """A machine changed without us."""

    hook: str
    """`unexpected_poweron`, `unexpected_poweroff` or `unknown`."""
    pool: str
    machine: str


class MachineBook:
    """All machines of all pools, owned by the loop's thread.

    An action that is under way says so by `Machine.order`; as long as it does, drivers and nodes do not change the
    state but for one: a node that is ready makes its machine ON.
    """

    def __init__(self, pools: Sequence[Pool], records: Iterable[MachineRecord], now: float) -> None:
        self._records: dict[tuple[str, str], MachineRecord] = {}
        self._of_node: dict[str, tuple[str, str]] = {}
        self._seen: dict[tuple[str, str], NodeState | None] = {}
        self._misses: dict[tuple[str, str], int] = {}
        self._options: dict[tuple[str, str], MachineOption] = {}
        self._pools: dict[str, Pool] = {}
        self._views: dict[str, tuple[Machine, ...]] = {}
        self._dirty: set[tuple[str, str]] = set()
        self._gone: set[tuple[str, str]] = set()
        self.version = 0
        self.surprises: list[Surprise] = []
        """What changed without us, for whoever tells it to take."""
        for record in records:
            self._put(record, stored=True)
        self.configure(pools, now)

    def configure(self, pools: Sequence[Pool], now: float) -> None:
        """Take over pools: their individuals are known from then on; machines of pools that are gone are forgotten."""
        self._pools = {pool.name: pool for pool in pools}
        self._options = {(pool.name, option.name): option for pool in pools for option in pool.machines}
        for key, record in [*self._records.items()]:
            pool = self._pools.get(key[0])
            if not record.machine.order and (pool is None or (pool.powered and key not in self._options)):
                self.forget(*key)
        for key, option in self._options.items():
            node = option.node or option.name
            known = self._records.get(key)
            if known is None:
                self._put(MachineRecord(Machine(option.name, key[0], MachineState.UNKNOWN, now, node)))
            elif known.machine.node != node:
                self.change(*key, node=node)

    # reading

    def machines(self) -> Mapping[str, tuple[Machine, ...]]:
        """Return pool -> machines; the same object for a pool that did not change."""
        for pool in {key[0] for key in self._records} | set(self._pools):
            if pool not in self._views:
                self._views[pool] = tuple(
                    record.machine for key, record in sorted(self._records.items()) if key[0] == pool
                )
        return dict(self._views)

    def get(self, pool: str, name: str) -> Machine | None:
        """Return a machine."""
        record = self._records.get((pool, name))
        return None if record is None else record.machine

    def record(self, pool: str, name: str) -> MachineRecord | None:
        """Return all that is remembered of a machine."""
        return self._records.get((pool, name))

    def of_node(self, node: str) -> Machine | None:
        """Return the machine that is a node."""
        key = self._of_node.get(node)
        return None if key is None else self._records[key].machine

    def named(self, name: str) -> list[Machine]:
        """Return the machines of a name, a node name, or `POOL/NAME`."""
        pool, slash, short = name.partition("/")
        if slash:
            return [record.machine for key, record in self._records.items() if key == (pool, short)]
        return [r.machine for key, r in self._records.items() if key[1] == name or r.machine.node == name]

    def option(self, pool: str, name: str) -> MachineOption | None:
        """Return the settings of an individual machine."""
        return self._options.get((pool, name))

    # changing

    def change(self, pool: str, name: str, *, reason: str | None = None, **changes: Any) -> Machine:
        """Change fields of a machine, making it if it is not there (then with `state` and `since`)."""
        key = (pool, name)
        record = self._records.get(key)
        if record is None:
            record = MachineRecord(Machine(name, pool, changes["state"], changes["since"]))
        old, on_since = record.machine, record.on_since
        new = msgspec.structs.replace(old, **changes)
        if new.state is not old.state and "since" in changes:
            if new.state is MachineState.ON:
                on_since = new.since
            elif old.state is MachineState.ON or (on_since is not None and new.state is MachineState.OFF):
                spent = max(0.0, new.since - (on_since or old.since))
                new, on_since = msgspec.structs.replace(new, on_seconds=new.on_seconds + spent), None
            if new.state is MachineState.OFF and old.state in _POWERED:
                new = msgspec.structs.replace(new, last_off_at=new.since)
        before = record.ready_before
        if new.state is MachineState.OFF and old.state in _POWERED:
            seen = self._seen.get(key)
            before = seen.node.ready_since if isinstance(seen, NodeState) and seen.node.ready else None
        record = MachineRecord(new, record.reason if reason is None else reason, on_since, before)
        if record != self._records.get(key):
            self._put(record)
        return new

    def forget(self, pool: str, name: str) -> None:
        """Take a machine out of the book. May be repeated."""
        key = (pool, name)
        record = self._records.pop(key, None)
        if record is None:
            return
        if self._of_node.get(record.machine.node) == key:
            del self._of_node[record.machine.node]
        for book in (self._seen, self._misses):
            book.pop(key, None)
        self._dirty.discard(key)
        self._gone.add(key)
        self._views.pop(pool, None)
        self.version += 1

    def shift(self, seconds: float) -> None:
        """Move all times along with a wall clock that was set."""
        for key, record in [*self._records.items()]:
            old = record.machine
            off = None if old.last_off_at is None else old.last_off_at + seconds
            machine = msgspec.structs.replace(old, since=old.since + seconds, last_off_at=off)
            on = None if record.on_since is None else record.on_since + seconds
            seen = self._seen.get(key, _NEVER)
            self._put(MachineRecord(machine, record.reason, on, record.ready_before))
            if seen is not _NEVER:
                self._seen[key] = seen  # type: ignore[assignment]

    def observe(self, snapshot: Snapshot) -> list[Machine]:
        """Let nodes change the states of their machines; return the machines whose state changed.

        Takes time in the number of machines, and works only on those whose node changed.
        """
        nodes, changed = snapshot.nodes, []
        for key, record in [*self._records.items()]:
            machine = record.machine
            node = nodes.get(machine.node) if machine.node else None
            if self._seen.get(key, _NEVER) is node:
                continue
            if self._says_old(record, node, snapshot.now):
                continue  # looked at again in every pass, until the time tells
            self._seen[key] = node
            state = machine.state
            if state is MachineState.STOPPING:
                continue
            if node is not None and node.node.ready:
                state = MachineState.ON
            elif node is None and state is MachineState.ON:
                # its Node was deleted while it runs: it is expected to register again, and given up if it does not
                state = MachineState.BOOTING
            if state is not machine.state:
                if state is MachineState.ON and machine.state is MachineState.OFF and not machine.order:
                    self.surprises.append(Surprise("unexpected_poweron", *key))
                changed.append(self.change(*key, state=state, since=snapshot.now))
        return changed

    def is_ready(self, pool: str, name: str, node: NodeState, now: float) -> bool:
        """Whether a machine's node is ready since it was last turned off, not still."""
        record = self._records.get((pool, name))
        return node.node.ready and (record is None or not self._says_old(record, node, now))

    @staticmethod
    def _says_old(record: MachineRecord, node: NodeState | None, now: float) -> bool:
        off_at = record.machine.last_off_at
        return (
            node is not None
            and node.node.ready
            and record.ready_before is not None
            and node.node.ready_since == record.ready_before
            and off_at is not None
            and 0 <= now - off_at < _GRACE_S
        )

    def rest(self, now: float, backoff: BackOff, most: int) -> float | None:
        """Let individuals that failed be tried again once their rest is over; one that failed `most` times stays.

        Returns when the next rest ends. A rest doubles with each failure in a row, as a pool's does.
        """
        next_at: float | None = None
        for key in self._options:
            record = self._records[key]
            machine = record.machine
            if machine.state is not MachineState.FAILED or machine.failures >= most or machine.failures == 0:
                continue
            ends = machine.since + min(backoff.initial_s * 2 ** min(machine.failures - 1, 30), backoff.max_s)
            if now >= ends or now < machine.since:  # the latter: the clock was set back
                self.change(*key, state=MachineState.OFF, since=now)
            else:
                next_at = ends if next_at is None else min(next_at, ends)
        return next_at

    def report(
        self,
        pool: str,
        reports: Sequence[MachineReport],
        now: float,
        *,
        busy: Collection[str] = (),
        asked_at: float | None = None,
    ) -> list[str]:
        """Take over what a driver listed. `busy`: tokens of open actions.

        The driver was asked at `asked_at`: what it says of a machine whose state began later is from before.

        Returns the names of machines that an open action waits for and that are not there any more.
        """
        vanished: list[str] = []
        listed = {report.machine: report for report in reports if report.pool in {"", pool} and report.machine}
        for name, report in listed.items():
            self._misses.pop((pool, name), None)
            known = self.get(pool, name)
            if known is None:
                state = _STATES[report.state]
                self.change(pool, name, state=_orderable(state), since=now, node=report.node)
                continue
            if report.node and report.node != known.node and (pool, name) not in self._options:
                known = self.change(pool, name, node=report.node)
            if known.order in busy and known.order:
                continue
            if asked_at is not None and asked_at < known.since <= now:
                continue
            self._compare(known, report, now)
        for key, record in [*self._records.items()]:
            machine = record.machine
            if key[0] != pool or machine.name in listed or key in self._options:
                continue
            if machine.name == machine.order:  # ordered, and the driver has not named it yet
                continue
            self._misses[key] = self._misses.get(key, 0) + 1
            if self._misses[key] < _MISSES:
                continue
            if machine.order and machine.order in busy:
                vanished.append(machine.name)
                continue
            if machine.state is MachineState.ON:
                self.surprises.append(Surprise("unexpected_poweroff", *key))
            self.forget(*key)
        return vanished

    def _compare(self, known: Machine, report: MachineReport, now: float) -> None:
        """Compare a machine that no action is about with what its driver says."""
        state, said = known.state, _STATES[report.state]
        seen = self._seen.get((known.pool, known.name))
        ready = seen is not None and seen.node.ready
        if said is MachineState.UNKNOWN:
            # nobody can tell: what the node shows counts, and an order may be tried
            said = MachineState.ON if ready else _orderable(state)
        elif said in {MachineState.ON, MachineState.BOOTING}:
            said = MachineState.ON if ready or state is MachineState.ON else MachineState.BOOTING
        elif said is MachineState.OFF and ready:
            return  # the node answers: the driver is behind
        if said is state or (state is MachineState.FAILED and said is MachineState.OFF):
            return
        self.change(known.pool, known.name, state=said, since=now)
        on, off = {MachineState.ON, MachineState.BOOTING}, {MachineState.OFF, MachineState.STOPPING}
        hook = ""
        if state in off and said in on:
            hook = "unexpected_poweron"
        elif state in on and said in off:
            hook = "unexpected_poweroff"
        elif report.state is PowerState.FAILED:
            hook = "unknown"
        if hook:
            self.surprises.append(Surprise(hook, known.pool, known.name))

    def unsaved(self) -> tuple[list[MachineRecord], list[tuple[str, str]]]:
        """Return what changed, and what went, since `saved` was called."""
        return [self._records[key] for key in sorted(self._dirty)], sorted(self._gone)

    def saved(self) -> None:
        """Say that what `unsaved` returned is stored."""
        self._dirty.clear()
        self._gone.clear()

    def _put(self, record: MachineRecord, *, stored: bool = False) -> None:
        machine = record.machine
        key = (machine.pool, machine.name)
        old = self._records.get(key)
        if old is not None and old.machine.node != machine.node:
            self._seen.pop(key, None)
            if self._of_node.get(old.machine.node) == key:
                del self._of_node[old.machine.node]
        if machine.node:
            self._of_node[machine.node] = key
        self._records[key] = record
        self._views.pop(machine.pool, None)
        self.version += 1
        if not stored:
            self._dirty.add(key)
            self._gone.discard(key)


_NEVER: Final = object()
_STATES: Final = {
    PowerState.ON: MachineState.ON,
    PowerState.OFF: MachineState.OFF,
    PowerState.TURNING_ON: MachineState.BOOTING,
    PowerState.TURNING_OFF: MachineState.STOPPING,
    PowerState.FAILED: MachineState.FAILED,
    PowerState.UNKNOWN: MachineState.UNKNOWN,
}


def _orderable(state: MachineState) -> MachineState:
    """A machine of unknown state may be ordered: turning on what is on changes nothing."""
    return {MachineState.UNKNOWN: MachineState.OFF, MachineState.ON: MachineState.BOOTING}.get(state, state)
