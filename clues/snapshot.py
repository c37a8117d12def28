"""What `decide` looks at: one consistent picture of cluster and machines at one moment. Pure.

Made by `clues.sources` from its caches in time proportional to what changed; never changed afterwards.
"""

from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property

import msgspec

from clues.model import Budget, Claim, DaemonSet, Labels, Node, Pod, PodGroup
from clues.slurm_model import SlurmCluster

__all__ = ["Alike", "Machine", "MachineState", "NodeState", "Snapshot"]

Alike = tuple[str, int, int, bool]
"""Namespace, identities of spec and labels, whether it is being deleted: all that rules see of a pod."""


class MachineState(StrEnum):
    """Of a machine, as driver and cluster together show it."""

    OFF = "off"
    BOOTING = "booting"
    """Ordered, not yet registered as a node (or registered and never ready)."""
    ON = "on"
    STOPPING = "stopping"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Machine(msgspec.Struct, frozen=True, gc=False):
    """A machine that a pool has, had or ordered."""

    name: str
    """Unique within the pool: the configured name, or the driver's identifier."""
    pool: str
    state: MachineState
    since: float
    """When the state began, seconds since the epoch."""
    node: str = ""
    """Name of the node that it is or will be; "" if not yet known."""
    failures: int = 0
    """Power actions that failed in a row."""
    power_ons: int = 0
    """Over its life: wear is levelled by it."""
    on_seconds: float = 0.0
    last_off_at: float | None = None
    held: bool = False
    """A person keeps it as it is (`clues hold`)."""
    disabled: bool = False
    """A person took it out of use (`clues disable`)."""
    order: str = ""
    """Token of the order that is under way; "" if none."""


class NodeState(msgspec.Struct, frozen=True, dict=True):
    """A node and the pods bound to it (finished ones are left out).

    A node that nothing happened to is the same object in the next picture, and what was counted once is kept with it.
    """

    node: Node
    pods: tuple[Pod, ...] = ()
    pool: str = ""
    """"": not managed."""
    machine: str = ""
    """Name of its machine in the pool; "" where none is known."""

    @cached_property
    def alike(self) -> tuple[tuple[Alike, Pod, int], ...]:
        """What its pods have in common, one of those that have it, and how many they are."""
        found: dict[Alike, tuple[Pod, int]] = {}
        for pod in self.pods:
            labels = pod.labels
            key = (pod.namespace, id(pod.spec), id(labels) if labels else 0, pod.deleting)
            one, number = found.get(key, (pod, 0))
            found[key] = (one, number + 1)
        return tuple((key, one, number) for key, (one, number) in found.items())

    @cached_property
    def highest_priority(self) -> int | None:
        """The highest priority of its pods that would have to move; None: it has none such."""
        return max((pod.spec.priority for pod in self.pods if not pod.stays_with_node), default=None)


class Snapshot(msgspec.Struct, frozen=True):
    """The picture.

    `complete` says that every cache has been listed; `stale_s` is the age of the oldest cache's last sign of life.
    An incomplete or stale snapshot never scales in.
    """

    now: float
    """Seconds since the epoch."""
    complete: bool = True
    stale_s: float = 0.0
    nodes: Mapping[str, NodeState] = {}
    pending: tuple[Pod, ...] = ()
    """Every pod without a node that is not finished, in order of creation; demand sorts out which of them count."""
    daemonsets: tuple[DaemonSet, ...] = ()
    budgets: tuple[Budget, ...] = ()
    namespaces: Mapping[str, Labels] = {}
    claims: Mapping[tuple[str, str], Claim] = {}
    """(namespace, name) -> claim."""
    pod_groups: Mapping[tuple[str, str], PodGroup] = {}
    """(namespace, name) -> gang, where they are watched."""
    machines: Mapping[str, tuple[Machine, ...]] = {}
    """Pool -> its machines, whatever their state; a machine whose node is registered and ready is ON."""
    replicas: Mapping[str, int] = {}
    """Controller uid -> replicas that it wants, where known (for blocks on too few replicas)."""
    missing_owners: frozenset[str] = frozenset()
    """Controller uids that are known not to exist any more."""
    slurm: SlurmCluster | None = None
    problems: tuple[str, ...] = ()
    """Objects set aside, caches not listed ...: for people."""
