"""Slurm's nodes and the machines behind them, brought together: what may be ordered, what may go. Pure.

A node belongs to the pool that has its machine, else to the first whose `node_names` match, else to the first without
either whose name is a feature of the node. Where no pool is set, Slurm's word alone counts, and names are all that is
decided.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Final

import msgspec

from clues.decision import Block, Decision, Memory, NodeVerdict, PodVerdict, PowerOn, Removal, RemovalKind
from clues.model import PodRef
from clues.options import Policy, Pool
from clues.policy.cooldown import own_rest
from clues.policy.schedule import limits_at, scale_in_closed
from clues.policy.slurm import Keep, SlurmDecision, decide_slurm
from clues.policy.slurm_jobs import Limits
from clues.slurm_model import SlurmCluster, SlurmJob, SlurmNode, SlurmNodeState
from clues.snapshot import Machine, MachineState, Snapshot

__all__ = ["decide_on_slurm", "job_ref", "pool_of_node"]

_OF_MACHINE: Final = {
    MachineState.BOOTING: SlurmNodeState.POWERING_UP,
    MachineState.STOPPING: SlurmNodeState.POWERING_DOWN,
    MachineState.OFF: SlurmNodeState.POWERED_DOWN,
    MachineState.FAILED: SlurmNodeState.DOWN,
}
_ON: Final = frozenset({MachineState.ON, MachineState.BOOTING, MachineState.STOPPING})
_UP: Final = frozenset({SlurmNodeState.IDLE, SlurmNodeState.ALLOCATED})
_MOST_NAMED: Final = 20


@dataclass(slots=True)
class _Plan:
    """What the machines say about the nodes."""

    nodes: dict[str, SlurmNode] = field(default_factory=dict)
    pool_of: dict[str, str] = field(default_factory=dict)
    machine_of: dict[str, Machine] = field(default_factory=dict)
    excluded: set[str] = field(default_factory=set)
    keep: dict[str, Keep] = field(default_factory=dict)
    leaving: set[str] = field(default_factory=set)
    """Nodes whose removal can still be called off."""


def pool_of_node(name: str, features: frozenset[str], pools: Sequence[Pool]) -> Pool | None:
    """Return the pool of a node; None: it is nobody's."""
    for pool in pools:
        if any((machine.node or machine.name) == name for machine in pool.machines):
            return pool
    for pool in pools:
        if pool.node_names and fnmatchcase(name, pool.node_names):
            return pool
    for pool in pools:
        if not (pool.machines or pool.node_names) and pool.name in features:
            return pool
    return None


def job_ref(job: SlurmJob) -> PodRef:
    """Return how a job is called where pods are listed: its partition in place of a namespace."""
    return PodRef(job.partition, job.name or str(job.id), f"{job.id}")


def decide_on_slurm(
    snapshot: Snapshot, cluster: SlurmCluster, pools: Sequence[Pool], policy: Policy, memory: Memory
) -> Decision:
    """Decide what is turned on and off for a Slurm cluster, with the orders and removals that do it."""
    now = snapshot.now
    plan = _plan(cluster, snapshot, pools, memory)
    bounds = limits_at(pools, policy, now)
    _keep_closed(plan, pools, policy, memory, now)
    limits = Limits(plan.pool_of, _room(plan, snapshot, pools, policy, bounds), _resting(pools, memory, now))
    seen = msgspec.structs.replace(cluster, nodes=tuple(plan.nodes.values()))
    unneeded = {
        name: pool.unneeded_s
        for pool in pools
        if pool.unneeded_s is not None
        for name, of in plan.pool_of.items()
        if of == pool.name
    }
    found = decide_slurm(seen, now, policy, excluded=plan.excluded, limits=limits, keep=plan.keep, unneeded_s=unneeded)
    notes: list[str] = []
    fresh = snapshot.complete and snapshot.stale_s <= policy.max_stale_s
    off: tuple[str, ...] = ()
    lost: tuple[Removal, ...] = ()
    failed_at = memory.last_failure
    if not fresh:
        notes.append("the picture of Slurm is not complete or too old: no node is removed")
        kept = dict.fromkeys(found.off, NodeVerdict("", Block.STALE, "the picture is not complete or too old"))
    elif failed_at is not None and now - min(failed_at, now) < policy.delay_after_failure_s:
        until = min(failed_at, now) + policy.delay_after_failure_s
        said = "a removal failed a short while ago"
        kept = {name: NodeVerdict(name, Block.COOLDOWN, said, until) for name in found.off}
    else:
        off, kept = _spared(found, plan, pools, policy, bounds)
        lost = tuple(_lost(plan, snapshot, policy, notes))
    on = (*found.on, *_claimed(plan, limits, policy)) if snapshot.complete else ()
    on = (*on, *_to_minimum(plan, snapshot, pools, policy, bounds, on))
    verdicts = tuple(kept.get(verdict.node, verdict) for verdict in found.verdicts)
    jobs = {job.id: job for job in cluster.jobs}
    orders = tuple(_orders(on, found, plan, pools, jobs))
    return Decision(
        at=now,
        power_on=orders,
        remove=tuple(
            Removal(
                node=name,
                pool=plan.pool_of[name],
                machine=plan.machine_of[name].name,
                kind=RemovalKind.EMPTY,
                reason=f"idle for {max(0.0, now - plan.nodes[name].since):.0f} s",
            )
            for name in off
            if name in plan.machine_of
        )
        + lost,
        cancel=tuple(sorted(plan.leaving & found.used)),
        pods=tuple(
            PodVerdict(
                (job_ref(jobs[verdict.job]),),
                verdict.outcome,
                ",".join(verdict.nodes[:_MOST_NAMED]),
                reason=verdict.reason,
            )
            for verdict in found.jobs
        ),
        nodes=verdicts,
        slurm_on=on,
        slurm_off=tuple(off),
        memory=msgspec.structs.replace(memory, last_scale_up=now if orders else memory.last_scale_up),
        notes=tuple(notes),
    )


def _plan(cluster: SlurmCluster, snapshot: Snapshot, pools: Sequence[Pool], memory: Memory) -> _Plan:
    plan = _Plan(excluded=set(cluster.excluded))
    by_node = {m.node or m.name: m for machines in snapshot.machines.values() for m in machines}
    by_machine = {machine.node or machine.name: pool for pool in pools for machine in pool.machines}
    for node in cluster.nodes:
        name = node.name
        machine = by_node.get(name)
        pool = by_machine.get(name) or pool_of_node(name, node.features, pools)
        if pool is not None:
            plan.pool_of[name] = pool.name
        if machine is not None and pool is not None and machine.pool == pool.name:
            plan.machine_of[name] = machine
            plan.nodes[name] = _with_machine(node, machine, plan, memory)
        elif pool is not None:
            plan.nodes[name] = _without_machine(node, pool, plan)
        else:
            plan.nodes[name] = node
            if pools:
                plan.excluded.add(name)
                plan.keep[name] = Keep(Block.NOT_MANAGED, "it belongs to no pool")
    _count_unnamed(plan, snapshot, pools)
    return plan


def _with_machine(node: SlurmNode, machine: Machine, plan: _Plan, memory: Memory) -> SlurmNode:
    """Let the machine's state say what the node is where Slurm cannot know."""
    name, state = node.name, node.state
    if machine.held or machine.disabled:
        plan.excluded.add(name)
        plan.keep[name] = Keep(Block.HELD, "a person holds it" if machine.held else "a person took it out of use")
    if machine.state in _OF_MACHINE and not (machine.state is MachineState.OFF and state is SlurmNodeState.ALLOCATED):
        state = _OF_MACHINE[machine.state]
    elif machine.state is MachineState.UNKNOWN and state not in _UP:
        state = SlurmNodeState.POWERED_DOWN
    elif machine.state is MachineState.ON and machine.order and (node.parked or _is_silent(node)):
        # it has come, or stays: its drain is about to end, or Slurm has yet to ask it since that ended
        state = SlurmNodeState.POWERING_UP
    elif machine.state is MachineState.ON and name in memory.removing:
        plan.leaving.add(name)
        plan.keep[name] = Keep(Block.BEING_DELETED, "it is being drained")
    elif machine.state is MachineState.ON and node.parked:
        # drained by us, and nobody is at it any more: ordering it again puts it back into use
        state = SlurmNodeState.POWERED_DOWN
    if state is SlurmNodeState.POWERED_DOWN and machine.disabled:
        state = SlurmNodeState.DOWN
    return node if state is node.state else msgspec.structs.replace(node, state=state)


def _is_silent(node: SlurmNode) -> bool:
    return node.state is SlurmNodeState.DOWN and not node.answers and not node.kept


def _without_machine(node: SlurmNode, pool: Pool, plan: _Plan) -> SlurmNode:
    """Return a node of a pool whose machine nobody has named: it may be ordered where it is silent by itself."""
    if pool.powered or node.state not in {SlurmNodeState.DOWN, SlurmNodeState.POWERED_DOWN}:
        if node.state in _UP:
            plan.keep[node.name] = Keep(Block.NOT_MANAGED, "its machine is not known to the driver of its pool")
        return node
    silent = not node.kept and not node.answers
    return msgspec.structs.replace(node, state=SlurmNodeState.POWERED_DOWN) if silent else node


def _count_unnamed(plan: _Plan, snapshot: Snapshot, pools: Sequence[Pool]) -> None:
    """Let machines that come and have no node yet stand for nodes that are off, in the order in which these go on."""
    for pool in pools:
        coming = sum(
            1
            for machine in snapshot.machines.get(pool.name, ())
            if machine.state is MachineState.BOOTING and (not machine.node or machine.node not in plan.nodes)
        )
        if not coming:
            continue
        off = [n for n in plan.nodes.values() if plan.pool_of.get(n.name) == pool.name and _is_free(n, plan)]
        for node in sorted(off, key=lambda node: (node.weight, node.name))[:coming]:
            plan.nodes[node.name] = msgspec.structs.replace(node, state=SlurmNodeState.POWERING_UP)


def _is_free(node: SlurmNode, plan: _Plan) -> bool:
    return node.state is SlurmNodeState.POWERED_DOWN and node.name not in plan.machine_of and not node.kept


def _keep_closed(plan: _Plan, pools: Sequence[Pool], policy: Policy, memory: Memory, now: float) -> None:
    closed = scale_in_closed(policy, now)
    least_on = {pool.name: pool.min_on_s for pool in pools}
    for name, pool in plan.pool_of.items():
        machine = plan.machine_of.get(name)
        if name in plan.keep:
            continue
        rest = own_rest(memory, name, now)
        if rest is not None:
            plan.keep[name] = Keep(rest.block, rest.detail, rest.until)
        elif "" in closed or pool in closed:
            plan.keep[name] = Keep(Block.SCHEDULE, "no node is removed at this time")
        elif machine is not None and now - min(machine.since, now) < least_on.get(pool, 0.0):
            until = machine.since + least_on[pool]
            plan.keep[name] = Keep(Block.MIN_ON, f"on for less than {least_on[pool]:.0f} s", until)


def _room(
    plan: _Plan,
    snapshot: Snapshot,
    pools: Sequence[Pool],
    policy: Policy,
    bounds: Mapping[str, tuple[int, int]],
) -> dict[str, int]:
    on = _on(plan, snapshot, pools)
    whole = None if policy.max_nodes is None else max(0, policy.max_nodes - sum(on.values()))
    return {
        pool.name: max(0, bounds[pool.name][1] - on[pool.name])
        if whole is None
        else max(0, min(whole, bounds[pool.name][1] - on[pool.name]))
        for pool in pools
    }


def _on(plan: _Plan, snapshot: Snapshot, pools: Sequence[Pool]) -> Counter[str]:
    """Count what is on or coming, by pool: machines where they are known, and nodes that nobody's machine is."""
    on: Counter[str] = Counter()
    for pool in pools:
        machines = snapshot.machines.get(pool.name, ())
        on[pool.name] = sum(1 for machine in machines if machine.state in _ON)
        on[pool.name] += sum(
            1
            for name, node in plan.nodes.items()
            if node.state in _UP and plan.pool_of.get(name) == pool.name and name not in plan.machine_of
        )
    return on


def _lost(plan: _Plan, snapshot: Snapshot, policy: Policy, notes: list[str]) -> Iterator[Removal]:
    """Name nodes whose machine is on and whose slurmd has been silent for `unready_s`: Slurm has given up their jobs.

    Where many are silent at once the fault is elsewhere, and all are left as they are.
    """
    if not (policy.remove_unready and policy.scale_in):
        return
    on = [name for name, machine in plan.machine_of.items() if machine.state is MachineState.ON]
    silent = [
        name
        for name in on
        if plan.nodes[name].state is SlurmNodeState.DOWN and not plan.nodes[name].answers and name in snapshot.nodes
    ]
    if len(silent) > policy.ok_unready and 100 * len(silent) > policy.max_unready_percent * len(on):
        notes.append(f"{len(silent)} of {len(on)} nodes do not answer Slurm: the cluster is left as it is")
        return
    for name in silent:
        state = snapshot.nodes[name]
        since = state.node.not_ready_since
        passed = 0.0 if since is None else snapshot.now - since
        free = not state.pods and not plan.nodes[name].kept and name not in plan.excluded
        if free and passed >= policy.unready_s and name not in plan.leaving:
            machine = plan.machine_of[name]
            said = f"its slurmd has not answered for {passed:.0f} s"
            yield Removal(name, machine.pool, machine.name, RemovalKind.UNREADY, reason=said)


def _resting(pools: Sequence[Pool], memory: Memory, now: float) -> dict[str, str]:
    found = {pool.name: "it has no driver" for pool in pools if not pool.driver}
    found |= {name: rest.reason for name, rest in memory.rests.items() if rest.until > now}
    return found


def _spared(
    found: SlurmDecision,
    plan: _Plan,
    pools: Sequence[Pool],
    policy: Policy,
    bounds: Mapping[str, tuple[int, int]],
) -> tuple[tuple[str, ...], dict[str, NodeVerdict]]:
    """Take out of what would go what the pools' minimum and the headroom keep; returns the rest, and these' reasons."""
    up: Counter[str] = Counter()
    idle: Counter[str] = Counter()
    for name, node in plan.nodes.items():
        if node.state in _UP or node.state is SlurmNodeState.POWERING_UP:
            up[plan.pool_of.get(name, "")] += 1
        if node.state is SlurmNodeState.IDLE and name not in found.used and not node.kept:
            idle[plan.pool_of.get(name, "")] += 1
    headroom = {pool.name: pool.headroom.nodes for pool in pools}
    off: list[str] = []
    kept: dict[str, NodeVerdict] = {}
    for name in found.off:
        pool = plan.pool_of.get(name, "")
        least = bounds[pool][0] if pool in bounds else 0
        if up[pool] <= least and pool:
            kept[name] = NodeVerdict(name, Block.MIN_SIZE, f"the pool {pool} keeps {least} nodes")
        elif idle[pool] <= headroom.get(pool, 0) or sum(idle.values()) <= policy.headroom.nodes:
            kept[name] = NodeVerdict(name, Block.HEADROOM, "it is kept free as headroom")
        elif pools and name not in plan.machine_of:
            kept[name] = NodeVerdict(name, Block.NOT_MANAGED, "its machine is not known")
        else:
            up[pool] -= 1
            idle[pool] -= 1
            off.append(name)
    return tuple(off), kept


def _claimed(plan: _Plan, limits: Limits, policy: Policy) -> Iterator[str]:
    """Name the nodes that are off and that Slurm has given to a job: it waits for them, and for no others."""
    for name, node in sorted(plan.nodes.items()):
        resting = plan.pool_of.get(name, "") in limits.resting
        off = node.state is SlurmNodeState.POWERED_DOWN and name not in plan.excluded and not node.kept
        if node.claimed and off and not resting and policy.scale_out:
            yield name


def _to_minimum(  # noqa: PLR0917
    plan: _Plan,
    snapshot: Snapshot,
    pools: Sequence[Pool],
    policy: Policy,
    bounds: Mapping[str, tuple[int, int]],
    on: Sequence[str],
) -> Iterator[str]:
    """Name further nodes where a pool has fewer than its `min` and that is to be enforced."""
    if not (policy.enforce_min and policy.scale_out and snapshot.complete):
        return
    there = _on(plan, snapshot, pools)
    for name in on:
        there[plan.pool_of.get(name, "")] += 1
    for pool in pools:
        missing = bounds[pool.name][0] - there[pool.name]
        off = sorted(
            (node.weight, name)
            for name, node in plan.nodes.items()
            if plan.pool_of.get(name) == pool.name
            and node.state is SlurmNodeState.POWERED_DOWN
            and not node.kept
            and name not in plan.excluded
            and name not in on
        )
        yield from (name for _, name in off[: max(0, missing)])


def _orders(
    on: Sequence[str],
    found: SlurmDecision,
    plan: _Plan,
    pools: Sequence[Pool],
    jobs: Mapping[int, SlurmJob],
) -> Iterator[PowerOn]:
    wanted: dict[str, list[int]] = {}
    for verdict in found.jobs:
        for name in verdict.nodes:
            wanted.setdefault(name, []).append(verdict.job)
    for pool in pools:
        names = [name for name in on if plan.pool_of.get(name) == pool.name]
        if not names:
            continue
        asking = list(dict.fromkeys(job for name in names for job in wanted.get(name, ())))
        said = ", ".join(jobs[job].name or str(job) for job in asking[:5])
        claimed = any(plan.nodes[name].claimed for name in names)
        reason = "for jobs that have them already" if claimed else "the pool has fewer nodes than its min"
        if asking:
            reason = f"for the jobs {said}"
        if len(asking) > 5:
            reason += f" and {len(asking) - 5} more"
        refs = tuple(job_ref(jobs[job]) for job in asking[:50])
        machines: tuple[str, ...] = ()
        if pool.powered:
            of_node = {machine.node or machine.name: machine.name for machine in pool.machines}
            machines = tuple(of_node[name] for name in names if name in of_node)
            if not machines:
                continue
        yield PowerOn(pool.name, len(machines) or len(names), machines, refs, reason)
