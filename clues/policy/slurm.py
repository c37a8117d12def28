"""Which Slurm nodes go on and which go off.

A job starts when all its nodes are there at once, so one that cannot have them (with what is idle, waking or powered
down) asks for nothing now. Idle and waking nodes are used before powered-down ones, by weight within each, as Slurm
itself does (slurm.conf(5), power saving guide). Among equals, a node that fewer jobs can use is taken first.
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from clues.decision import Block, NodeVerdict
from clues.options import Policy
from clues.slurm_model import SlurmCluster, SlurmJob, SlurmNode, SlurmNodeState

__all__ = ["SlurmDecision", "SlurmJobVerdict", "decide_slurm", "judge_jobs", "satisfies"]

_HELPED: Final = frozenset({"", "none", "resources", "priority", "nodedown", "reqnodenotavail"})
"""Pending reasons (squeue(1)) that more nodes can end; with `Nodes required for job are DOWN ...` in its spellings.

Every other one (dependency, held, begin time, licenses, limits of partition, QOS or association, reservation ...)
stays whatever is powered on.
"""
_TOKEN: Final = re.compile(r"[&|()\[\]]|[^&|()\[\]]+")
_RANK: Final = {
    SlurmNodeState.IDLE: 0,
    SlurmNodeState.ALLOCATED: 0,
    SlurmNodeState.POWERING_UP: 1,
    SlurmNodeState.POWERED_DOWN: 2,
}


class SlurmDecision(NamedTuple):
    """Node names in the order in which they are to go on and off, and why each node is as it is."""

    on: tuple[str, ...]
    off: tuple[str, ...]
    verdicts: tuple[NodeVerdict, ...]


@dataclass(frozen=True, slots=True)
class SlurmJobVerdict:
    """What becomes of a pending job."""

    job: int
    outcome: str
    """`fits`, `ordered`, `upcoming`, `waiting`, `limit`, `ignored` or `unschedulable`."""
    nodes: tuple[str, ...] = ()
    reason: str = ""


@dataclass(slots=True)
class _Slot:
    node: SlurmNode
    rank: int
    shared: bool
    cpus: int
    memory_mb: int
    wanted: int = 0
    used: bool = False
    reserved: bool = False


@dataclass(slots=True)
class _Judged:
    slots: dict[str, _Slot]
    jobs: list[SlurmJobVerdict]


def decide_slurm(
    cluster: SlurmCluster, now: float, policy: Policy, *, excluded: Collection[str] = frozenset()
) -> SlurmDecision:
    """Decide on the Slurm nodes. `excluded` nodes are neither turned on nor off."""
    judged = _judge(cluster, now, policy, excluded)
    on = tuple(
        slot.node.name
        for slot in sorted(judged.slots.values(), key=lambda slot: (slot.node.weight, slot.node.name))
        if slot.used and slot.node.state is SlurmNodeState.POWERED_DOWN
    )
    going = sum(1 for node in cluster.nodes if node.state is SlurmNodeState.POWERING_DOWN)
    left = max(0, policy.max_parallel - going) if policy.scale_in else 0
    off: list[str] = []
    verdicts: dict[str, NodeVerdict] = {}
    for node in sorted(cluster.nodes, key=lambda node: (-node.weight, node.since, node.name)):
        if node.name in verdicts:
            continue
        block, detail, at = _block(node, judged.slots.get(node.name), now, policy, excluded)
        if block is None and node.state is SlurmNodeState.IDLE:
            if left > 0:
                left -= 1
                off.append(node.name)
            else:
                block = Block.PARALLELISM if policy.scale_in else Block.SCALE_IN_OFF
        verdicts[node.name] = NodeVerdict(node.name, block, detail, at)
    off_or_idle = {SlurmNodeState.POWERED_DOWN, SlurmNodeState.DOWN}
    names = [n.name for n in cluster.nodes if n.state not in off_or_idle or verdicts[n.name].block is not None]
    return SlurmDecision(on, tuple(off), tuple(verdicts[name] for name in dict.fromkeys(names)))


def judge_jobs(
    cluster: SlurmCluster, now: float, policy: Policy, *, excluded: Collection[str] = frozenset()
) -> tuple[SlurmJobVerdict, ...]:
    """Return what becomes of each pending job, in the order in which they are served."""
    return tuple(_judge(cluster, now, policy, excluded).jobs)


def satisfies(constraint: str, features: Collection[str]) -> bool:
    """Return whether a node's features meet `--constraint` (`a&b|c`, parentheses, `[a|b]`, counts `a*2`).

    `&` binds before `|`. What cannot be read is met by no node.
    """
    tokens = _TOKEN.findall(constraint.replace(" ", "").replace(",", "&"))
    if not tokens:
        return True
    if len(tokens) > 1000:
        return False
    value, rest = _either(tokens, 0, frozenset(features), 0)
    return value is True and rest == len(tokens)


def _either(tokens: Sequence[str], at: int, features: frozenset[str], depth: int) -> tuple[bool | None, int]:
    value, at = _both(tokens, at, features, depth)
    while value is not None and at < len(tokens) and tokens[at] == "|":
        right, at = _both(tokens, at + 1, features, depth)
        value = None if right is None else value or right
    return value, at


def _both(tokens: Sequence[str], at: int, features: frozenset[str], depth: int) -> tuple[bool | None, int]:
    value, at = _one(tokens, at, features, depth)
    while value is not None and at < len(tokens) and tokens[at] == "&":
        right, at = _one(tokens, at + 1, features, depth)
        value = None if right is None else value and right
    return value, at


def _one(tokens: Sequence[str], at: int, features: frozenset[str], depth: int) -> tuple[bool | None, int]:
    if at >= len(tokens) or depth > 50:
        return None, at
    token = tokens[at]
    closing = {"(": ")", "[": "]"}.get(token)
    if closing is not None:
        value, at = _either(tokens, at + 1, features, depth + 1)
        if value is None or at >= len(tokens) or tokens[at] != closing:
            return None, at
        return value, at + 1
    return (None, at) if token[0] in "&|)]" else (token.partition("*")[0] in features, at + 1)


def _judge(cluster: SlurmCluster, now: float, policy: Policy, excluded: Collection[str]) -> _Judged:
    slots = {node.name: _slot(node, now, policy) for node in cluster.nodes}
    partitions = {partition.name: partition.nodes for partition in cluster.partitions}
    pending = [job for job in cluster.jobs if job.pending]
    asking: list[tuple[SlurmJob, list[_Slot], list[_Slot]]] = []
    verdicts: list[SlurmJobVerdict] = []
    for job in sorted(pending, key=lambda job: (-job.priority, job.id)):
        if not _can_be_helped(job.reason):
            verdicts.append(SlurmJobVerdict(job.id, "ignored", reason=f"{job.reason}: power does not end that"))
            continue
        names = dict.fromkeys(partitions.get(job.partition, ()))
        fitting = [slots[name] for name in names if name in slots and _could_run(job, slots[name].node)]
        usable = [
            slot
            for slot in fitting
            if slot.rank < 3 and not (slot.node.state is SlurmNodeState.POWERED_DOWN and slot.node.name in excluded)
        ]
        if job.nodes < 1 or len(fitting) < job.nodes:
            what = f"asks for {job.nodes} nodes, the partition {job.partition} has {len(fitting)} that fit"
            verdicts.append(SlurmJobVerdict(job.id, "unschedulable", reason=what))
            continue
        for slot in usable:
            slot.wanted += 1
        asking.append((job, fitting, usable))
    asking.sort(key=lambda item: (-item[0].priority, len(item[2]), item[0].id))
    waking = sum(1 for node in cluster.nodes if node.state is SlurmNodeState.POWERING_UP)
    left = len(slots) if policy.max_booting is None else max(0, policy.max_booting - waking)
    if not policy.scale_out:
        left = 0
    for job, fitting, usable in asking:
        free = sorted((slot for slot in usable if _has_room(job, slot)), key=_preference)[: job.nodes]
        new = [slot for slot in free if slot.rank == 2 and not slot.used]
        if len(free) < job.nodes:
            # It will run when others end: what is idle is kept for it, what is off is not woken too early.
            if any(slot.node.state is not SlurmNodeState.DOWN for slot in fitting):
                for slot in usable:
                    slot.reserved = slot.reserved or slot.rank == 0
            what = f"needs {job.nodes} nodes at once, {len(free)} can be had now"
            verdicts.append(SlurmJobVerdict(job.id, "waiting", reason=what))
            continue
        if len(new) > left:
            verdicts.append(SlurmJobVerdict(job.id, "limit", reason=f"{len(new)} nodes would boot, {left} may"))
            continue
        left -= len(new)
        for slot in free:
            _use(job, slot)
        outcome = "ordered" if any(slot.rank == 2 for slot in free) else "upcoming"
        outcome = "fits" if all(slot.rank == 0 for slot in free) else outcome
        verdicts.append(SlurmJobVerdict(job.id, outcome, tuple(slot.node.name for slot in free)))
    return _Judged(slots, verdicts)


def _can_be_helped(reason: str) -> bool:
    word = re.sub(r"[^a-z]", "", re.split(r"[,:(]", reason.strip().strip("()"))[0].lower())
    return word in _HELPED or word.startswith("nodesrequiredforjobare")


def _slot(node: SlurmNode, now: float, policy: Policy) -> _Slot:
    """A node that has been waking for longer than any should is nobody's hope, as in Slurm after ResumeTimeout."""
    rank = _RANK.get(node.state, 3)
    if node.state is SlurmNodeState.POWERING_UP and node.since > 0 and now - node.since > policy.max_provision_s:
        rank = 3
    free = node.free_cpus
    if node.state is SlurmNodeState.ALLOCATED and not free:
        rank = 3
    off = node.state in {SlurmNodeState.POWERED_DOWN, SlurmNodeState.POWERING_UP}
    cpus = node.cpus if free is None or (off and free <= 0) else min(free, node.cpus)
    return _Slot(node, rank, free is not None, cpus, node.memory_mb)


def _could_run(job: SlurmJob, node: SlurmNode) -> bool:
    """Whether the node could ever run a part of the job."""
    return (
        node.cpus >= job.cpus_per_node
        and (node.memory_mb <= 0 or node.memory_mb >= job.memory_per_node_mb)
        and satisfies(job.constraint, node.features)
    )


def _has_room(job: SlurmJob, slot: _Slot) -> bool:
    if slot.used and not slot.shared:
        return False
    return slot.cpus >= max(1, job.cpus_per_node) and (
        slot.node.memory_mb <= 0 or slot.memory_mb >= job.memory_per_node_mb
    )


def _use(job: SlurmJob, slot: _Slot) -> None:
    slot.used = True
    slot.cpus -= max(1, job.cpus_per_node)
    slot.memory_mb -= job.memory_per_node_mb


def _preference(slot: _Slot) -> tuple[int, int, int, int, int, int, str]:
    """Nodes that are on or already chosen first; among them those that few others could use."""
    rank = slot.rank if slot.rank < 2 or not slot.used else 1
    scarce = slot.wanted if rank < 2 else 0
    return rank, scarce, slot.node.weight, slot.wanted, slot.cpus, slot.memory_mb, slot.node.name


def _block(
    node: SlurmNode, slot: _Slot | None, now: float, policy: Policy, excluded: Collection[str]
) -> tuple[Block | None, str, float | None]:
    match node.state:
        case SlurmNodeState.ALLOCATED:
            return Block.UTILIZATION, "jobs run on it", None
        case SlurmNodeState.POWERING_DOWN:
            return Block.BEING_DELETED, "it powers down", None
        case SlurmNodeState.POWERING_UP:
            return Block.BOOTING, "it powers up", None
        case SlurmNodeState.IDLE:
            pass
        case _:
            return None, "", None
    if node.name in excluded:
        return Block.EXCLUDED, "it is kept as it is", None
    if slot is not None and (slot.used or slot.reserved):
        return Block.NEEDED, "a pending job will use it", None
    if now - node.since < policy.unneeded_s:
        return (
            Block.NOT_UNNEEDED_LONG_ENOUGH,
            f"idle for {max(0.0, now - node.since):.0f} s",
            (node.since + policy.unneeded_s),
        )
    return None, "", None
