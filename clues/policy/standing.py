"""What is known of each node before its pods are tried elsewhere: the reasons that need no simulation.

Where several reasons hold, the first of this order is given; the rest of the order is in `clues.policy.idle`: demand
that takes the node back, not managed, being deleted, booting, the annotations, held by a person, stale picture,
unhealthy cluster, unready nodes that stay, utilization, needed, headroom. It is that of cluster-autoscaler, as far as
that has them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from clues.decision import Block, Memory
from clues.model import Node
from clues.options import Policy, Pool
from clues.policy.demand import ScaleOutResult
from clues.policy.evict import forbids_disruption
from clues.policy.health import is_fresh, is_healthy, nodes_of_machines
from clues.policy.usage import utilizations
from clues.snapshot import Machine, MachineState, NodeState, Snapshot

__all__ = ["Field", "field_of", "first_block"]

_DISABLED: Final = "cluster-autoscaler.kubernetes.io/scale-down-disabled"


@dataclass(frozen=True, slots=True)
class Field:
    """Everything about the nodes that one pass looks up again and again."""

    snapshot: Snapshot
    pools: Mapping[str, Pool]
    policy: Policy
    memory: Memory
    out: ScaleOutResult
    machines: Mapping[str, Machine]
    """Node name -> its machine."""
    going: frozenset[str]
    """Registered nodes that are being removed or deleted, but for those that are taken back."""
    parked: frozenset[str]
    """Node objects of machines that are off: no nodes at all to scaling in."""
    booting: frozenset[str]
    """Registered nodes that are not ready yet."""
    shares: Mapping[str, float]
    """Node -> utilization."""
    fresh: bool
    healthy: bool

    @property
    def now(self) -> float:
        return self.snapshot.now

    def is_disabled(self, name: str) -> bool:
        """Return whether a person took the node's machine out of use: it is emptied whatever its load."""
        machine = self.machines.get(name)
        return machine is not None and machine.disabled


def field_of(
    snapshot: Snapshot, pools: Mapping[str, Pool], policy: Policy, memory: Memory, out: ScaleOutResult
) -> Field:
    """Look everything up once."""
    machines: dict[str, Machine] = {}
    by_name = {(machine.pool, machine.name): machine for listed in snapshot.machines.values() for machine in listed}
    for machine in by_name.values():
        if machine.node:
            machines[machine.node] = machine
    for name, state in snapshot.nodes.items():
        found = by_name.get((state.pool, state.machine)) if state.machine else None
        if found is not None:
            machines[name] = found
    going = frozenset(
        name
        for name, state in snapshot.nodes.items()
        if name not in out.reclaimed
        and (
            state.node.deleting
            or name in memory.removing
            or (name in machines and state.pool and machines[name].state is MachineState.STOPPING)
        )
    )
    parked = nodes_of_machines(snapshot, MachineState.OFF) - out.upcoming_nodes
    booting = nodes_of_machines(snapshot, MachineState.BOOTING) | out.upcoming_nodes
    fresh = is_fresh(snapshot, policy)
    healthy = out.healthy and is_healthy(snapshot, policy, out.upcoming_nodes)
    shares = utilizations(snapshot.nodes, policy) if fresh and healthy else {}
    return Field(
        snapshot, pools, policy, memory, out, machines, going - parked, parked, booting, shares, fresh, healthy
    )


def first_block(field: Field, name: str, state: NodeState) -> tuple[Block, str] | None:
    """Return why a node stays, as far as no simulation is needed; None where it is a candidate."""
    node, policy = state.node, field.policy
    if name in field.out.reclaimed:
        return Block.NEEDED, "pending pods need it again: its removal is taken back"
    if state.pool not in field.pools:
        return Block.NOT_MANAGED, "it belongs to no pool"
    if name in field.going:
        return Block.BEING_DELETED, "its removal is under way"
    if name in field.booting:
        return Block.BOOTING, "it has never been ready yet"
    said = _kept_by_people(field, name, node)
    if said is not None:
        return said
    if not field.fresh:
        return Block.STALE, f"the picture is incomplete or {field.snapshot.stale_s:.0f} s old"
    if not field.healthy:
        return Block.CLUSTER_UNHEALTHY, "too many nodes are not ready"
    if not node.ready and not policy.remove_unready:
        return Block.UNREADY_DISABLED, "it is not ready, and such nodes stay (policy.remove_unready)"
    if not field.is_disabled(name):
        share = field.shares[name]
        if not share < policy.utilization_threshold:
            return (
                Block.UTILIZATION,
                f"{share:.0%} of it are asked for, {policy.utilization_threshold:.0%} are too many",
            )
        if name in field.out.needed_nodes:
            return Block.NEEDED, "pending pods will run on it"
        if name in field.out.spare_nodes:
            return Block.HEADROOM, "it is kept as headroom"
    return None


def _kept_by_people(field: Field, name: str, node: Node) -> tuple[Block, str] | None:
    if node.annotations.get(_DISABLED) == "true":
        return Block.SCALE_DOWN_DISABLED, f"annotation {_DISABLED}"
    if forbids_disruption(node.annotations, node.created_at, field.now):
        return Block.SCALE_DOWN_DISABLED, "annotation karpenter.sh/do-not-disrupt"
    machine = field.machines.get(name)
    if machine is not None and machine.held:
        return Block.HELD, "a person holds it (clues release)"
    return None
