"""Which Slurm nodes go on and which go off, and why each is as it is. Pure. How jobs get nodes: `slurm_jobs`."""

from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from clues.decision import Block, NodeVerdict
from clues.options import Policy
from clues.policy.constraints import satisfies
from clues.policy.slurm_jobs import Judged, Limits, SlurmJobVerdict, judge
from clues.policy.slurm_room import Slot
from clues.slurm_model import SlurmCluster, SlurmNode, SlurmNodeState

__all__ = ["Keep", "SlurmDecision", "SlurmJobVerdict", "decide_slurm", "judge_jobs", "satisfies"]

_OFF_OR_DOWN: Final = frozenset({SlurmNodeState.POWERED_DOWN, SlurmNodeState.DOWN})


class Keep(NamedTuple):
    """Why a node is not turned off, besides what jobs and timers say; with the time at which that ends, if it does."""

    block: Block
    detail: str
    until: float | None = None


class SlurmDecision(NamedTuple):
    """Node names in the order in which they are to go on and off, and why each node is as it is."""

    on: tuple[str, ...]
    off: tuple[str, ...]
    verdicts: tuple[NodeVerdict, ...]
    jobs: tuple[SlurmJobVerdict, ...] = ()
    used: frozenset[str] = frozenset()
    """Nodes on which a pending job was put."""


def decide_slurm(
    cluster: SlurmCluster,
    now: float,
    policy: Policy,
    *,
    excluded: Collection[str] = frozenset(),
    limits: Limits | None = None,
    keep: Mapping[str, Keep] | None = None,
    unneeded_s: Mapping[str, float] | None = None,
) -> SlurmDecision:
    """Decide on the Slurm nodes. `excluded` nodes are neither turned on nor off, those of `keep` not turned off.

    `unneeded_s` has the idle time of nodes for which it is not the policy's.
    """
    judged = judge(cluster, policy, excluded, limits, now=now)
    on = tuple(
        slot.node.name
        for slot in sorted(judged.slots.values(), key=lambda slot: (slot.node.weight, slot.node.name))
        if slot.used and slot.node.state is SlurmNodeState.POWERED_DOWN
    )
    off, verdicts = _off(cluster, judged, now, policy, excluded, keep or {}, unneeded_s or {})
    names = [n.name for n in cluster.nodes if n.state not in _OFF_OR_DOWN or verdicts[n.name].block is not None]
    used = frozenset(name for name, slot in judged.slots.items() if slot.used)
    said = tuple(verdicts[name] for name in dict.fromkeys(names))
    return SlurmDecision(on, tuple(off), said, tuple(judged.jobs), used)


def judge_jobs(
    cluster: SlurmCluster, now: float, policy: Policy, *, excluded: Collection[str] = frozenset()
) -> tuple[SlurmJobVerdict, ...]:
    """Return what becomes of each pending job, in the order in which they are served."""
    return tuple(judge(cluster, policy, excluded, now=now).jobs)


def _off(  # noqa: PLR0917
    cluster: SlurmCluster,
    judged: Judged,
    now: float,
    policy: Policy,
    excluded: Collection[str],
    keep: Mapping[str, Keep],
    unneeded_s: Mapping[str, float],
) -> tuple[list[str], dict[str, NodeVerdict]]:
    going = sum(1 for node in cluster.nodes if node.state is SlurmNodeState.POWERING_DOWN)
    left = max(0, policy.max_parallel - going) if policy.scale_in else 0
    off: list[str] = []
    verdicts: dict[str, NodeVerdict] = {}
    for node in sorted(cluster.nodes, key=lambda node: (-node.weight, node.since, node.name)):
        if node.name in verdicts:
            continue
        idle_s = unneeded_s.get(node.name, policy.unneeded_s)
        block, detail, at = _block(node, judged.slots.get(node.name), now, idle_s, excluded, keep.get(node.name))
        if block is None and node.state is SlurmNodeState.IDLE:
            if left > 0:
                left -= 1
                off.append(node.name)
            else:
                block = Block.PARALLELISM if policy.scale_in else Block.SCALE_IN_OFF
        verdicts[node.name] = NodeVerdict(node.name, block, detail, at)
    return off, verdicts


def _block(  # noqa: PLR0917
    node: SlurmNode, slot: Slot | None, now: float, idle_s: float, excluded: Collection[str], keep: Keep | None
) -> tuple[Block | None, str, float | None]:
    if node.kept:
        return Block.EXCLUDED, node.kept, None
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
        return Block.EXCLUDED, keep.detail if keep is not None else "it is kept as it is", None
    if slot is not None and (slot.used or slot.reserved):
        return Block.NEEDED, "a pending job will use it", None
    if node.planned:
        return Block.NEEDED, "Slurm has planned a job on it", None
    if keep is not None:
        return keep.block, keep.detail, keep.until
    if now - node.since < idle_s:
        return Block.NOT_UNNEEDED_LONG_ENOUGH, f"idle for {max(0.0, now - node.since):.0f} s", node.since + idle_s
    return None, "", None
