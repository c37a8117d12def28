"""What a fresh node of a pool will look like to the scheduler, and the pods that DaemonSets will put on it."""

from typing import Final

import msgspec

from clues.model import ARCH, HOSTNAME, OS, DaemonSet, Effect, Node, PodSpec, Toleration
from clues.options import Pool

__all__ = ["DEFAULT_SLOTS", "daemon_spec", "fresh_node"]

DEFAULT_SLOTS = 110
"""The kubelet's `maxPods` where nobody sets it."""


def fresh_node(pool: Pool, name: str) -> Node:
    """Return the node as it will be once it is up: without startup taints, which go away by themselves.

    The pool's own labels win over `kubernetes.io/os=linux`, `kubernetes.io/arch=amd64` and `pool=<its name>`.
    """
    labels = {OS: "linux", ARCH: "amd64", "pool": pool.name, **pool.labels, HOSTNAME: name}
    allocatable = {"pods": DEFAULT_SLOTS, **pool.allocatable}
    return Node(name=name, labels=labels, allocatable=allocatable, taints=pool.taints)


_DAEMON_TOLERATIONS: Final = (
    *(
        Toleration(f"node.kubernetes.io/{what}", "Exists", "", Effect.NO_EXECUTE.value)
        for what in ("not-ready", "unreachable")
    ),
    *(
        Toleration(f"node.kubernetes.io/{what}", "Exists", "", Effect.NO_SCHEDULE.value)
        for what in ("disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")
    ),
)
"""What the DaemonSet controller adds to its pods (documentation of DaemonSet, v1.36)."""


def daemon_spec(daemon: DaemonSet) -> PodSpec:
    """Return the spec of a DaemonSet's pods, with the tolerations that the controller adds."""
    return msgspec.structs.replace(daemon.spec, tolerations=(*daemon.spec.tolerations, *_DAEMON_TOLERATIONS))
