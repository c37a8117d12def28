"""The topology: one frozen value that says which machines there shall be and what runs on them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from im_client.topology.values import Value
from infracore.secrets import Secret

__all__ = [
    "Artifact",
    "ArtifactKind",
    "Choose",
    "Group",
    "GroupKind",
    "Hardware",
    "Image",
    "Network",
    "NetworkInterface",
    "Operation",
    "OperationPhase",
    "Output",
    "Placement",
    "PortRule",
    "Protocol",
    "SourceRef",
    "Topology",
    "Volume",
]


@dataclass(frozen=True, slots=True)
class SourceRef:
    """Where in a template something was said; line and column count from 1."""

    file: str
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a machine must have at the least; None means that the template does not care."""

    num_cpus: int | None = None
    mem_bytes: int | None = None
    disk_bytes: int | None = None
    """Size of the root disk."""
    cpu_frequency_hz: float | None = None
    instance_type: str | None = None
    """Flavor name; may hold shell wildcards."""
    num_gpus: int = 0
    gpu_vendor: str | None = None
    gpu_model: str | None = None
    disk_type: str | None = None
    preemptible: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """The operating system that is asked for; `url` names one image, the others describe any that fits."""

    url: str | None = None
    type: str | None = None
    distribution: str | None = None
    version: str | None = None
    architecture: str | None = None
    user: str | None = None
    password: Secret | None = None
    private_key: Secret | None = None


class Protocol(StrEnum):
    """Transport protocols of a port rule."""

    TCP = "tcp"
    UDP = "udp"
    ICMP = "icmp"


@dataclass(frozen=True, slots=True)
class PortRule:
    """Opens `first..last` (both included) to `remote_cidr`."""

    first: int
    last: int
    protocol: Protocol = Protocol.TCP
    remote_cidr: str = "0.0.0.0/0"
    target: int | None = None
    """Port on the machine where it differs from the one opened (port forwarding)."""


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the infrastructure."""

    name: str
    public: bool = False
    cidr: str | None = None
    provider_name: str | None = None
    """Its name or pool at the provider, if the template names one."""
    create: bool = False
    gateway: str | None = None


@dataclass(frozen=True, slots=True)
class NetworkInterface:
    """One network card of every machine of a group, in the order of the cards."""

    network: str
    fixed_address: str | None = None
    dns_names: tuple[str, ...] = ()
    """`#N#` in a name stands for the index of the instance."""


@dataclass(frozen=True, slots=True)
class Volume:
    """A disk that every machine of a group gets beside its root disk. Size 0 with no id: no disk."""

    name: str
    size_bytes: int
    mount_path: str | None = None
    device: str | None = None
    fs_type: str = "ext4"
    volume_id: str | None = None
    """An existing volume at the provider."""
    type: str | None = None


class Choose(StrEnum):
    """Which of several sites is asked first."""

    ORDER = "order"
    """The one that stands first."""
    CHEAPEST = "cheapest"
    """Where there is room, the one whose machine costs least; then the one that stands first."""


@dataclass(frozen=True, slots=True)
class Placement:
    """A Placement policy: which cloud (the id of a credential line), which zone, and which sites."""

    cloud_id: str | None = None
    availability_zone: str | None = None
    sites: tuple[str, ...] = ()
    """Names of sites (settings) or providers, in order: when one has no room, the next is asked. None: where the
    infrastructure is."""
    choose: Choose | None = None
    """None: as the settings say."""


class GroupKind(StrEnum):
    """What is made of a group. Providers of machines make MACHINE only."""

    MACHINE = "machine"
    FUNCTION = "function"
    """A function of a serverless platform, such as OSCAR or AWS Lambda."""
    CONTAINER = "container"


@dataclass(frozen=True, slots=True)
class Group:
    """Machines made from one Compute node template."""

    name: str
    count: int
    minimum: int
    maximum: int | None
    hardware: Hardware = Hardware()
    image: Image = Image()
    interfaces: tuple[NetworkInterface, ...] = ()
    ports: tuple[PortRule, ...] = ()
    volumes: tuple[Volume, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    board: Mapping[str, str] = field(default_factory=dict)
    """What is asked of a Raspberry Pi: `model`, `serial`, `mac`, `storage`, `power`, where they are not empty."""
    instance_name: str | None = None
    placement: Placement = Placement()
    golden_image: str | None = None
    """Name of a saved machine that new ones start from (`im image`); those that are there stay as they are."""
    removal_list: tuple[str, ...] = ()
    """Instances that go first at scale-in: names, indices or provider ids."""
    scalable: bool = True
    """False where the template states neither count nor scalable capability for more than one."""
    needs: tuple[str, ...] = ()
    """Groups whose machines are made before this group's."""
    where: SourceRef | None = None
    kind: GroupKind = GroupKind.MACHINE


class ArtifactKind(StrEnum):
    """How an artifact is used."""

    PLAYBOOK = "playbook"
    """Ansible: a playbook or a list of tasks."""
    SHELL = "shell"
    ROLE = "role"
    COLLECTION = "collection"


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file or package that configures machines.

    `location` is an absolute path, an https URL, or a Galaxy name, `git+https://...|name` or tar URL.
    """

    kind: ArtifactKind
    location: str
    version: str | None = None
    name: str | None = None
    sha256: str | None = None
    digest: str = ""
    """Hash of the file's text where it is local: a changed playbook means configuring again."""


class OperationPhase(StrEnum):
    """When an operation runs."""

    CONFIGURE = "configure"
    """While deploying: create, configure, start and the relationships' hooks, in the order of the tuple."""
    STOP = "stop"
    """Before a machine is stopped or deleted."""
    DELETE = "delete"
    """Before a machine is deleted, after STOP."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of one implementation on every machine of one group."""

    id: str
    """`component.interface.operation`, unique; `source>target.` in front for relationships' hooks."""
    component: str
    interface: str
    operation: str
    group: str
    """The machines it runs on."""
    phase: OperationPhase
    tier: int
    """Dependency level of the component: lower tiers are finished on every machine first."""
    implementation: Artifact
    inputs: Mapping[str, Value] = field(default_factory=dict)
    requires: tuple[Artifact, ...] = ()
    """Roles and collections that it uses."""
    where: SourceRef | None = None


@dataclass(frozen=True, slots=True)
class Output:
    """A named result of the deployment."""

    name: str
    value: Value
    description: str = ""
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Topology:
    """All that a template asks for. Operations are in the order in which they run."""

    name: str
    description: str = ""
    groups: Mapping[str, Group] = field(default_factory=dict)
    networks: Mapping[str, Network] = field(default_factory=dict)
    operations: tuple[Operation, ...] = ()
    outputs: tuple[Output, ...] = ()
    components: Mapping[str, str] = field(default_factory=dict)
    """Software component -> the group that hosts it."""
    attributes: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Node template -> defaults of its attributes; a value set at run time wins."""
    input_count: int = 0
    metadata: Mapping[str, Value] = field(default_factory=dict)
