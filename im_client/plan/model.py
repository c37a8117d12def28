"""The plan: steps with reasons, printable, as JSON, and with a digest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from im_client.topology.facts import Facts

__all__ = [
    "Action",
    "Change",
    "Known",
    "KnownNode",
    "Limits",
    "Phase",
    "Plan",
    "Reason",
    "ReasonCode",
    "Spec",
    "SpecInterface",
    "SpecVolume",
    "Step",
]


class Phase(StrEnum):
    """Where a machine stands. A provider reports all but CREATING, CONFIGURED and UNCONFIGURED."""

    CREATING = "creating"
    """The intent is written; the provider may or may not have been reached."""
    PENDING = "pending"
    RUNNING = "running"
    """The provider says that it runs; not (fully) configured yet."""
    CONFIGURED = "configured"
    UNCONFIGURED = "unconfigured"
    """It runs, and its configuration failed."""
    STOPPED = "stopped"
    FAILED = "failed"
    DELETING = "deleting"
    GONE = "gone"
    UNKNOWN = "unknown"
    """The provider could not be asked."""


@dataclass(frozen=True, slots=True)
class SpecInterface:
    """A network card of one machine."""

    network: str
    public: bool = False
    cidr: str | None = None
    provider_name: str | None = None
    fixed_address: str | None = None
    dns_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SpecVolume:
    """A disk of one machine beside its root disk."""

    name: str
    size_bytes: int
    mount_path: str | None = None
    device: str | None = None
    fs_type: str = "ext4"
    volume_id: str | None = None
    type: str | None = None


@dataclass(frozen=True, slots=True)
class Spec:
    """What one machine shall be, free of secrets: compared field by field with what was recorded."""

    num_cpus: int | None = None
    mem_bytes: int | None = None
    disk_bytes: int | None = None
    instance_type: str | None = None
    num_gpus: int = 0
    gpu_vendor: str | None = None
    gpu_model: str | None = None
    disk_type: str | None = None
    preemptible: bool = False
    image: str | None = None
    os_type: str | None = None
    os_distribution: str | None = None
    os_version: str | None = None
    architecture: str | None = None
    user: str | None = None
    interfaces: tuple[SpecInterface, ...] = ()
    ports: tuple[str, ...] = ()
    """`tcp/22`, `udp/2000-2100@10.0.0.0/8`; sorted."""
    volumes: tuple[SpecVolume, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    cloud_id: str | None = None
    availability_zone: str | None = None
    board: Mapping[str, str] = field(default_factory=dict)
    """What is asked of a Raspberry Pi besides: `model`, `serial`, `mac`, `storage`, `power`; by nobody else heeded."""
    golden_image: str | None = None
    """Id of the saved machine that it starts from: how it came to be, which no plan asks for or compares."""


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A machine as recorded, with what the provider reports of it."""

    name: str
    group: str
    index: int
    phase: Phase
    """The recorded phase, corrected by the provider's report (GONE where it no longer exists there)."""
    spec: Spec
    provider: str
    """The site where it is: a name of the settings, or of a provider."""
    provider_id: str | None = None
    configured_digest: str | None = None
    """Digest of the operations that last succeeded on it; None: never, or the last try failed."""
    failure: str = ""
    operation_digests: Mapping[str, str] = field(default_factory=dict)
    """Operation id -> digest of it when it last succeeded here."""


@dataclass(frozen=True, slots=True)
class Known:
    """The recorded infrastructure as a plan sees it. `revision` grows with every change of the state."""

    revision: int = 0
    nodes: Mapping[str, KnownNode] = field(default_factory=dict)
    facts: Facts = field(default_factory=Facts)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a provider can do, as far as plans depend on it."""

    provider: str
    in_place: frozenset[str] = frozenset()
    """Fields of `Spec` that it changes on a machine without making a new one."""
    in_place_stopped: frozenset[str] = frozenset()
    """Fields that it changes only while the machine is stopped (the step says that it restarts)."""
    can_stop: bool = True
    reachable: bool = True
    """Whether its machines can be logged in to; where not, nothing is configured and no hook runs."""
    direct: bool = True
    """Whether this computer reaches private addresses; where not, a machine without a public address is logged in to
    through one of its infrastructure that has one."""
    unsupported: frozenset[str] = frozenset()
    """Fields of `Spec` that it cannot honour: a template that asks for one is refused by the plan."""
    injects_host_key: bool = True
    """Whether machines show the host key of their request (or the provider tells theirs); where not, it is learned."""


class Action(StrEnum):
    """What a step does."""

    CREATE = "create"
    START = "start"
    UPDATE = "update"
    """Changes a machine in place."""
    REPLACE = "replace"
    """Deletes a machine and makes it anew under the same name."""
    DELETE = "delete"
    CONFIGURE = "configure"
    STOP = "stop"
    """Only by `im stop`: no template asks for a stopped machine."""
    REBOOT = "reboot"
    """Only by `im reboot`."""


class ReasonCode(StrEnum):
    """Why a step is there; stable words for programs."""

    NEW = "new"
    SCALE_OUT = "scale-out"
    SCALE_IN = "scale-in"
    REMOVED = "removed-from-template"
    DESTROY = "destroy"
    GONE = "gone-at-provider"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    STOPPED = "stopped"
    CHANGED = "property-changed"
    NEVER_CONFIGURED = "never-configured"
    OPERATION_CHANGED = "operation-changed"
    DEPENDS = "depends-on-change"
    ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why: a code for programs and a sentence for people."""

    code: ReasonCode
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """One property that differs."""

    property: str
    before: str
    after: str
    forces_replace: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    """One action on one machine."""

    id: str
    """`action:node`, unique in a plan."""
    action: Action
    node: str
    group: str
    index: int
    reason: Reason
    spec: Spec | None = None
    """The wanted machine: for CREATE, UPDATE and REPLACE."""
    changes: tuple[Change, ...] = ()
    needs: tuple[str, ...] = ()
    """Ids of the steps that end before this one starts."""
    operations: tuple[str, ...] = ()
    """For CONFIGURE: the ids of the operations that run; for DELETE and REPLACE: the hooks before it."""
    sites: tuple[str, ...] = ()
    """For CREATE and REPLACE: the sites to ask, in order; none: where the infrastructure is."""
    images: Mapping[str, str] = field(default_factory=dict)
    """For CREATE and REPLACE: site -> id of the golden image that the machine starts from there."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The way from what is to what shall be. No steps: nothing to do."""

    infrastructure: str
    revision: int
    """The state's revision that it was made from; a plan of an older one is refused."""
    steps: tuple[Step, ...]
    unchanged: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.steps
