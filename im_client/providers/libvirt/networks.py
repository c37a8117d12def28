"""Cards and addresses: networks found or made, and addresses reserved where a network has DHCP."""

import hashlib
import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final
from xml.etree import ElementTree as ET

from im_client.plan.model import Spec, SpecInterface
from im_client.providers.libvirt.marks import Card, checked, parsed
from im_client.providers.libvirt.settings import LibvirtSettings
from im_client.providers.libvirt.virsh import Virsh, xml_file
from infracore.errors import Conflict, Misconfigured, NoCapacity, NotFound, Unsupported

__all__ = ["LEASE", "USER", "Network", "Networks", "free_addresses", "free_port", "mac_of", "read_network"]

LEASE: Final = "imc-"
"""How the names of our reservations begin: `imc-TOKEN-CARD`."""
_URI: Final = "urn:im-clues:network:1"
USER: Final = "user"
"""The network of machines without one: QEMU's own, with ssh forwarded from the host's loopback."""
_TRIES: Final = 20
_PORTS: Final = range(23100, 24100)
ET.register_namespace("imcn", _URI)


@dataclass(frozen=True, slots=True)
class Network:
    """A libvirt network as the host describes it."""

    name: str
    subnets: tuple[ipaddress.IPv4Network, ...] = ()
    ranges: tuple[tuple[ipaddress.IPv4Address, ipaddress.IPv4Address], ...] = ()
    """Of DHCP, in the subnet of `index`."""
    index: int = 0
    """Which `ip` element has DHCP."""
    home: ipaddress.IPv4Network | None = None
    """The subnet that has DHCP."""
    hosts: tuple[tuple[str, str, str], ...] = ()
    """Reservations: MAC, name, address."""
    infrastructure: str = ""
    """Whose it is, where we made it."""


def read_network(xml: str) -> Network:
    """Read `net-dumpxml`."""
    root = parsed(xml, "a network")
    mark = root.find(f"metadata/{{{_URI}}}network")
    network = Network(
        root.findtext("name", ""), infrastructure=mark.get("infrastructure", "") if mark is not None else ""
    )
    for index, ip in enumerate(root.iterfind("ip")):
        if ip.get("family", "ipv4") != "ipv4" or not ip.get("address"):
            continue
        mask = ip.get("netmask") or ip.get("prefix") or "24"
        subnet = ipaddress.IPv4Network(f"{ip.get('address')}/{mask}", strict=False)
        network = replace(network, subnets=(*network.subnets, subnet))
        dhcp = ip.find("dhcp")
        if dhcp is None or network.ranges:
            continue
        ranges = tuple(
            (ipaddress.IPv4Address(one.get("start", "")), ipaddress.IPv4Address(one.get("end", "")))
            for one in dhcp.iterfind("range")
        )
        hosts = tuple((h.get("mac", ""), h.get("name", ""), h.get("ip", "")) for h in dhcp.iterfind("host"))
        network = replace(network, ranges=ranges, hosts=hosts, index=index, home=subnet)
    return network


def mac_of(token: str, index: int) -> str:
    """Return the address of a card: the same each time it is asked for."""
    digest = hashlib.sha256(f"{token}{index}".encode()).digest()
    return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])


def free_addresses(network: Network, leased: Iterable[str]) -> list[str]:
    """Return addresses that nobody has, in order; a few hundred at most."""
    used = {address for _, _, address in network.hosts} | set(leased)
    found: list[str] = []
    for first, last in network.ranges:
        for number in range(int(first), min(int(last), int(first) + 65535) + 1):
            address = str(ipaddress.IPv4Address(number))
            if address not in used:
                found.append(address)
            if len(found) >= 256:
                return found
    return found


def free_port(used: set[int]) -> int:
    """Return a port of loopback that no machine of ours has and nobody here listens on.

    Raises:
        NoCapacity: there is none.
    """
    for port in _PORTS:
        with socket.socket() as probe, suppress(OSError):
            if port not in used:
                probe.bind(("127.0.0.1", port))
                return port
    raise NoCapacity(f"no loopback port of {_PORTS.start} to {_PORTS.stop - 1} is free")


class Networks:
    """The networks of one host."""

    def __init__(self, virsh: Virsh, settings: LibvirtSettings) -> None:
        self._virsh = virsh
        self._settings = settings

    def names(self) -> list[str]:
        """List the networks, inactive ones too."""
        return self._virsh("net-list", "--all", "--name").split("\n")

    def look(self, name: str) -> Network:
        """Read one.

        Raises:
            NotFound: there is none of this name.
        """
        try:
            return read_network(self._virsh("net-dumpxml", f"--network={name}"))
        except NotFound as error:
            known = ", ".join(one for one in self.names() if one)
            raise NotFound(f"the host has no network {name!r}", f"there are: {known or 'none'}") from error

    def all(self) -> list[Network]:
        """Read all."""
        return [self.look(name) for name in self.names() if name]

    def cards(self, spec: Spec, token: str, infrastructure: str) -> tuple[Card, ...]:
        """Choose a network for each interface; nothing is asked for, nothing made.

        Raises:
            Unsupported: a bridge that the settings do not name.
        """
        interfaces = spec.interfaces or (SpecInterface(""),)
        return tuple(self._card(one, token, index, infrastructure) for index, one in enumerate(interfaces))

    def _card(self, interface: SpecInterface, token: str, index: int, infrastructure: str) -> Card:
        wanted = interface.provider_name or ""
        is_made = not wanted and not interface.public and self._settings.make_networks and interface.network
        name = made_name(infrastructure, interface.network) if is_made else wanted or self._settings.network
        mac = mac_of(token, index)
        if name == USER:
            if self._settings.network != USER or index:
                raise Unsupported("a machine has one card at most on QEMU's own network", "set `network` to another")
            return Card(mac, "user", "", is_public=interface.public)
        kind, mark, bridge = name.partition(":")
        if mark and kind == "bridge":
            if name != self._settings.network and bridge not in self._settings.bridges:
                raise Unsupported(
                    f"machines may not be put on the bridge {bridge!r}", "name it in `bridges` of the provider libvirt"
                )
            return Card(mac, "bridge", bridge, is_public=interface.public)
        return Card(mac, "network", checked(name), is_public=interface.public)

    def ready(self, spec: Spec, cards: Iterable[Card], infrastructure: str) -> None:
        """Make what is to be made, and see to it that each network runs.

        Raises:
            NotFound, Misconfigured: a network is not there, or does not run.
        """
        interfaces = spec.interfaces or (SpecInterface(""),)
        for card, interface in zip(cards, interfaces, strict=True):
            if card.kind != "network":
                continue
            if card.source == made_name(infrastructure, interface.network) and card.source not in self.names():
                self._make(card.source, interface, infrastructure)
            self._demand_running(card.source, is_ours=card.source.startswith("imc-"))

    def _demand_running(self, name: str, *, is_ours: bool) -> None:
        self.look(name)
        if name in self._virsh("net-list", "--name").split("\n"):
            return
        if not is_ours:
            raise Misconfigured(f"the network {name} of the host does not run", f"virsh net-start {name}")
        self._start(name)

    def _start(self, name: str) -> None:
        try:
            self._virsh("net-start", f"--network={name}")
        except Conflict:
            if name not in self._virsh("net-list", "--name").split("\n"):
                raise

    def _make(self, name: str, interface: SpecInterface, infrastructure: str) -> None:
        taken = [subnet for network in self.all() for subnet in network.subnets]
        if interface.cidr:
            candidates = [ipaddress.IPv4Network(interface.cidr, strict=False)]
        else:
            candidates = list(ipaddress.IPv4Network(self._settings.make_from).subnets(new_prefix=24))
        free = [one for one in candidates if not any(one.overlaps(other) for other in taken)]
        failure: Conflict | None = None
        for subnet in free[:_TRIES]:
            xml = made_xml(name, subnet, infrastructure, interface.network, self._settings.make_networks)
            with xml_file(xml) as file:
                self._virsh("net-define", f"--file={file}")
            try:
                self._start(name)
            except Conflict as error:  # the host itself has these addresses
                failure = error
                self._virsh("net-undefine", f"--network={name}")
                continue
            self._virsh("net-autostart", f"--network={name}")
            return
        raise NoCapacity(
            f"no addresses are free for the network {interface.network}",
            "name a free `cidr` in the template, or set `make_from`",
        ) from failure

    def reserve(self, card: Card, token: str, index: int, wanted: str | None) -> Card:
        """Reserve an address for a card, or find the one that it has. May be repeated.

        Raises:
            NoCapacity: none is free. Conflict: the one that is wanted is not. Unsupported: there is no DHCP.
        """
        if card.kind != "network":
            if wanted:
                raise Unsupported(f"the bridge {card.source} gives no fixed addresses", "leave fixed_ip out")
            return card
        network = self.look(card.source)
        mine = next((host for host in network.hosts if host[0].lower() == card.mac), None)
        if mine is not None:
            return replace(card, address=mine[2], lease=mine[1])
        if network.home is None:
            if wanted:
                raise Unsupported(f"the network {card.source} has no DHCP: no fixed addresses", "leave fixed_ip out")
            return card
        if wanted and ipaddress.ip_address(wanted) not in network.home:
            raise Unsupported(f"{wanted} is not in {network.home} of the network {card.source}")
        lease = f"{LEASE}{token}-{index}"
        for address in [wanted] if wanted else free_addresses(network, self._leased(card.source)):
            host = ET.Element("host", mac=card.mac, name=lease, ip=address)
            try:
                self._update(network, "add-last", host)
            except Conflict:
                if wanted:
                    raise
                continue
            return replace(card, address=address, lease=lease)
        raise NoCapacity(f"no address of the network {card.source} is free", "widen its DHCP range: virsh net-edit")

    def give_back(self, network: str, mac: str) -> None:
        """Give back a reservation. Absent: succeeds, as does a network that is gone."""
        try:
            self._update(self.look(network), "delete", ET.Element("host", mac=mac))
        except NotFound:
            return

    def _update(self, network: Network, command: str, host: ET.Element) -> None:
        live = ("--live",) if network.name in self._virsh("net-list", "--name").split("\n") else ()
        words = (f"--network={network.name}", f"--command={command}", "--section=ip-dhcp-host")
        xml = ET.tostring(host, encoding="unicode")
        self._virsh("net-update", *words, f"--xml={xml}", f"--parent-index={network.index}", "--config", *live)

    def _leased(self, name: str) -> set[str]:
        found = set()
        for line in self._virsh("net-dhcp-leases", f"--network={name}").splitlines():
            found |= {word.partition("/")[0] for word in line.split() if "/" in word}
        return found

    def remove(self, name: str) -> None:
        """Remove a network that we made. Absent: succeeds."""
        for command in ("net-destroy", "net-undefine"):
            try:
                self._virsh(command, f"--network={name}")
            except (NotFound, Conflict):
                continue


def made_name(infrastructure: str, network: str) -> str:
    """Return the name of a network that is made for an infrastructure."""
    return f"imc-{hashlib.sha256(f'{infrastructure}/{network}'.encode()).hexdigest()[:16]}"


def made_xml(name: str, subnet: ipaddress.IPv4Network, infrastructure: str, network: str, mode: str) -> str:
    """Describe a network with our mark."""
    root = ET.Element("network")
    ET.SubElement(root, "name").text = name
    mark = ET.SubElement(ET.SubElement(root, "metadata"), f"{{{_URI}}}network")
    mark.set("infrastructure", checked(infrastructure))
    mark.set("name", checked(network))
    if mode == "nat":
        ET.SubElement(root, "forward", mode="nat")
    ET.SubElement(root, "bridge", stp="off", delay="0")
    ip = ET.SubElement(root, "ip", address=str(subnet[1]), netmask=str(subnet.netmask))
    ET.SubElement(ET.SubElement(ip, "dhcp"), "range", start=str(subnet[2]), end=str(subnet[-2]))
    return ET.tostring(root, encoding="unicode")
