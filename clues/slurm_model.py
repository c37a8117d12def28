"""What Slurm shows, as values: partitions, nodes and jobs. Pure. The source that reads it comes with issue 4."""

from enum import StrEnum

import msgspec

__all__ = ["SlurmCluster", "SlurmJob", "SlurmNode", "SlurmNodeState", "SlurmPartition"]


class SlurmNodeState(StrEnum):
    """slurm.conf(5), node states, as far as power decisions tell them apart."""

    IDLE = "idle"
    ALLOCATED = "alloc"
    DOWN = "down"
    POWERED_DOWN = "powered_down"
    POWERING_UP = "powering_up"
    POWERING_DOWN = "powering_down"


class SlurmNode(msgspec.Struct, frozen=True):
    name: str
    cpus: int
    memory_mb: int = 0
    """0: memory is not a consumable resource there."""
    features: frozenset[str] = frozenset()
    state: SlurmNodeState = SlurmNodeState.IDLE
    since: float = 0.0
    free_cpus: int | None = None
    """None: all where idle, none where allocated."""
    weight: int = 1


class SlurmPartition(msgspec.Struct, frozen=True):
    name: str
    nodes: tuple[str, ...]


class SlurmJob(msgspec.Struct, frozen=True):
    id: int
    partition: str
    nodes: int = 1
    cpus_per_node: int = 1
    memory_per_node_mb: int = 0
    constraint: str = ""
    """Features joined by `&` and `|`, as --constraint has them."""
    pending: bool = True
    reason: str = ""
    priority: int = 0


class SlurmCluster(msgspec.Struct, frozen=True):
    partitions: tuple[SlurmPartition, ...] = ()
    nodes: tuple[SlurmNode, ...] = ()
    jobs: tuple[SlurmJob, ...] = ()
    excluded: frozenset[str] = frozenset()
    """Nodes that are neither turned on nor off (SuspendExcNodes)."""
