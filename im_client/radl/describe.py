"""A topology, or one machine of it, as a document: what clients of the Infrastructure Manager ask a server for."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from im_client.radl.model import Deploy, Document, Feature, FeatureValue, Operator, Section
from im_client.radl.ports import ports_text
from im_client.template.findings import Place, Source
from im_client.topology.model import Group, GroupKind, Network, PortRule, Topology, Volume
from infracore.secrets import Secret

__all__ = ["Machine", "machine_document", "topology_document"]

_NOWHERE: Final = Place(Source(""), 1, 1)
_NOT_IN_NAMES: Final = re.compile(r"[^\w.\-]")


@dataclass(frozen=True, slots=True)
class Machine:
    """What is known of a machine. None and "" are left out; addresses are text."""

    group: str
    index: int
    state: str
    name: str = ""
    instance_id: str | None = None
    provider_type: str = ""
    provider_host: str = ""
    private_address: str | None = None
    public_address: str | None = None
    num_cpus: int | None = None
    mem_bytes: int | None = None
    disk_bytes: int | None = None
    user: str = ""
    password: Secret | None = None
    private_key: Secret | None = None
    launched_at_s: int | None = None


def topology_document(topology: Topology) -> Document:
    """Return what a topology asks for. What RADL has no words for is left out: software, outputs, TOSCA's policies.

    The ports of a group stand with its public network, else with its first, and so open for all groups there.
    """
    ports = _ports(topology)
    groups = [group for group in topology.groups.values() if group.kind is GroupKind.MACHINE]
    return Document(
        networks=tuple(_network(network, ports.get(network.name, ())) for network in topology.networks.values()),
        systems=tuple(Section(_name(g.name), tuple(_system(g)), at=_NOWHERE) for g in groups),
        deploys=tuple(Deploy(_name(g.name), g.count, g.placement.cloud_id, at=_NOWHERE) for g in groups if g.count),
    )


def machine_document(topology: Topology, machine: Machine) -> Document:
    """Return one machine as its system with what is known now, and the networks it is connected to."""
    group = topology.groups[machine.group]
    ports = _ports(topology)
    cards = {card.network for card in group.interfaces}
    networks = [network for network in topology.networks.values() if network.name in cards]
    asked = {feature.name: feature for feature in _system(group)}
    known = {feature.name: feature for feature in _known(topology, group, machine)}
    return Document(
        networks=tuple(_network(network, ports.get(network.name, ())) for network in networks),
        systems=(Section(_name(group.name), tuple((asked | known).values()), at=_NOWHERE),),
    )


def _name(text: str) -> str:
    """Return a name that RADL can write."""
    plain = _NOT_IN_NAMES.sub("_", text)
    return plain if plain and not plain[0].isdigit() and plain[0] not in ".-" else f"_{plain}"


def _feature(name: str, value: FeatureValue, operator: Operator = Operator.EQ, unit: str = "") -> Feature:
    return Feature(name, operator, value, unit, at=_NOWHERE, value_at=_NOWHERE)


def _texts(said: Mapping[str, str | Secret | None]) -> Iterator[Feature]:
    for name, value in said.items():
        text = value.reveal() if isinstance(value, Secret) else value
        if text:
            yield _feature(name, text)


def _least(said: Mapping[str, int | None], unit: str = "") -> Iterator[Feature]:
    for name, value in said.items():
        if value:
            yield _feature(name, value, Operator.GE, unit)


def _ports(topology: Topology) -> dict[str, tuple[PortRule, ...]]:
    """Return what each network opens: RADL gives ports to networks, a topology to groups."""
    found: dict[str, dict[PortRule, None]] = {}
    for group in topology.groups.values():
        if group.interfaces:
            open_to = next(
                (c.network for c in group.interfaces if _is_public(topology, c.network)), group.interfaces[0].network
            )
            found.setdefault(open_to, {}).update(dict.fromkeys(group.ports))
    return {network: tuple(rules) for network, rules in found.items()}


def _is_public(topology: Topology, network: str) -> bool:
    return network in topology.networks and topology.networks[network].public


def _network(network: Network, ports: tuple[PortRule, ...]) -> Section:
    features = [
        _feature("outbound", "yes" if network.public else "no"),
        *_texts({"outports": ports_text(ports), "provider_id": network.provider_name, "cidr": network.cidr}),
    ]
    if network.create:
        features.append(_feature("create", "yes"))
    return Section(_name(network.name), tuple(features), at=_NOWHERE)


def _system(group: Group) -> Iterator[Feature]:
    hardware, image = group.hardware, group.image
    yield from _least({"cpu.count": hardware.num_cpus})
    yield from _texts({"cpu.arch": image.architecture})
    yield from _least({"memory.size": hardware.mem_bytes}, "B")
    yield from _least({"gpu.count": hardware.num_gpus})
    yield from _texts(
        {
            "gpu.vendor": hardware.gpu_vendor,
            "gpu.model": hardware.gpu_model,
            "instance_type": hardware.instance_type,
            "instance_name": group.instance_name,
            "instance_tags": ",".join(f"{key}={value}" for key, value in group.tags.items()),
            "availability_zone": group.placement.availability_zone,
            "spot": "yes" if hardware.preemptible else None,
        }
    )
    for number, card in enumerate(group.interfaces):
        prefix = f"net_interface.{number}"
        first, *more = card.dns_names or ("",)
        yield from _texts(
            {
                f"{prefix}.connection": _name(card.network),
                f"{prefix}.ip": card.fixed_address,
                f"{prefix}.dns_name": first,
            }
        )
        if more:
            yield _feature(f"{prefix}.additional_dns_names", tuple(more))
    yield from _texts(
        {
            "disk.0.image.url": image.url or group.golden_image,
            "disk.0.os.name": image.type,
            "disk.0.os.flavour": image.distribution,
            "disk.0.os.version": image.version,
            "disk.0.os.credentials.username": image.user,
            "disk.0.os.credentials.password": image.password,
            "disk.0.os.credentials.private_key": image.private_key,
            "disk.0.type": hardware.disk_type,
        }
    )
    yield from _least({"disk.0.size": hardware.disk_bytes}, "B")
    for number, volume in enumerate(group.volumes, start=1):
        yield from _volume(number, volume)


def _volume(number: int, volume: Volume) -> Iterator[Feature]:
    prefix = f"disk.{number}"
    yield _feature(f"{prefix}.size", volume.size_bytes, unit="B")
    yield from _texts(
        {
            f"{prefix}.device": volume.device,
            f"{prefix}.mount_path": volume.mount_path,
            f"{prefix}.fstype": volume.fs_type,
            f"{prefix}.type": volume.type,
        }
    )


def _known(topology: Topology, group: Group, machine: Machine) -> Iterator[Feature]:
    for name, value, unit in (
        ("cpu.count", machine.num_cpus, ""),
        ("memory.size", machine.mem_bytes, "B"),
        ("disk.0.size", machine.disk_bytes, "B"),
        ("launch_time", machine.launched_at_s, ""),
    ):
        if value:
            yield _feature(name, value, unit=unit)
    for number, card in enumerate(group.interfaces):
        public = _is_public(topology, card.network)
        address = machine.public_address if public else machine.private_address
        names = card.dns_names[:1]
        yield from _texts(
            {
                f"net_interface.{number}.ip": address,
                f"net_interface.{number}.dns_name": names[0].replace("#N#", str(machine.index)) if names else None,
            }
        )
    yield from _texts(
        {
            "instance_name": machine.name,
            "disk.0.os.credentials.username": machine.user,
            "disk.0.os.credentials.password": machine.password,
            "disk.0.os.credentials.private_key": machine.private_key,
            "provider.type": machine.provider_type,
            "provider.host": machine.provider_host,
            "instance_id": machine.instance_id,
            "state": machine.state,
        }
    )
