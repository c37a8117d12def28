"""Slurm's nodes with the room that is left on them, and what jobs ask for: who fits where. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from clues.slurm_model import Gres, SlurmNode, SlurmNodeState

__all__ = ["INDEX", "Ask", "Group", "JobClass", "Queue", "Slot", "could_run", "slot_of", "tasks_on", "use"]

_RANK: Final = {
    SlurmNodeState.IDLE: 0,
    SlurmNodeState.ALLOCATED: 0,
    SlurmNodeState.POWERING_UP: 1,
    SlurmNodeState.POWERED_DOWN: 2,
}
_OFF: Final = frozenset({SlurmNodeState.POWERED_DOWN, SlurmNodeState.POWERING_UP})

_BITS: Final = 20
INDEX: Final = (1 << _BITS) - 1


@dataclass(slots=True, eq=False)
class Group:
    """Nodes of the same partitions, size and features."""

    node: SlurmNode
    """One of them."""
    slots: list["Slot"] = field(default_factory=list)
    usable: list["Slot"] = field(default_factory=list)
    """Those that could be used now, or once they have booted."""
    wanted: int = 0
    """Jobs that could use them."""


@dataclass(slots=True, eq=False)
class Slot:
    """A node with the room that is left on it."""

    node: SlurmNode
    rank: int
    shared: bool
    cpus: int
    memory_mb: int
    gres: dict[str, int]
    group: Group
    used: bool = False
    reserved: bool = False
    untouched: bool = True
    """No job runs on it and none was put there."""
    index: int = 0
    """Its place among all by name."""
    key: int = 0
    """Smaller is better; the index is its lowest bits. One number: a heap of them is three times as quick as one of
    tuples (measured with 10,000 jobs)."""

    def rate(self) -> None:
        """Put nodes that are on or already chosen first; among them those that few others could use."""
        rank = self.rank if self.rank < 2 or not self.used else 1
        wanted = self.group.wanted
        scarce = wanted if rank < 2 else 0
        key = (rank << 24 | min(scarce, 0xFFFFFF)) << 32 | min(self.node.weight, 0xFFFFFFFF)
        key = (key << 24 | min(wanted, 0xFFFFFF)) << 24 | min(max(0, self.cpus), 0xFFFFFF)
        key = key << 40 | min(max(0, self.memory_mb), (1 << 40) - 1)
        self.key = key << _BITS | self.index


@dataclass(frozen=True, slots=True)
class Ask:
    """What a job asks for, and nothing else: jobs with equal ones are alike."""

    partition: str
    nodes: int
    max_nodes: int
    cpus_per_node: int
    cpus: int
    cpus_per_task: int
    tasks_per_node: int
    memory_per_node_mb: int
    memory_per_cpu_mb: int
    constraint: str
    gres: Gres
    exclusive: bool
    required: frozenset[str]
    excluded: frozenset[str]


@dataclass(slots=True, eq=False)
class Queue:
    """The nodes that a class could use in one partition, best first; entries with an old key are skipped."""

    groups: list[Group]
    without: frozenset[str]
    """Nodes that the job excludes."""
    needs: int
    """CPUs on a node: one with fewer is of no use."""
    fitting: int = 0
    """Nodes that could run a part of the job, some day."""
    usable: int = 0
    heap: list[int] = field(default_factory=list)
    """Keys of slots."""
    seen: int = -1
    """How much of the log of changes is in the heap; -1: it was not filled yet."""

    def slots(self) -> Iterator[Slot]:
        """Yield what is usable and has the CPUs."""
        needs, without = self.needs, self.without
        for group in self.groups:
            for slot in group.usable:
                if slot.cpus >= needs and slot.node.name not in without:
                    yield slot


@dataclass(slots=True, eq=False)
class JobClass:
    ask: Ask
    unit: int
    """CPUs of one task."""
    tasks: int
    queues: list[Queue]
    parts: "list[JobClass]" = field(default_factory=list)
    """Of a job some of whose nodes need other features than the rest; with the same partitions."""
    why: str = ""
    """Why its jobs cannot be placed any more."""
    outcome: str = ""


def slot_of(node: SlurmNode, group: Group, *, is_given_up: bool = False) -> Slot:
    """Return the node with its room; one that was given up is nobody's hope."""
    rank = 3 if is_given_up else _RANK.get(node.state, 3)
    free = node.free_cpus
    if node.state is SlurmNodeState.ALLOCATED and not free:
        rank = 3
    off = node.state in _OFF
    cpus = node.cpus if free is None or (off and free <= 0) else min(free, node.cpus)
    memory = node.memory_mb if off or node.free_memory_mb is None else node.free_memory_mb
    gres = node.gres if off or node.free_gres is None else node.free_gres
    idle = node.state is not SlurmNodeState.ALLOCATED
    return Slot(node, rank, free is not None, cpus, memory, dict(gres), group, untouched=idle)


def could_run(ask: Ask, node: SlurmNode) -> bool:
    """Whether the node could ever run a part of the job."""
    unit = max(1, ask.cpus_per_task)
    memory = max(ask.memory_per_node_mb, ask.memory_per_cpu_mb * max(unit, ask.cpus_per_node))
    return (
        node.cpus >= max(unit, ask.cpus_per_node)
        and (node.memory_mb <= 0 or node.memory_mb >= memory)
        and _has_gres(ask.gres, dict(node.gres))
    )


def _has_gres(asked: Gres, there: Mapping[str, int]) -> bool:
    return all(there.get(name, 0) >= amount for name, amount in asked)


def tasks_on(found: JobClass, slot: Slot) -> int:
    """Return how many tasks of the job a node has room for now."""
    ask = found.ask
    if (slot.used and not slot.shared) or (ask.exclusive and not slot.untouched):
        return 0
    cpus = slot.cpus
    if cpus < max(1, ask.cpus_per_node) or not _has_gres(ask.gres, slot.gres):
        return 0
    tasks = cpus // found.unit
    if ask.tasks_per_node:
        tasks = min(tasks, ask.tasks_per_node)
    elif ask.cpus <= 0:
        tasks = min(tasks, 1)
    if slot.node.memory_mb > 0:
        if slot.memory_mb < ask.memory_per_node_mb:
            return 0
        if ask.memory_per_cpu_mb > 0:
            tasks = min(tasks, slot.memory_mb // (ask.memory_per_cpu_mb * found.unit))
    return tasks


def use(found: JobClass, slot: Slot, tasks: int) -> None:
    ask = found.ask
    cpus = max(1, ask.cpus_per_node, tasks * found.unit)
    slot.used, slot.untouched = True, False
    slot.cpus -= slot.cpus if ask.exclusive else cpus
    slot.memory_mb -= max(ask.memory_per_node_mb, ask.memory_per_cpu_mb * cpus)
    for name, amount in ask.gres:
        slot.gres[name] = slot.gres.get(name, 0) - amount
