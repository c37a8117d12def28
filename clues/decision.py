"""What is decided, with every reason as data; and what the next decision has to remember. Pure."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from clues.model import PodRef

__all__ = [
    "Block",
    "Decision",
    "Memory",
    "NodeVerdict",
    "PodVerdict",
    "PoolRest",
    "PowerOn",
    "Refusal",
    "Removal",
    "RemovalKind",
    "Replacement",
]


class Block(StrEnum):
    """Why a node stays. The words are those of shared/cases/elasticity (EXPECT, blocked)."""

    NOT_MANAGED = "not-managed"
    SCALE_DOWN_DISABLED = "scale-down-disabled"
    UTILIZATION = "utilization"
    NEEDED = "needed"
    NO_PLACE = "no-place"
    MIN_SIZE = "min-size"
    MIN_RESOURCE = "min-resource"
    NOT_UNNEEDED_LONG_ENOUGH = "not-unneeded-long-enough"
    NOT_UNREADY_LONG_ENOUGH = "not-unready-long-enough"
    UNREADY_DISABLED = "unready-disabled"
    COOLDOWN = "cooldown"
    BEING_DELETED = "being-deleted"
    BOOTING = "booting"
    BUDGET = "budget"
    PARALLELISM = "parallelism"
    CLUSTER_UNHEALTHY = "cluster-unhealthy"
    POD_NOT_SAFE = "pod-not-safe"
    POD_UNREPLICATED = "pod-unreplicated"
    POD_LOCAL_STORAGE = "pod-local-storage"
    POD_KUBE_SYSTEM = "pod-kube-system"
    PDB = "pdb"
    NOT_CHEAPER = "not-cheaper"
    EXCLUDED = "excluded"
    # of ours, never in a scenario's answer
    STALE = "stale"
    HELD = "held"
    MIN_ON = "min-on-time"
    SCHEDULE = "schedule"
    HEADROOM = "headroom"
    SCALE_IN_OFF = "scale-in-off"


class RemovalKind(StrEnum):
    """Why a node goes."""

    EMPTY = "empty"
    UNDERUSED = "underused"
    UNREADY = "unready"
    NEVER_REGISTERED = "never-registered"
    NEVER_READY = "never-ready"
    OVER_MAX = "over-max"
    REPLACED = "replaced"


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """The first rule that keeps a pod from a node or from a fresh node of a pool."""

    where: str
    """Node or pool."""
    rule: str
    """A kube-scheduler filter plugin (`NodeResourcesFit`), or one of ours: `limit`, `resting`, `excluded`."""
    detail: str = ""
    """For people: `cpu: asks 4000m, 3500m free`."""


class PowerOn(msgspec.Struct, frozen=True):
    """So many nodes of a pool are to come."""

    pool: str
    count: int
    machines: tuple[str, ...] = ()
    """Of a powered pool: which ones, `count` of them."""
    pods: tuple[PodRef, ...] = ()
    """Whom they are for (at most 50 are named)."""
    reason: str = ""


class Removal(msgspec.Struct, frozen=True):
    """A node (or a machine that never became one) is to go."""

    node: str
    """"" where no node ever registered."""
    pool: str
    machine: str = ""
    kind: RemovalKind = RemovalKind.EMPTY
    evict: tuple[PodRef, ...] = ()
    """In the order in which they are to be evicted."""
    moves: Mapping[str, str] = {}
    """`namespace/name` -> node where the simulation put it."""
    reason: str = ""


class Replacement(msgspec.Struct, frozen=True):
    """Nodes that go once cheaper ones have come."""

    remove: tuple[Removal, ...]
    add: tuple[PowerOn, ...]
    saves: float = 0.0
    """Price per hour."""
    reason: str = ""


class PodVerdict(msgspec.Struct, frozen=True):
    """What becomes of pods that are alike; kept per group, so that 100,000 pods cost no 100,000 records."""

    pods: tuple[PodRef, ...]
    outcome: str
    """`fits` (a node has room: the scheduler will bind it), `ordered` (a node that comes now), `upcoming` (one ordered
    before), `unschedulable`, `resting`, `limit`, `ignored` (gated, foreign scheduler, expendable ...), `waiting`
    (one node is tried first, its gang is not whole, or the scheduler has not looked at it yet)."""
    place: str = ""
    """Node or pool."""
    refusals: tuple[Refusal, ...] = ()
    reason: str = ""


class NodeVerdict(msgspec.Struct, frozen=True):
    """Why a node is kept, or that it goes."""

    node: str
    block: Block | None
    """None: it goes."""
    detail: str = ""
    removable_at: float | None = None
    """When the timer that keeps it will be over, where that alone does."""


class PoolRest(msgspec.Struct, frozen=True):
    """The failures of a pool, or of a node's removal, and its rest."""

    failed_at: float
    rest_s: float
    until: float
    reason: str = ""


class Memory(msgspec.Struct, frozen=True):
    """What a restart must not lose; stored by `clues.history`, given back to the next `decide`."""

    unneeded_since: Mapping[str, float] = {}
    """Node -> since when it has been removable without a break."""
    rests: Mapping[str, PoolRest] = {}
    last_scale_up: float | None = None
    last_failure: float | None = None
    """Of a power-off or drain."""
    planned: Mapping[str, str] = {}
    """Pod uid -> the slot that it was ordered for, kept and not packed anew: `pool/machine`, or `pool/#number` of one
    that was ordered just now."""
    given_up: Mapping[str, float] = {}
    """Machine (`pool/name`) that never registered -> when it was given up."""
    probes: Mapping[str, float] = {}
    """Group key of pods beyond simulation -> when one node was ordered for them (`one node, then look`)."""
    removing: Mapping[str, float] = {}
    """Node whose removal has begun -> when."""
    removal_rests: Mapping[str, PoolRest] = {}
    """Node whose removal failed -> how long it is left alone, while others have their turn."""


class Decision(msgspec.Struct, frozen=True):
    """All that one pass decided."""

    at: float
    power_on: tuple[PowerOn, ...] = ()
    remove: tuple[Removal, ...] = ()
    replace: tuple[Replacement, ...] = ()
    cancel: tuple[str, ...] = ()
    """Nodes whose removal is to be cancelled: demand returned."""
    pods: tuple[PodVerdict, ...] = ()
    nodes: tuple[NodeVerdict, ...] = ()
    slurm_on: tuple[str, ...] = ()
    slurm_off: tuple[str, ...] = ()
    memory: Memory = Memory()
    notes: tuple[str, ...] = ()
    """About the pass as a whole: unhealthy cluster, stale picture, limits that were met."""

    @property
    def is_empty(self) -> bool:
        return not (self.power_on or self.remove or self.replace or self.cancel or self.slurm_on or self.slurm_off)
