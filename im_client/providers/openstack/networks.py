"""Which networks a machine is put on. Pure: a choice from what the project sees, with what was guessed in words.

Order for a private card: the network that the template names; one of its own, where it gives a CIDR; the setting
`network`; the project's own network that a router joins to the outside; a shared one; one that is made. For a public
card: the pool that the template names, the setting `pool`, the external network behind the private one's router, the
default or only one; where none gives floating IPs, a network whose own addresses are public.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from im_client.plan.model import Spec, SpecInterface
from im_client.providers.openstack.settings import OpenStackSettings
from infracore.errors import NotFound, Unsupported

__all__ = ["Card", "Choice", "Net", "View", "choose_networks"]


@dataclass(frozen=True, slots=True)
class Net:
    """A network as the project sees it."""

    id: str
    name: str
    is_external: bool = False
    is_own: bool = True
    """Of this project, not shared by another."""
    is_default: bool = False
    is_guarded: bool = True
    """Whether security groups apply to it."""
    cidrs: tuple[str, ...] = ()
    outside: str = ""
    """Id of the external network that a router joins it to."""
    infrastructure: str = ""
    """Of its mark: that it was made for."""
    made_for: str = ""
    """Of its mark: the network of the template."""

    @property
    def is_public(self) -> bool:
        """Whether its own addresses are public ones."""
        return any(ipaddress.ip_network(cidr, strict=False).is_global for cidr in self.cidrs if "." in cidr)


@dataclass(frozen=True, slots=True)
class View:
    """All networks that the project sees."""

    nets: Sequence[Net] = ()

    def named(self, name: str) -> list[Net]:
        """Return those of an id, a name or a wildcard; those of the project itself first."""
        exact = [net for net in self.nets if name in {net.id, net.name}]
        found = exact or [net for net in self.nets if fnmatchcase(net.name, name)]
        return sorted(found, key=lambda net: (not net.is_own, net.name, net.id))


@dataclass(frozen=True, slots=True)
class Card:
    """One network card."""

    net: Net | None
    """None: its network is to be made."""
    new_name: str = ""
    new_cidr: str = ""
    fixed_address: str = ""

    @property
    def shown(self) -> str:
        """Id of the network, or `new:NAME`."""
        return self.net.id if self.net else f"new:{self.new_name}"


@dataclass(slots=True)
class Choice:
    """The cards of a machine, and where its floating IP comes from."""

    cards: list[Card] = field(default_factory=list)
    pool: Net | None = None
    """None: it has no floating IP."""
    address: str = ""
    """The floating IP that the template asks for."""
    notes: list[str] = field(default_factory=list)


def choose_networks(
    view: View, spec: Spec, infrastructure: str | None, settings: OpenStackSettings, place: str
) -> Choice:
    """Choose for one machine.

    Raises:
        NotFound: a named network is not there, or none fits and none may be made. Unsupported: a fixed address that no
            subnet of its network has; several floating IPs for one machine.
    """
    return _Chooser(view, infrastructure, settings, place).choose(spec)


@dataclass(slots=True)
class _Chooser:
    """Fills one choice."""

    view: View
    infrastructure: str | None
    settings: OpenStackSettings
    place: str
    choice: Choice = field(default_factory=Choice)

    def choose(self, spec: Spec) -> Choice:
        choice = self.choice
        floating: list[SpecInterface] = []
        for card in spec.interfaces or (SpecInterface("private"),):
            if not card.public:
                choice.cards.append(self._private(card))
            elif direct := self._direct(card):
                if not card.provider_name:
                    choice.notes.append(f"{card.network}: network {direct.name}, whose addresses are public")
                choice.cards.append(Card(direct, fixed_address=card.fixed_address or ""))
            else:
                floating.append(card)
        if len(floating) > 1:
            raise Unsupported(
                f"a machine at {self.place} has one floating IP, not {len(floating)}",
                "leave one of its public networks out",
            )
        if floating:
            if not choice.cards:
                choice.cards.append(self._private(SpecInterface("private")))
            choice.pool = self._pool(floating[0])
            choice.address = floating[0].fixed_address or ""
        self._check()
        return choice

    def _private(self, card: SpecInterface) -> Card:
        address = card.fixed_address or ""
        own = [net for net in self.view.nets if self.infrastructure and net.infrastructure == self.infrastructure]
        made = next((net for net in own if net.made_for == card.network), None)
        if made is not None:
            is_whole = made.cidrs and (made.outside or not any(net.is_external for net in self.view.nets))
            return Card(made, fixed_address=address) if is_whole else self._new(card, *made.cidrs)
        inner = [net for net in self.view.nets if not net.is_external]
        if card.provider_name:
            found = [net for net in self.view.named(card.provider_name) if not net.infrastructure or net in own]
            if found:
                return Card(found[0], fixed_address=address)
            if not card.cidr:
                raise _absent(card.provider_name, inner, self.place)
        if card.cidr:
            self.choice.notes.append(f"{card.network}: a network of its own is made, {card.cidr}")
            return self._new(card)
        if self.settings.network:
            found = [net for net in self.view.named(self.settings.network) if not net.is_external]
            if not found:
                raise _absent(self.settings.network, inner, self.place)
            return Card(found[0], fixed_address=address)
        return self._guessed(card)

    def _guessed(self, card: SpecInterface) -> Card:
        """Take the network that people would take; never one that was made for an infrastructure."""
        taken = {one.net.id for one in self.choice.cards if one.net}
        fits = [
            net
            for net in self.view.nets
            if not (net.is_external or net.infrastructure or net.id in taken) and any("." in cidr for cidr in net.cidrs)
        ]
        fits.sort(key=lambda net: (not net.outside, not net.is_own, net.is_public, net.name, net.id))
        if fits:
            best = fits[0]
            kind = "of the project" if best.is_own else "shared by another project"
            why = f"{kind}{', joined to the outside' if best.outside else ', without a router to the outside'}"
            others = ", ".join(net.name for net in fits[1:5])
            more = f" (others: {others})" if others else ""
            self.choice.notes.append(f"{card.network}: network {best.name}, {why}{more}")
            return Card(best, fixed_address=card.fixed_address or "")
        if not self.settings.make_network:
            raise NotFound(
                f"there is no private network at {self.place}", "name one, or let one be made: make_network = true"
            )
        new = self._new(card)
        self.choice.notes.append(
            f"{card.network}: there is no private network, so one is made, {new.new_cidr}, with a router"
        )
        return new

    def _new(self, card: SpecInterface, *cidrs: str) -> Card:
        """Have a network made, or finished with the subnet that it has already."""
        number = sum(1 for one in self.choice.cards if one.net is None)
        cidr = next(iter(cidrs), card.cidr) or _further(self.settings.network_cidr, number)
        return Card(None, card.network, cidr, card.fixed_address or "")

    def _direct(self, card: SpecInterface) -> Net | None:
        """Return the network that a public card is put on, None where it gets a floating IP."""
        if card.provider_name:
            found = self.view.named(card.provider_name)
            if not found:
                raise _absent(card.provider_name, self.view.nets, self.place)
            return None if found[0].is_external else found[0]
        if any(net.is_external for net in self.view.nets):
            return None
        public = [net for net in self.view.nets if net.is_public]
        if not public:
            raise NotFound(
                f"no network at {self.place} gives public addresses", "leave the public network out, or ask the site"
            )
        return min(public, key=lambda net: (net.is_own, net.name, net.id))

    def _pool(self, card: SpecInterface) -> Net:
        if card.provider_name:
            return self.view.named(card.provider_name)[0]
        pools = [net for net in self.view.nets if net.is_external]
        if self.settings.pool:
            found = [net for net in self.view.named(self.settings.pool) if net.is_external]
            if not found:
                raise _absent(self.settings.pool, pools, self.place)
            return found[0]
        behind = {one.net.outside for one in self.choice.cards if one.net}
        pools.sort(key=lambda net: (net.id not in behind, not net.is_default, net.name, net.id))
        best, others = pools[0], ", ".join(net.name for net in pools[1:5])
        why = "behind the router" if best.id in behind else "the default" if best.is_default else "the first by name"
        more = f", {why} (others: {others})" if others else ""
        self.choice.notes.append(f"{card.network}: floating IP of {best.name}{more}")
        return best

    def _check(self) -> None:
        cards, pool = self.choice.cards, self.choice.pool
        for card in cards:
            cidrs = card.net.cidrs if card.net else (card.new_cidr,)
            if card.fixed_address and not any(_holds(cidr, card.fixed_address) for cidr in cidrs):
                raise Unsupported(
                    f"no subnet of {card.net.name if card.net else card.new_name} at {self.place} "
                    f"has {card.fixed_address}",
                    f"its subnets: {', '.join(cidrs) or 'none'}",
                )
        inner = [card.net for card in cards if card.net is not None]
        if pool is not None and len(inner) == len(cards) and not any(net.outside or not net.is_own for net in inner):
            raise Unsupported(
                f"the network {inner[0].name} at {self.place} has no router to {pool.name}: no floating IP reaches it",
                "name a network that has one, or leave the public network out",
            )
        bare = ", ".join(net.name for net in inner if not net.is_guarded)
        if bare:
            self.choice.notes.append(f"network {bare} has no firewall: every port of the machine is open to it")


def _further(cidr: str, number: int) -> str:
    net = ipaddress.ip_network(cidr)
    return str(type(net)((int(net.network_address) + number * net.num_addresses, net.prefixlen)))


def _holds(cidr: str, address: str) -> bool:
    return ipaddress.ip_address(address) in ipaddress.ip_network(cidr, strict=False)


def _absent(name: str, nets: Sequence[Net], place: str) -> NotFound:
    known = sorted({net.name for net in nets if not net.infrastructure})
    return NotFound(f"there is no network {name!r} at {place}", f"there are: {', '.join(known[:12]) or 'none'}")
