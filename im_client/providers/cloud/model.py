"""What a cloud has and what is asked of it, in our words."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from im_client.plan.model import Phase, Spec

__all__ = ["CloudImage", "ImageQuery", "Layout", "Order", "Rule", "Server", "Size"]


@dataclass(frozen=True, slots=True)
class Size:
    """A flavor or instance type."""

    id: str
    name: str
    num_cpus: int
    mem_bytes: int
    disk_bytes: int = 0
    """Of its own root disk; 0: any, as the image or a volume says."""
    grows: bool = False
    """Whether its root disk can be made larger: such a machine starts from a volume."""
    num_gpus: int = 0
    gpu_vendor: str = ""
    gpu_model: str = ""
    architecture: str = ""
    """`x86_64`, `arm64`; "": any."""
    is_available: bool = True
    """False where the account may see it and not use it, or it is of an old generation that nothing should choose."""


@dataclass(frozen=True, slots=True)
class CloudImage:
    """An image that machines can start from."""

    id: str
    name: str
    created_at: float = 0.0
    """Seconds since the epoch; the newest of those that fit is taken."""
    os_type: str = "linux"
    distribution: str = ""
    version: str = ""
    architecture: str = ""
    user: str = ""
    """Account with which it is logged in to."""
    min_disk_bytes: int = 0
    min_mem_bytes: int = 0
    size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """What the template says of the image. With `name` (id, name or shell wildcard) the rest only breaks ties."""

    name: str = ""
    os_type: str = ""
    distribution: str = ""
    version: str = ""
    architecture: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """Opens ports to a range of addresses. ICMP has none: 0 and 0."""

    protocol: str
    first: int
    last: int
    remote_cidr: str


@dataclass(frozen=True, slots=True)
class Layout:
    """Which networks a machine would be on, and where a public address would come from."""

    networks: tuple[str, ...] = ()
    """Ids, one an interface that is a card; to be made: `new:NAME`."""
    pool: str = ""
    """Where its public address comes from; "": it needs none, or gets one by itself."""
    notes: tuple[str, ...] = ()
    """What was chosen without the template saying so, and why."""


@dataclass(frozen=True, slots=True)
class Order:
    """One machine, chosen and ready to be asked for."""

    infrastructure: str
    name: str
    token: str
    spec: Spec
    image: CloudImage
    size: Size
    rules: tuple[Rule, ...]
    user_data: str
    public_key: str
    """OpenSSH line that may log in."""
    user: str
    """Account with which the machine is logged in to."""


@dataclass(frozen=True, slots=True)
class Server:
    """A machine as a cloud reports it."""

    id: str
    name: str
    token: str
    """Of its mark; "" where it carries none of ours."""
    infrastructure: str
    phase: Phase
    """Never CREATING, CONFIGURED or UNCONFIGURED. RUNNING also while addresses or disks are still to come."""
    private_addresses: tuple[str, ...] = ()
    public_addresses: tuple[str, ...] = ()
    user: str = ""
    """Account, as its mark says; "": unknown."""
    num_cpus: int | None = None
    mem_bytes: int | None = None
    disk_bytes: int | None = None
    image: str = ""
    size: str = ""
    fault: str = ""
    has_no_room: bool = False
    created_at: float | None = None
    """Seconds since the epoch; None: the cloud does not tell."""
    marks: Mapping[str, str] = field(default_factory=dict)
    """Its tags or metadata, ours and others."""
