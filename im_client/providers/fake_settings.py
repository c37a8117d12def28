"""The settings of the provider `fake`: what happens, how long it takes, and what its place has to offer."""

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

from im_client.providers.prices import check_price, currency_word

__all__ = ["FakeHost", "FakeSettings", "FakeSize", "Fault", "Op"]

Op: TypeAlias = Literal[
    "prepare",
    "create",
    "boot",
    "get",
    "list",
    "start",
    "stop",
    "reboot",
    "resize",
    "delete",
    "save",
    "images",
    "offer",
    "things",
    "remove",
]


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A failure that is to happen. `boot` fails the machine itself; any other `op` raises."""

    op: Op
    error: str = "Transient"
    """The name of a class of `infracore.errors`."""
    node: str = "*"
    """Names of the machines that it strikes; shell wildcards."""
    times: int = 1
    """How often, counted over all processes of one world."""
    made: bool = False
    """For `create`: whether the machine is made all the same, as with an answer that is lost on its way."""


class FakeSize(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A size that machines may have."""

    name: str
    num_cpus: int
    mem_bytes: int
    disk_bytes: int = 0
    num_gpus: int = 0
    price: float | None = None
    """Of an hour; None: the place does not tell."""

    def __post_init__(self) -> None:
        if self.price is not None:
            check_price(self.price, self.name)


class FakeHost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A real SSH server that stands for a machine."""

    address: str
    port: int = 22
    user: str = "root"
    public: bool = True
    console: str = ""


class FakeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The settings of the provider `fake`."""

    state_dir: str = ""
    """Folder of the world; empty: in memory, for one process."""
    place: str = ""
    """What it says of the place that it asks."""
    delay_s: Mapping[str, float] = {}
    """Operation -> seconds that a call takes. `boot`: how long a machine is PENDING; `created`: how long `create`
    goes on once the machine exists."""
    faults: tuple[Fault, ...] = ()
    in_place: tuple[str, ...] = ("num_cpus", "mem_bytes", "ports", "tags")
    in_place_stopped: tuple[str, ...] = ("disk_bytes",)
    scrubs_images: bool = True
    unsupported: tuple[str, ...] = ()
    reachable: bool = False
    """Whether to say that its machines can be logged in to."""
    direct: bool = True
    """Whether to say that private addresses are reached from here."""
    capacity: int | None = None
    """How many machines there is room for; None: any number."""
    sizes: tuple[FakeSize, ...] = ()
    """Sizes of its machines; none: any size there is, and nothing is said of it."""
    images: tuple[str, ...] = ()
    """Names of its images; none: any image there is."""
    currency: str = "USD"
    zone: str = ""
    notes: tuple[str, ...] = ()
    """What offers say of networks and the like."""
    most_cpus: int | None = None
    """How many CPUs the quota allows; None: any number."""
    shared: tuple[str, ...] = ()
    """Kinds of things that are made once for each infrastructure, and stay when its machines go."""
    extras: tuple[str, ...] = ()
    """Kinds of things that are made for each machine, and go with it."""
    injects_host_key: bool = True
    """Whether to say that machines show the host key of their request."""
    hosts: Mapping[str, FakeHost] = {}
    """Machine -> the SSH server that stands for it."""
    credential: str = ""
    """Id of a line of the auth file."""
    password: str = ""
    """Password that the line must have; empty: none is asked for."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "currency", currency_word(self.currency))
