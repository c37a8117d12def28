"""The answer to a scenario: one decision for what goes, and passes until nothing more is ordered for what comes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from clues.decide import decide as decide_once
from clues.decision import Block, Decision, Removal
from clues.offline.case import NOW, Case, arrived_node, case_of
from clues.offline.format import Scenario
from clues.offline.objects import node_objects, objects_of
from clues.offline.picture import feed, picture
from clues.offline.record import Decide
from clues.snapshot import Machine, MachineState, Snapshot
from clues.sources.wire import Cluster
from infracore.errors import InfraError

__all__ = ["Answer", "answer", "first_snapshot"]

_MOST_PASSES: Final = 50
_OURS: Final = {Block.HELD: Block.EXCLUDED}
"""Our words that a scenario has another word for."""
_NEVER_SAID: Final = frozenset(
    {Block.STALE, Block.HELD, Block.MIN_ON, Block.SCHEDULE, Block.HEADROOM, Block.SCALE_IN_OFF}
)
_PENDING: Final = frozenset({"unschedulable", "limit"})
"""Pending for good, as the format has it: a pool that rests serves when its rest ends."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is decided on a scenario."""

    id: str
    first: Decision
    last: Decision
    """Of the pass in which nothing more was ordered."""
    passes: int
    scale_up: Mapping[str, int]
    unschedulable: tuple[str, ...]
    scale_down: tuple[str, ...]
    blocked: Mapping[str, str]
    power_on: tuple[str, ...]
    power_off: tuple[str, ...]
    replace: Mapping[str, Any] = field(default_factory=dict)

    def shape(self) -> dict[str, Any]:
        """Return it as plain data; what is empty is left out."""
        parts: dict[str, Any] = {
            "scale_up": dict(self.scale_up),
            "unschedulable": list(self.unschedulable),
            "scale_down": list(self.scale_down),
            "blocked": dict(self.blocked),
            "power_on": list(self.power_on),
            "power_off": list(self.power_off),
            "replace": dict(self.replace),
        }
        return {name: part for name, part in parts.items() if part}


def answer(scenario: Scenario, where: str = "", *, decide: Decide = decide_once, now: float = NOW) -> Answer:
    """Decide on a scenario.

    What is removed, blocked and replaced is that of the first pass. Ordered nodes then arrive (registered, ready,
    with the pods of their DaemonSets), as do those that were booting, and it is decided again until nothing more is
    ordered.

    Raises:
        Misconfigured: a quantity, a time or a word of the scenario is none.
        InfraError: nodes are ordered without an end.
    """
    where = where or f"scenario {scenario.id}"
    case = case_of(scenario, where, now)
    cluster = Cluster()
    feed(cluster, objects_of(scenario, now, where))
    world = _World(scenario, case, cluster, where, now)
    first = decision = decide(world.snapshot(), case.pools, case.policy, case.memory)
    ordered: dict[str, int] = {}
    switched: list[str] = []
    world.forget(first.remove)
    passes = 1
    while decision.power_on or (passes == 1 and world.is_booting()):
        if passes == _MOST_PASSES:
            raise InfraError(f"{where}: nodes are still ordered in pass {passes}: {decision.power_on}")
        came: dict[str, str] = {}
        for order in decision.power_on:
            item = case.sized[order.pool]
            ordered[item.text.name] = ordered.get(item.text.name, 0) + order.count
            if item.pool.powered:
                switched += order.machines
            names = world.arrive(order.pool, order.machines if item.pool.powered else (), order.count)
            came |= {f"{order.pool}/#{number}": f"{order.pool}/{name}" for number, name in enumerate(names)}
        world.boot()
        # the daemon learns from its drivers which machine an order became; here they come in the order's own order
        planned = {uid: came.get(slot, slot) for uid, slot in decision.memory.planned.items()}
        memory = msgspec.structs.replace(decision.memory, planned=planned)
        decision = decide(world.snapshot(), case.pools, case.policy, memory)
        passes += 1
    powered = {pool.name for pool in case.pools if pool.powered}
    return Answer(
        id=scenario.id,
        first=first,
        last=decision,
        passes=passes,
        scale_up=ordered,
        unschedulable=() if case.slurm is not None else _unschedulable(decision),  # jobs are no pods there
        scale_down=tuple(sorted(_name(item) for item in first.remove)),
        blocked=_blocked(first, case),
        power_on=(*switched, *first.slurm_on),
        power_off=(*(_machine(item) for item in first.remove if item.pool in powered), *first.slurm_off),
        replace=_replace(first, case),
    )


def _name(removal: Removal) -> str:
    return removal.node or removal.machine


def _machine(removal: Removal) -> str:
    return removal.machine or removal.node


def _unschedulable(decision: Decision) -> tuple[str, ...]:
    return tuple(pod.name for verdict in decision.pods if verdict.outcome in _PENDING for pod in verdict.pods)


def _blocked(decision: Decision, case: Case) -> dict[str, str]:
    found: dict[str, str] = {}
    for verdict in decision.nodes:
        block = verdict.block
        if block is not None and verdict.node in case.excluded:
            block = _OURS.get(block, block)
        if block is not None and block not in _NEVER_SAID:
            found[verdict.node] = block.value
    return found


def _replace(decision: Decision, case: Case) -> dict[str, Any]:
    add: dict[str, int] = {}
    for item in decision.replace:
        for order in item.add:
            name = case.sized[order.pool].text.name
            add[name] = add.get(name, 0) + order.count
    remove = sorted(_name(removal) for item in decision.replace for removal in item.remove)
    return {"remove": remove, "add": add} if remove else {}


class _World:
    """The cluster and machines of a scenario while nodes arrive."""

    def __init__(self, scenario: Scenario, case: Case, cluster: Cluster, where: str, now: float) -> None:
        self._scenario = scenario
        self._case = case
        self._cluster = cluster
        self._where = where
        self._now = now
        self._machines = {pool: {m.name: m for m in listed} for pool, listed in case.machines.items()}
        self._numbers: dict[str, int] = {}

    def snapshot(self) -> Snapshot:
        machines = {pool: tuple(listed.values()) for pool, listed in self._machines.items()}
        made = picture(self._cluster, self._now, self._case.pools, machines)
        return made if self._case.slurm is None else msgspec.structs.replace(made, slurm=self._case.slurm)

    def is_booting(self) -> bool:
        return any(m.state is MachineState.BOOTING for listed in self._machines.values() for m in listed.values())

    def forget(self, removals: Sequence[Removal]) -> None:
        """A machine that is given up never comes."""
        for removal in removals:
            machine = self._machines.get(removal.pool, {}).get(_machine(removal))
            if machine is not None and machine.state is MachineState.BOOTING:
                del self._machines[removal.pool][machine.name]

    def arrive(self, pool: str, names: Sequence[str], count: int) -> Sequence[str]:
        """Let ordered nodes come; return their names."""
        names = names or [self._new_name(pool) for _ in range(count)]
        for name in names:
            self._register(pool, name)
        return names

    def boot(self) -> None:
        """What was booting comes too."""
        for pool, listed in self._machines.items():
            for machine in list(listed.values()):
                if machine.state is MachineState.BOOTING:
                    self._register(pool, machine.name)

    def _new_name(self, pool: str) -> str:
        taken = self._machines[pool]
        while True:
            number = self._numbers[pool] = self._numbers.get(pool, 0) + 1
            name = f"{pool.replace('#', '-')}-new-{number}"
            if name not in taken:
                return name

    def _register(self, pool: str, name: str) -> None:
        node = arrived_node(self._case.sized[pool], name)
        feed(self._cluster, node_objects(node, self._scenario, self._now, self._where))
        self._machines[pool][name] = Machine(name, pool, MachineState.ON, self._now, node=name)


def first_snapshot(scenario: Scenario, where: str = "", now: float = NOW) -> tuple[Case, Snapshot]:
    """Return what `decide` is given in the first pass, for records and tests. Raises Misconfigured."""
    where = where or f"scenario {scenario.id}"
    case = case_of(scenario, where, now)
    cluster = Cluster()
    feed(cluster, objects_of(scenario, now, where))
    return case, _World(scenario, case, cluster, where, now).snapshot()
