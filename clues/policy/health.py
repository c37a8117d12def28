"""Whether the cluster as a whole is well enough that its size may change."""

from collections.abc import Iterable

from clues.options import Policy
from clues.snapshot import Snapshot

__all__ = ["is_fresh", "is_healthy", "unready_nodes"]


def unready_nodes(snapshot: Snapshot, upcoming: Iterable[str] = ()) -> frozenset[str]:
    """Return the registered nodes that are not ready, but for those that boot (`upcoming`) or go."""
    booting = frozenset(upcoming)
    return frozenset(
        name
        for name, state in snapshot.nodes.items()
        if not state.node.ready and not state.node.deleting and name not in booting
    )


def is_healthy(snapshot: Snapshot, policy: Policy, upcoming: Iterable[str] = ()) -> bool:
    """Return whether few enough nodes are unready.

    Unhealthy means both: more than `ok_unready` nodes, and more than `max_unready_percent` of all that are registered,
    managed or not. A broken network is no reason to rebuild a cluster.
    """
    unready = len(unready_nodes(snapshot, upcoming))
    return unready <= policy.ok_unready or 100 * unready <= policy.max_unready_percent * len(snapshot.nodes)


def is_fresh(snapshot: Snapshot, policy: Policy) -> bool:
    """Return whether the picture is complete and young enough to scale in by it. A broken age is no young one."""
    return snapshot.complete and snapshot.stale_s <= policy.max_stale_s
