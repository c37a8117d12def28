"""Whether the cluster as a whole is well enough that its size may change."""

from collections.abc import Iterable

from clues.options import Policy
from clues.snapshot import MachineState, Snapshot

__all__ = ["is_fresh", "is_healthy", "nodes_of_machines", "unhealthy_pools", "unready_nodes"]


def nodes_of_machines(snapshot: Snapshot, *states: MachineState) -> frozenset[str]:
    """Return the registered nodes that are not ready and whose machine is in one of the states.

    A parked machine (OFF) may keep its Node object; so may one that is being woken (BOOTING).
    """
    wanted = {
        (machine.pool, machine.name): machine.node
        for listed in snapshot.machines.values()
        for machine in listed
        if machine.state in states
    }
    if not wanted:
        return frozenset()
    names = {node for node in wanted.values() if node}
    return frozenset(
        name
        for name, state in snapshot.nodes.items()
        if not state.node.ready and (name in names or (state.pool, state.machine) in wanted)
    )


def unready_nodes(snapshot: Snapshot, upcoming: Iterable[str] = ()) -> frozenset[str]:
    """Return the registered nodes that are not ready, but for those that boot (`upcoming`), go or are parked."""
    booting = nodes_of_machines(snapshot, MachineState.OFF, MachineState.BOOTING).union(upcoming)
    return frozenset(
        name
        for name, state in snapshot.nodes.items()
        if not state.node.ready and not state.node.deleting and name not in booting
    )


def is_healthy(snapshot: Snapshot, policy: Policy, upcoming: Iterable[str] = ()) -> bool:
    """Return whether few enough nodes are unready.

    Unhealthy means both: more than `ok_unready` nodes, and more than `max_unready_percent` of all that are registered,
    managed or not, without parked ones. A broken network is no reason to rebuild a cluster.
    """
    unready = len(unready_nodes(snapshot, upcoming))
    if unready <= policy.ok_unready:
        return True
    total = len(snapshot.nodes) - len(nodes_of_machines(snapshot, MachineState.OFF))
    return 100 * unready <= policy.max_unready_percent * total


def unhealthy_pools(snapshot: Snapshot, policy: Policy, upcoming: Iterable[str] = ()) -> frozenset[str]:
    """Return the pools with too many unready nodes, by the measure of `is_healthy`: they do not grow.

    More of what does not work is no help; cluster-autoscaler has the same measure for a cluster and for a group.
    """
    unready: dict[str, int] = {}
    for name in unready_nodes(snapshot, upcoming):
        pool = snapshot.nodes[name].pool
        unready[pool] = unready.get(pool, 0) + 1
    many = {pool: number for pool, number in unready.items() if number > policy.ok_unready}
    if not many:
        return frozenset()
    parked = nodes_of_machines(snapshot, MachineState.OFF)
    sizes: dict[str, int] = {}
    for name, state in snapshot.nodes.items():
        if name not in parked:
            sizes[state.pool] = sizes.get(state.pool, 0) + 1
    return frozenset(pool for pool, n in many.items() if 100 * n > policy.max_unready_percent * sizes[pool])


def is_fresh(snapshot: Snapshot, policy: Policy) -> bool:
    """Return whether the picture is complete and young enough to scale in by it. A broken age is no young one."""
    return snapshot.complete and snapshot.stale_s <= policy.max_stale_s
