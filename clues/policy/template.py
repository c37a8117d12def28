"""What a fresh node of a pool will look like to the scheduler."""

from clues.model import ARCH, HOSTNAME, OS, Node
from clues.options import Pool

__all__ = ["DEFAULT_SLOTS", "fresh_node"]

DEFAULT_SLOTS = 110
"""The kubelet's `maxPods` where nobody sets it."""


def fresh_node(pool: Pool, name: str) -> Node:
    """Return the node as it will be once it is up: without startup taints, which go away by themselves.

    The pool's own labels win over `kubernetes.io/os=linux`, `kubernetes.io/arch=amd64` and `pool=<its name>`.
    """
    labels = {OS: "linux", ARCH: "amd64", "pool": pool.name, **pool.labels, HOSTNAME: name}
    allocatable = {"pods": DEFAULT_SLOTS, **pool.allocatable}
    return Node(name=name, labels=labels, allocatable=allocatable, taints=pool.taints)
