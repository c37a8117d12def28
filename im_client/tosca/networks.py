"""Endpoints, ports and networks: which cards a machine has and what is opened to it."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from im_client.template.findings import Findings, Place
from im_client.template.problems import Code
from im_client.topology.model import Network, NetworkInterface, PortRule, Protocol
from im_client.topology.values import Value
from im_client.tosca.functions import Evaluator
from im_client.tosca.model import Node
from im_client.tosca.source import value_place
from im_client.tosca.values import is_runtime, shown

__all__ = ["NETWORK", "PORT", "Networks"]

PORT: Final = "tosca.nodes.network.Port"
NETWORK: Final = "tosca.nodes.network.Network"
ENDPOINT: Final = "tosca.capabilities.Endpoint"
_PROTOCOLS: Final = {p.value: p for p in Protocol}


@dataclass(slots=True)
class Networks:
    """Lowers networks of one template; `networks` fills while machines are lowered."""

    nodes: Mapping[str, Node]
    evaluator: Evaluator
    findings: Findings
    networks: dict[str, Network] = field(default_factory=dict)

    def define(self) -> None:
        """Take over the Network node templates."""
        for node in self.nodes.values():
            if NETWORK in node.type.lineage:
                self.networks[node.name] = self._network(node)

    def _network(self, node: Node) -> Network:
        def text(name: str) -> str | None:
            value = self.evaluator.property_of(node, name) if name in node.type.properties else None
            return value if isinstance(value, str) and value else None

        name, kind, cidr = text("network_name"), text("network_type"), text("cidr")
        public = "PUBLIC" in {(name or "").upper(), (kind or "").upper()}
        if name is not None and name.upper().endswith((".PUBLIC", ".PRIVATE")):
            name, _, word = name.rpartition(".")
            public = word.upper() == "PUBLIC"
        if cidr is not None and not _is_cidr(cidr):
            self.findings.add(
                Code.BAD_NETWORK,
                value_place(node.properties, "cidr"),
                f'"{node.name}" has the cidr "{cidr}", which is none',
                "write for example 10.0.1.0/24",
            )
            cidr = None
        known = name if name is not None and name.upper() not in {"PUBLIC", "PRIVATE"} else None
        return Network(
            node.name, public, cidr, known or text("network_id"), create=cidr is not None, gateway=text("gateway_ip")
        )

    def interfaces(self, machine: Node, hosted: tuple[Node, ...]) -> tuple[NetworkInterface, ...]:
        """Return the cards of a machine: of its Ports in their order, else as its endpoints ask for."""
        ports = self._ports(machine)
        if ports:
            return tuple(ports)
        private_name: str | None = None
        public_name: str | None = None
        public, private = False, True
        for node in (machine, *hosted):
            for capability in _endpoints(node):
                said = self.evaluator.capability_property(node, capability, "network_name")
                given = node.capabilities.get(capability)
                if (
                    not isinstance(said, str)
                    or not said
                    or (node is not machine and not (given and "network_name" in given))
                ):
                    continue
                wants_public, pool, net = _network_name(said)
                public = public or wants_public
                public_name, private_name = pool or public_name, net or private_name
                if node is machine and wants_public and "private_ip" in node.type.capabilities[capability].properties:
                    private = self.evaluator.capability_property(node, capability, "private_ip") is not False
        names, more = self._dns_names(machine)
        found: list[NetworkInterface] = []
        if private or not public:
            found.append(NetworkInterface(self._plain(private_name, public=False)))
        if public:
            found.append(NetworkInterface(self._plain(public_name, public=True)))
        first, last = found[0], found[-1]
        if first is last:
            return (NetworkInterface(first.network, dns_names=(*names, *more)),)
        return (
            NetworkInterface(first.network, dns_names=names),
            *found[1:-1],
            NetworkInterface(last.network, dns_names=more),
        )

    def _plain(self, provider_name: str | None, *, public: bool) -> str:
        kind = "public" if public else "private"
        name = kind if provider_name is None else f"{kind}-{provider_name}"
        self.networks.setdefault(name, Network(name, public, None, provider_name))
        return name

    def _dns_names(self, machine: Node) -> tuple[tuple[str, ...], tuple[str, ...]]:
        names: list[str] = []
        more: list[str] = []
        for capability in _endpoints(machine):
            known = machine.type.capabilities[capability].properties
            if "dns_name" in known:
                names += _texts(self.evaluator.capability_property(machine, capability, "dns_name"))
            if "additional_dns_names" in known:
                more += _texts(self.evaluator.capability_property(machine, capability, "additional_dns_names"))
        return tuple(dict.fromkeys(names)), tuple(dict.fromkeys(more))

    def _ports(self, machine: Node) -> list[NetworkInterface]:
        found: list[tuple[int, NetworkInterface]] = []
        for node in self.nodes.values():
            if PORT not in node.type.lineage:
                continue
            targets = {r.name: r.target for r in node.requirements}
            if targets.get("binding") is not machine:
                continue
            network = targets.get("link")
            name = network.name if network is not None and network.name in self.networks else None
            if name is None:
                name = self._plain(None, public=False)
            order = self.evaluator.property_of(node, "order")
            address = self.evaluator.property_of(node, "ip_address")
            if isinstance(address, str) and address and not _is_address(address):
                self.findings.add(
                    Code.BAD_NETWORK,
                    value_place(node.properties, "ip_address"),
                    f'"{node.name}" has the address "{address}", which is none',
                )
                address = None
            dns: list[str] = []
            for key in ("dns_name", "additional_dns_names"):
                if key in node.type.properties:
                    dns += _texts(self.evaluator.property_of(node, key))
            card = NetworkInterface(name, address if isinstance(address, str) and address else None, tuple(dns))
            found.append((order if isinstance(order, int) else 0, card))
        return [card for _, card in sorted(found, key=lambda pair: pair[0])]

    def rules(self, machine: Node, hosted: tuple[Node, ...]) -> tuple[PortRule, ...]:
        """Return what the endpoints of a machine and of the software on it open."""
        rules: dict[PortRule, None] = {}
        for node in (machine, *hosted):
            for capability in _endpoints(node):
                given = node.capabilities.get(capability)
                at = given.at if given is not None else node.place
                known = node.type.capabilities[capability].properties
                ports = self.evaluator.capability_property(node, capability, "ports") if "ports" in known else None
                if isinstance(ports, Mapping):
                    specs = list(ports.values())
                elif isinstance(ports, tuple):
                    specs = list(ports)
                else:
                    specs = []
                for spec in specs:
                    if isinstance(spec, Mapping):
                        rules |= dict.fromkeys(self._rule(spec, value_place(given, "ports") if given else at))
                port = self.evaluator.capability_property(node, capability, "port") if "port" in known else None
                if isinstance(port, int):
                    protocol = self.evaluator.capability_property(node, capability, "protocol")
                    rules[PortRule(port, port, _protocol(protocol) or Protocol.TCP)] = None
        return tuple(rules)

    def _rule(self, spec: Mapping[str, Value], at: Place) -> tuple[PortRule, ...]:
        said = spec.get("protocol") or "tcp"
        protocol = _protocol(said)
        if protocol is None:
            self.findings.warn(
                Code.BAD_PORT, at, f"the protocol {shown(said)} of a port cannot be opened here", "write tcp or udp"
            )
            return ()
        cidr = spec.get("remote_cidr") or "0.0.0.0/0"
        if not isinstance(cidr, str) or is_runtime(cidr) or not _is_cidr(cidr):
            self.findings.add(
                Code.BAD_PORT,
                at,
                f"a port is opened to {shown(cidr)}, which is no network",
                "write for example 10.0.0.0/8",
            )
            return ()
        source, target = spec.get("source"), spec.get("target")
        wide = spec.get("source_range") or spec.get("target_range")
        if isinstance(source, int):
            first = last = source
        elif isinstance(wide, tuple) and len(wide) == 2:
            low, high = wide
            first = low if isinstance(low, int) else 1
            last = high if isinstance(high, int) else 65535
        elif isinstance(target, int):
            first = last = target
        else:
            return ()
        if not 1 <= first <= last <= 65535:
            self.findings.add(
                Code.BAD_PORT, at, f"there are no ports {first} to {last}", "ports are numbers from 1 to 65535"
            )
            return ()
        other = target if isinstance(target, int) and isinstance(source, int) and target != source else None
        return (PortRule(first, last, protocol, cidr, other),)


def _endpoints(node: Node) -> list[str]:
    return [n for n, c in node.type.capabilities.items() if ENDPOINT in c.lineage]


def _network_name(said: str) -> tuple[bool, str | None, str | None]:
    """Read PUBLIC, PRIVATE, `net`, `net.PUBLIC`, `net.PRIVATE`, `net,pool`: public?, public name, private name."""
    private, comma, pool = said.partition(",")
    if comma:
        return True, pool.strip() or None, private.strip() or None
    name, dot, word = said.rpartition(".")
    kind = word.upper()
    if kind == "PUBLIC":
        return True, name if dot else None, None
    if kind == "PRIVATE":
        return False, None, name if dot else None
    return False, None, said


def _texts(value: Value) -> list[str]:
    if isinstance(value, str):
        return [value] if value.strip() else []
    return [v for v in value if isinstance(v, str) and v.strip()] if isinstance(value, tuple) else []


def _protocol(said: Value) -> Protocol | None:
    word = said.lower() if isinstance(said, str) else ""
    if word in {"http", "https", "ssh"}:
        return Protocol.TCP
    return _PROTOCOLS.get(word)


def _is_cidr(text: str) -> bool:
    try:
        ipaddress.ip_network(text.replace("*", "0"), strict=False)
    except ValueError:
        return False
    return True


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
