"""Which subnets a machine's cards are on. Pure: what there is comes in, what was chosen and why goes out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from ipaddress import ip_address, ip_network
from typing import Any

from im_client.plan.model import Spec, SpecInterface
from im_client.providers.cloud.base import MARK
from im_client.providers.cloud.model import Layout
from im_client.providers.ec2.marks import tags_of
from im_client.providers.ec2.settings import Ec2Settings
from infracore.errors import NotFound, Unsupported

__all__ = ["Card", "Cards", "Subnet", "choose_cards", "subnet_of"]


@dataclass(frozen=True, slots=True)
class Subnet:
    """A subnet, one zone of one VPC."""

    id: str
    vpc: str
    zone: str
    cidr: str = ""
    name: str = ""
    is_default: bool = False
    infrastructure: str = ""
    """Whose mark it carries."""


@dataclass(frozen=True, slots=True)
class Card:
    """A network card: the subnets that it may be on, one a zone. None: a VPC is made first."""

    subnets: tuple[Subnet, ...]
    address: str = ""
    """Private address that it must have."""


@dataclass(frozen=True, slots=True)
class Cards:
    """The cards of one machine."""

    cards: tuple[Card, ...]
    zones: tuple[str, ...]
    """Where all of them can be, in the order in which they are tried; none: in the zone of a VPC that is made."""
    is_public: bool
    is_elastic: bool
    """Whether its public address is one that is taken for it."""
    cidr: str = ""
    """Of the VPC that is made."""
    notes: tuple[str, ...] = ()

    @property
    def layout(self) -> Layout:
        """What a plan says of it."""
        ids = tuple(card.subnets[0].id if card.subnets else "new:im-clues" for card in self.cards)
        return Layout(ids, "elastic IP" if self.is_elastic else "", self.notes)


def subnet_of(told: Mapping[str, Any]) -> Subnet:
    """Read one subnet."""
    tags = tags_of(told)
    return Subnet(
        id=told["SubnetId"],
        vpc=told["VpcId"],
        zone=told.get("AvailabilityZone", ""),
        cidr=told.get("CidrBlock", ""),
        name=tags.get("Name", ""),
        is_default=bool(told.get("DefaultForAz", False)),
        infrastructure=tags.get(MARK, ""),
    )


def choose_cards(
    subnets: Sequence[Subnet], spec: Spec, settings: Ec2Settings, infrastructure: str | None, zones: Sequence[str] = ()
) -> Cards:
    """Choose the subnets of a machine. Interfaces that come to the same subnets are one card: EC2 gives it both
    addresses. `zones` are those of disks that it must reach; none: any.

    Raises:
        NotFound: a network that is named is not there, or not in the zone. Unsupported: EC2 cannot have it so.
    """
    wanted_zones = [spec.availability_zone] if spec.availability_zone else list(zones)
    notes: list[str] = []
    cards: dict[tuple[Subnet, ...], str] = {}
    cidr = ""
    for interface in spec.interfaces or (SpecInterface(network="default", public=True),):
        named = interface.provider_name or ""
        found = _named(subnets, named) if named else _own(subnets, settings, infrastructure, notes)
        if wanted_zones and found:
            found = [one for one in found if one.zone in wanted_zones]
            if not found:
                raise NotFound(
                    f"{named or 'the network'} has no subnet in {', '.join(wanted_zones)}", "leave the zone out"
                )
        if interface.cidr and not named and not interface.public:
            if not found:
                cidr = cidr or interface.cidr
            elif interface.cidr not in {one.cidr for one in found}:
                notes.append(f"network {interface.network}: {_span(found)}, not {interface.cidr}: it has no name here")
        address = _address(interface, found)
        key = tuple(found)
        cards[key] = cards.get(key) or address
    chosen = tuple(Card(key, address) for key, address in cards.items())
    if len({one.vpc for card in chosen for one in card.subnets[:1]}) > 1:
        raise Unsupported("the networks of a machine are in several VPCs", "EC2 attaches cards of one VPC only")
    common = [one.zone for one in chosen[0].subnets if all(one.zone in _zones(card) for card in chosen)]
    if chosen[0].subnets and not common:
        raise NotFound("the networks of a machine share no zone", "give them subnets in one zone")
    public = any(i.public for i in spec.interfaces) or not spec.interfaces
    elastic = public and (settings.elastic_ip or len(chosen) > 1)
    if elastic and not settings.elastic_ip:
        notes.append("elastic IP: a machine with several cards gets no other public address")
    return Cards(chosen, tuple(dict.fromkeys(common)), public, elastic, cidr, tuple(dict.fromkeys(notes)))


def _named(subnets: Sequence[Subnet], name: str) -> list[Subnet]:
    """Find `subnet-1`, `vpc-1`, `vpc-1.subnet-1` (the Infrastructure Manager's form) or what has this Name."""
    vpc, dot, subnet = name.partition(".")
    if dot and vpc.startswith("vpc-"):
        found = [one for one in subnets if one.id == subnet and one.vpc == vpc]
    else:
        found = [one for one in subnets if name in {one.id, one.vpc} or (one.name and fnmatchcase(one.name, name))]
    if not found:
        known = ", ".join(sorted({one.name or one.id for one in subnets})[:12])
        raise NotFound(f"there is no network {name!r}", f"there are: {known}" if known else "there are none")
    return found


def _own(
    subnets: Sequence[Subnet], settings: Ec2Settings, infrastructure: str | None, notes: list[str]
) -> list[Subnet]:
    """Choose where a template names nothing: as is set, the default VPC, one that was made before, or none yet."""
    if settings.subnet or settings.vpc:
        return _named(subnets, settings.subnet or settings.vpc)
    found = [one for one in subnets if one.is_default]
    if found:
        notes.append(f"network: the default VPC {found[0].vpc}, as none is named")
        return found
    found = [one for one in subnets if infrastructure and one.infrastructure == infrastructure]
    if not found:
        notes.append("network: a VPC is made, as this account has no default one here and none is named")
    return found


def _address(interface: SpecInterface, subnets: Sequence[Subnet]) -> str:
    address = interface.fixed_address or ""
    if not address:
        return ""
    if not any(one.cidr and ip_address(address) in ip_network(one.cidr) for one in subnets):
        raise Unsupported(
            f"the address {address} is not in {_span(subnets) or 'a network that is there'}",
            f"name the subnet of {interface.network} that has it",
        )
    return address


def _span(subnets: Sequence[Subnet]) -> str:
    return ", ".join(one.cidr for one in subnets[:3])


def _zones(card: Card) -> set[str]:
    return {one.zone for one in card.subnets}
