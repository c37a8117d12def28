"""What Slurm shows, as values: partitions, nodes and jobs. Pure. Read from its commands by `clues.slurmapi`."""

from enum import StrEnum

import msgspec

__all__ = ["Gres", "SlurmCluster", "SlurmJob", "SlurmNode", "SlurmNodeState", "SlurmPartition"]

Gres = tuple[tuple[str, int], ...]
"""Generic resources by name (`gpu`) and by name and type (`gpu:a100`), with how many there are; sorted."""


class SlurmNodeState(StrEnum):
    """slurm.conf(5), node states, as far as power decisions tell them apart."""

    IDLE = "idle"
    ALLOCATED = "alloc"
    DOWN = "down"
    POWERED_DOWN = "powered_down"
    POWERING_UP = "powering_up"
    POWERING_DOWN = "powering_down"


class SlurmNode(msgspec.Struct, frozen=True):
    """One node. By Slurm's word alone; `clues.policy.slurm_machines` adds what is known of its machine."""

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
    free_memory_mb: int | None = None
    """None: all."""
    gres: Gres = ()
    free_gres: Gres | None = None
    """None: all."""
    kept: str = ""
    """Why it takes no job and is left as it is (drained by a person, maintenance, reboot); "" if not so."""
    planned: bool = False
    """Slurm's backfill has promised it to a job."""
    claimed: bool = False
    """A job has it already and waits for it to boot: Slurm gives CLOUD nodes away while they are powered down."""
    answers: bool = True
    """A slurmd of it is registered and answers."""
    started_at: float = 0.0
    """When that slurmd started; 0: never."""
    reason: str = ""
    """Of DOWN and DRAIN, as `scontrol` shows it."""
    parked: bool = False
    """It is drained or down, and the reason is ours."""


class SlurmPartition(msgspec.Struct, frozen=True):
    name: str
    nodes: tuple[str, ...]
    is_up: bool = True
    """State=UP: its jobs are started."""
    is_default: bool = False
    max_nodes: int | None = None
    """Of one job; None: no limit."""
    max_minutes: int | None = None
    """Of one job's time limit; None: no limit."""
    tier: int = 1
    """PriorityTier: jobs of a higher one come first."""
    is_exclusive: bool = False
    """OverSubscribe=EXCLUSIVE: every job has whole nodes."""


class SlurmJob(msgspec.Struct, frozen=True):
    """One job, or what is pending of an array."""

    id: int
    partition: str
    """Or several, joined by commas: it runs in one of them."""
    nodes: int = 1
    """The fewest."""
    cpus_per_node: int = 1
    """The fewest on each node."""
    memory_per_node_mb: int = 0
    constraint: str = ""
    """Features joined by `&` and `|`, as --constraint has them."""
    pending: bool = True
    reason: str = ""
    priority: int = 0
    name: str = ""
    """As people write it: `12`, `12_[1-50%4]`; "": the id."""
    max_nodes: int = 0
    """0: no limit."""
    cpus: int = 0
    """In all; 0: `cpus_per_node` on each of `nodes`."""
    cpus_per_task: int = 1
    tasks_per_node: int = 0
    """The most on one node; 0: no limit."""
    memory_per_cpu_mb: int = 0
    gres: Gres = ()
    """On each node."""
    exclusive: bool = False
    required: frozenset[str] = frozenset()
    """Nodes that it must have (--nodelist)."""
    excluded: frozenset[str] = frozenset()
    count: int = 1
    """Tasks of an array that are pending and may run at once."""
    minutes: int | None = None
    """Time limit; None: none or the partition's."""
    reservation: str = ""
    submitted_at: float = 0.0
    begins_at: float = 0.0
    """Not earlier (--begin); 0: at any time."""
    dependent: bool = False
    """It waits for other jobs (--dependency), whatever the reason says yet."""


class SlurmCluster(msgspec.Struct, frozen=True):
    partitions: tuple[SlurmPartition, ...] = ()
    nodes: tuple[SlurmNode, ...] = ()
    jobs: tuple[SlurmJob, ...] = ()
    excluded: frozenset[str] = frozenset()
    """Nodes that are neither turned on nor off (SuspendExcNodes)."""
