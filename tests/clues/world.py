"""A small world in memory: nodes, pods and machines on a virtual clock. Source, drain and power driver at once."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from clues.actions.hooks import Hooks
from clues.actions.machines import MachineBook
from clues.actions.runner import Runner
from clues.actions.workers import InlineWorkers
from clues.decision import Decision, PowerOn, Removal, RemovalKind
from clues.drain.base import Evictions
from clues.history import ActionKind, History
from clues.model import Node, Owner, Pod, PodRef, PodSpec
from clues.options import MachineOption, Policy, Pool
from clues.power.base import Limits, MachineReport, Order, PowerState, Receipt
from clues.settings import ActionOptions, HookOptions
from clues.snapshot import Machine, NodeState, Snapshot
from infracore.clock import FakeClock
from infracore.errors import NotFound

RACK = Pool(
    "rack",
    driver="fake",
    max=4,
    allocatable={"cpu": 4000, "memory": 8 << 30, "pods": 110},
    powered=True,
    machines=tuple(MachineOption(f"m{n}") for n in range(1, 5)),
)
CLOUD = Pool("cloud", driver="fake", max=10, allocatable={"cpu": 4000, "memory": 8 << 30, "pods": 110})


class Killed(BaseException):
    """kill -9: nothing catches it."""


@dataclass
class Box:
    """A machine."""

    pool: str
    token: str = ""
    on: bool = False
    ready_at: float = 0.0
    untold: str = ""
    """Why its driver cannot tell its state; "" while it can."""


@dataclass
class World:
    """See the module's docstring."""

    clock: FakeClock = field(default_factory=FakeClock)
    pools: tuple[Pool, ...] = (RACK, CLOUD)
    boot_s: float = 30.0
    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[tuple[str, str], Pod] = field(default_factory=dict)
    boxes: dict[str, Box] = field(default_factory=dict)
    parked: set[str] = field(default_factory=set)
    lag: bool = False
    """Pictures show nodes as they were at the last picture without lag."""
    lag_from: str = ""
    """Call that begins the lag."""
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    """Tokens of machines that were made anew, ever."""
    faults: dict[str, list[BaseException]] = field(default_factory=dict)
    """Method -> errors that its next calls raise."""
    protected: set[str] = field(default_factory=set)
    """Names of pods that a budget protects."""
    stale_s: float = 0.0
    complete: bool = True
    registers: bool = True
    obeys: bool = True
    """Whether machines go off when they are told."""
    receipts: bool = True
    slow_to_notice: bool = False
    """Whether nodes say ready although their machine is off or booting."""
    at_boundary: Callable[[], None] = lambda: None
    name: str = "fake"
    limits: Limits = field(default_factory=Limits)
    version: int = 0

    def __post_init__(self) -> None:
        for pool in self.pools:
            for option in pool.machines:
                self.boxes[option.name] = Box(pool.name)

    # the cluster

    def add_node(self, name: str, pool: str = "rack", **fields: Any) -> None:
        self.boxes.setdefault(name, Box(pool)).on = True
        node = Node(name, {}, {"cpu": 4000, "memory": 8 << 30, "pods": 110}, created_at=self.clock.now())
        self.nodes[name] = msgspec.structs.replace(node, **fields)
        self.version += 1

    def add_pod(self, name: str, node: str = "", cpu: int = 1000, **fields: Any) -> PodRef:
        spec = fields.pop("spec", PodSpec(requests=(("cpu", cpu),)))
        now = self.clock.now()
        base = {"owner": Owner("ReplicaSet", "rs", "rs"), "created_at": now, "unschedulable_since": now}
        pod = Pod("ns", name, f"uid-{name}", spec, {}, node=node, **{**base, **fields})
        self.pods["ns", name] = pod
        self.version += 1
        return pod.ref

    def live(self) -> None:
        """Let machines boot, the scheduler bind, and the controllers of evicted pods do their work."""
        now = self.clock.now()
        for name, box in self.boxes.items():
            node = self.nodes.get(name)
            if self.slow_to_notice:
                continue
            if box.on and self.registers and node is not None and node.ready and node.ready_since != box.ready_at:
                old = box.ready_at > 0 and now >= box.ready_at
                if old:  # it came back before anybody noticed that it was gone
                    self.nodes[name] = msgspec.structs.replace(node, ready_since=box.ready_at)
                    self.version += 1
            if box.on and self.registers and now >= box.ready_at and (node is None or not node.ready):
                self.add_node(name, box.pool, unschedulable=node is not None and node.unschedulable)
            elif not box.on and node is not None and node.ready:
                self.nodes[name] = msgspec.structs.replace(node, ready=False, not_ready_since=now)
                self.version += 1
        for key, pod in [*self.pods.items()]:
            if not pod.node:
                for node in self.nodes.values():
                    used = sum(dict(p.spec.requests).get("cpu", 0) for p in self.pods.values() if p.node == node.name)
                    if node.ready and not node.unschedulable and used + dict(pod.spec.requests).get("cpu", 0) <= 4000:
                        self.pods[key] = msgspec.structs.replace(pod, node=node.name)
                        self.version += 1
                        break

    def snapshot(self, now: float, machines: Mapping[str, tuple[Machine, ...]]) -> Snapshot:
        by_node = {m.node: m for found in machines.values() for m in found if m.node}
        old = getattr(self, "_states", {})
        states = {}
        if not self.lag:
            self._shown = dict(self.nodes)
        for name, node in self._shown.items():
            pods = tuple(pod for pod in self.pods.values() if pod.node == name)
            machine = by_node.get(name)
            pool = machine.pool if machine else self.boxes[name].pool if name in self.boxes else ""
            state = NodeState(node, pods, pool, machine.name if machine else "")
            states[name] = old[name] if old.get(name) == state else state
        self._states = states
        pending = tuple(pod for pod in self.pods.values() if not pod.node)
        if pending == getattr(self, "_pending", None):
            pending = self._pending
        self._pending = pending
        return Snapshot(
            now=now, complete=self.complete, stale_s=self.stale_s, nodes=states, pending=pending, machines=machines
        )

    def _called(self, *words: Any) -> None:
        self.at_boundary()
        self.calls.append(words)
        self.lag = self.lag or words[0] == self.lag_from
        errors = self.faults.get(words[0])
        if errors:
            raise errors.pop(0)

    # the driver

    def on(self, orders: Sequence[Order]) -> Sequence[Receipt]:
        self._called("on", tuple(order.token for order in orders))
        found = []
        for order in orders:
            if order.machine is not None:
                name = order.machine.name
            else:
                known = [name for name, box in self.boxes.items() if box.token == order.token]
                name = known[0] if known else f"vm-{len(self.made)}"
                if not known:
                    self.made.append(order.token)
                    self.boxes[name] = Box(order.pool)
            box = self.boxes[name]
            if not box.on:
                box.on, box.token, box.ready_at = True, order.token, self.clock.now() + self.boot_s
            found.append(Receipt(order.token, name, name))
        self.at_boundary()
        return found if self.receipts else []

    def off(self, pool: str, machines: Sequence[str], *, token: str) -> None:
        self._called("off", *machines)
        for name in machines:
            if name in self.boxes and self.obeys:
                if name.startswith("vm-"):
                    del self.boxes[name]
                    if name in self.nodes:
                        self.nodes[name] = msgspec.structs.replace(self.nodes[name], ready=False)
                else:
                    self.boxes[name].on = False
        self.version += 1
        self.at_boundary()

    def list(self, pool: str) -> Sequence[MachineReport]:
        self._called("list", pool)
        reports = []
        for name, box in self.boxes.items():
            state = PowerState.UNKNOWN if box.untold else PowerState.ON if box.on else PowerState.OFF
            if box.pool == pool:
                reports.append(MachineReport(name, pool, state, name, box.token if box.on else "", detail=box.untold))
        return reports

    def check(self) -> Sequence[str]:
        return ()

    def close(self) -> None:
        pass

    # the drain

    keeps_names = False

    def cordon(self, node: str) -> None:
        self._called("cordon", node)
        if node not in self.nodes:
            raise NotFound(f"there is no node {node}")
        self._set(node, True)

    def uncordon(self, node: str) -> None:
        self._called("uncordon", node)
        self.parked.discard(node)
        self._set(node, False)

    def _set(self, node: str, unschedulable: bool) -> None:
        if node in self.nodes:
            self.nodes[node] = msgspec.structs.replace(self.nodes[node], unschedulable=unschedulable)
            self.version += 1
        self.at_boundary()

    def evict(self, pods: Sequence[PodRef], *, force: bool = False) -> Evictions:
        self._called("evict", *(ref.name for ref in pods))
        accepted, refused = [], {}
        for ref in pods:
            pod = self.pods.get((ref.namespace, ref.name))
            if ref.name in self.protected and not force:
                refused[ref] = "budget pdb allows no disruption"
                continue
            accepted.append(ref)
            if pod is not None and pod.uid == ref.uid:
                del self.pods[ref.namespace, ref.name]
                if pod.owner is not None:
                    self.add_pod(f"{ref.name}'", spec=pod.spec)
        self.version += 1
        self.at_boundary()
        return Evictions(tuple(accepted), refused)

    def pods_on(self, node: str) -> Sequence[Pod]:
        self._called("pods_on", node)
        return [pod for pod in self.pods.values() if pod.node == node]

    def is_empty(self, node: str) -> bool:
        return all(pod.stays_with_node for pod in self.pods_on(node))

    def park(self, node: str) -> None:
        self._called("park", node)
        self.parked.add(node)
        self._set(node, True)

    def delete_node(self, node: str, uid: str = "") -> None:
        self._called("delete_node", node)
        if node in self.nodes and uid in {"", self.nodes[node].uid}:
            del self.nodes[node]
        self.version += 1
        self.at_boundary()

    def count(self, what: str) -> int:
        return sum(call[0] == what for call in self.calls)

    def are_on(self) -> set[str]:
        return {name for name, box in self.boxes.items() if box.on}


class Rig:
    """A runner over a world, as it is between a start and a kill."""

    def __init__(self, world: World, folder: Path, *, hooks: HookOptions | None = None, **changes: Any) -> None:
        self.world, self.folder = world, folder
        self.policy = Policy(**changes.pop("policy", {}))
        self.options = ActionOptions(**{"retry_first_s": 1.0, "look_again_s": 2.0, **changes})
        self.history = History(folder, now=world.clock.now())
        self.posted: deque[Callable[[], None]] = deque()
        self.hook_problems: list[str] = []
        self.book = MachineBook(world.pools, self.history.machines(), world.clock.now())
        self.failures: list[Any] = []
        self.turns: list[Any] = []
        put = self.history.put_actions

        def stored(records: Any, *, intent: bool = False) -> None:
            world.at_boundary()
            put(records, intent=intent)
            world.at_boundary()

        self.history.put_actions = stored  # type: ignore[method-assign]
        self.runner = Runner(
            pools=world.pools,
            policy=self.policy,
            options=self.options,
            drivers={"fake": world},
            drain=world,
            hooks=Hooks(hooks or HookOptions(), self.hook_problems.append),
            history=self.history,
            book=self.book,
            workers=InlineWorkers(),
            clock=world.clock,
            post=self.posted.append,
            jitter=lambda: 0.0,
        )
        self.runner.resume(world.clock.now())

    def snapshot(self) -> Snapshot:
        self.world.live()
        snapshot = self.world.snapshot(self.world.clock.now(), self.book.machines())
        self.book.observe(snapshot)
        return msgspec.structs.replace(snapshot, machines=self.book.machines())

    def turn(self, seconds: float = 1.0, decide: Callable[[Snapshot], Decision | None] | None = None) -> None:
        """One pass of a loop, and some time."""
        while self.posted:
            self.posted.popleft()()
        snapshot = self.snapshot()
        self.runner.advance(snapshot)
        self.turns += self.runner.turns
        self.failures += self.runner.failures
        self.runner.turns.clear()
        self.runner.failures.clear()
        if decide is not None and self.runner.has_listed:
            decision = decide(msgspec.structs.replace(snapshot, machines=self.book.machines()))
            if decision is not None:
                self.runner.submit(decision)
        records, gone = self.book.unsaved()
        self.history.put_machines(records)
        self.history.remove_machines(gone)
        self.book.saved()
        self.world.clock.advance(seconds)

    def until(self, holds: Callable[[], bool], decide: Any = None, turns: int = 400, seconds: float = 1.0) -> None:
        for _ in range(turns):
            if holds() and not self.posted:
                return
            self.turn(seconds, decide)
        raise AssertionError(f"it did not come to hold; under way: {self.runner.actions()}\ncalls: {self.world.calls}")

    def quiet(self) -> bool:
        return not self.runner.is_busy

    def phases(self, kind: ActionKind | None = None) -> list[str]:
        return [str(turn.record.phase) for turn in self.turns if kind is None or turn.record.kind is kind]


def on(pool: str, *machines: str, count: int = 0) -> Decision:
    return Decision(0.0, power_on=(PowerOn(pool, count or len(machines), machines),))


def off(world: World, *nodes: str, pool: str = "rack", kind: RemovalKind = RemovalKind.EMPTY) -> Decision:
    removals = []
    for node in nodes:
        refs = tuple(p.ref for p in world.pods.values() if p.node == node and not p.stays_with_node)
        removals.append(Removal(node, pool, node, RemovalKind.UNDERUSED if refs else kind, evict=refs))
    return Decision(0.0, remove=tuple(removals))


__all__ = ["CLOUD", "RACK", "Box", "Killed", "Rig", "World", "off", "on"]
