"""What one cloud is to the adapter. The functions take a libcloud driver that no other thread uses meanwhile."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from im_client.providers.cloud.model import CloudImage, ImageQuery, Order, Rule, Server, Size
from im_client.providers.libcloud.drivers import Target
from im_client.providers.libcloud.settings import LibcloudSettings
from im_client.providers.quotas import Share
from im_client.providers.things import Thing
from infracore.clock import Clock
from infracore.secrets import Secret

__all__ = ["Descriptor", "Key", "Keys", "Login", "New", "Power", "Priced"]

Driver = Any
Power = Literal["start", "stop", "reboot"]


@dataclass(frozen=True, slots=True)
class Login:
    """How a driver is opened."""

    key: Secret
    secret: Secret | None = None
    address: str = ""
    """`https://HOST:PORT` of the API where the line says it."""
    options: Mapping[str, str] = field(default_factory=dict)
    """Further arguments of the driver."""
    region: str = ""
    """Where the line says so."""
    account: str = ""
    """For people: project or user."""
    wire: Callable[[Target, Clock], Mapping[str, Any]] | None = None
    """Returns further attributes of the connection's class."""


@dataclass(frozen=True, slots=True)
class Priced:
    """A size and what an hour of it costs, where the cloud tells."""

    size: Size
    per_hour: float | None = None


@dataclass(frozen=True, slots=True)
class New:
    """A machine to be made."""

    order: Order
    name: str
    """Unique in the account: the machine's name and the start of its token."""
    region: str
    network: str
    wall: str = ""
    """Name of the firewall that it stands behind."""
    key_id: str = ""
    """Of the registered key; "" where the cloud takes keys with the machine."""


@dataclass(frozen=True, slots=True)
class Key:
    """A registered public key."""

    id: str
    name: str
    public_key: str = ""
    """"" where the cloud does not tell."""


@dataclass(frozen=True, slots=True)
class Keys:
    """How public keys are registered."""

    every: Callable[[Driver], Sequence[Key]]
    add: Callable[[Driver, str, str], Key]
    """Called with name and key. Raises Conflict where it is there."""
    remove: Callable[[Driver, str], None]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """One cloud."""

    kind: str
    """The provider's name."""
    title: str
    driver: str
    """Module and class of the driver within libcloud's compute drivers."""
    login: Callable[[Mapping[str, Secret], LibcloudSettings], Login]
    """Reads a line of the auth file. Raises Misconfigured."""
    regions: Callable[[Driver], Sequence[str]]
    sizes: Callable[[Driver, str], Sequence[Priced]]
    images: Callable[[Driver, str, ImageQuery], Sequence[CloudImage]]
    create: Callable[[Driver, New], Server]
    server: Callable[[Driver, str, str], Server]
    """Looks at one machine of a region by its id."""
    servers: Callable[[Driver, str], Sequence[Server]]
    """Lists all machines; those without our mark have no token."""
    act: Callable[[Driver, str, str, Power], None]
    delete: Callable[[Driver, str, str], None]
    unsupported: frozenset[str]
    """Fields of `Spec` that it cannot honour."""
    connection: type | None = None
    """Class of the connection where the driver's own will not do."""
    tags: str | None = None
    """Expression that `KEY:VALUE` of a template's tag matches; None: there are no tags."""
    keys: Keys | None = None
    firewall: Callable[[Driver, str, str, Sequence[Rule], str], None] | None = None
    """Opens ports for the machines that name it; called with infrastructure, its name, rules and network. None: no port
    is ever closed. May be repeated."""
    things: Callable[[Driver], Sequence[Thing]] | None = None
    """What else carries our mark: firewalls, tags that nothing bears any more."""
    remove: Callable[[Driver, Thing], None] | None = None
    has_private: bool = True
    """Whether machines have private addresses too."""
    machines: Callable[[Driver, str], Share] | None = None
    """How many machines the account may have."""
    console: Callable[[Driver, str, str], str] | None = None
