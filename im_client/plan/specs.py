"""From a group of the topology to what one of its machines shall be, and from there to text."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Final

from im_client.plan.model import Spec, SpecInterface, SpecVolume
from im_client.topology.model import Group, PortRule, Protocol, Topology
from im_client.topology.naming import substitute_index
from infracore.units import format_bytes

__all__ = ["SPEC_FIELDS", "asked_fields", "describe_field", "describe_spec", "is_shared", "spec_of", "title"]

SPEC_FIELDS: Final = tuple(f.name for f in fields(Spec))

_NOTHING_ASKED: Final = Spec()
_EVERYWHERE: Final = frozenset({"0.0.0.0/0", ""})
_TITLES: Final[Mapping[str, str]] = {
    "num_cpus": "CPUs",
    "mem_bytes": "memory",
    "disk_bytes": "root disk",
    "num_gpus": "GPUs",
    "os_type": "OS type",
    "os_distribution": "distribution",
    "os_version": "OS version",
}


def spec_of(group: Group, topology: Topology, index: int) -> Spec:
    """Return what the group's machine with this index shall be."""
    hardware, image = group.hardware, group.image
    interfaces: list[SpecInterface] = []
    for card in group.interfaces:
        network = topology.networks.get(card.network)
        interfaces.append(
            SpecInterface(
                network=card.network,
                public=network.public if network else False,
                cidr=network.cidr if network else None,
                provider_name=network.provider_name if network else None,
                fixed_address=card.fixed_address,
                dns_names=tuple(substitute_index(name, index) for name in card.dns_names),
            )
        )
    return Spec(
        num_cpus=hardware.num_cpus,
        mem_bytes=hardware.mem_bytes,
        disk_bytes=hardware.disk_bytes,
        instance_type=hardware.instance_type,
        num_gpus=hardware.num_gpus,
        gpu_vendor=hardware.gpu_vendor,
        gpu_model=hardware.gpu_model,
        disk_type=hardware.disk_type,
        preemptible=hardware.preemptible,
        image=image.url,
        os_type=image.type,
        os_distribution=image.distribution,
        os_version=image.version,
        architecture=image.architecture,
        user=image.user,
        interfaces=tuple(interfaces),
        ports=tuple(sorted({_port(rule) for rule in group.ports})),
        volumes=tuple(
            SpecVolume(
                name=disk.name,
                size_bytes=disk.size_bytes,
                mount_path=disk.mount_path,
                device=disk.device,
                fs_type=disk.fs_type,
                volume_id=disk.volume_id,
                type=disk.type,
            )
            for disk in group.volumes
            if disk.size_bytes > 0 or disk.volume_id
        ),
        tags=dict(group.tags),
        board=dict(group.board),
        cloud_id=group.placement.cloud_id,
        availability_zone=group.placement.availability_zone,
    )


def is_shared(group: Group) -> bool:
    """Say whether all machines of the group have one and the same spec."""
    return not any("#N#" in name for card in group.interfaces for name in card.dns_names)


def asked_fields(spec: Spec) -> tuple[str, ...]:
    """Return the names of the fields about which the template cares."""
    return tuple(name for name in SPEC_FIELDS if getattr(spec, name) != getattr(_NOTHING_ASKED, name))


def describe_field(name: str, value: object) -> str:
    """Write the value of a spec's field for people; "any" where it does not matter."""
    match name, value:
        case _, None:
            return "any"
        case (("mem_bytes" | "disk_bytes"), int()):
            return format_bytes(value)
        case _, bool():
            return "yes" if value else "no"
        case "interfaces", tuple():
            return ", ".join(_card(card) for card in value) or "none"
        case "volumes", tuple():
            return ", ".join(_disk(disk) for disk in value) or "none"
        case _, tuple():
            return ", ".join(str(item) for item in value) or "none"
        case _, Mapping():
            return ", ".join(f"{key}={item}" for key, item in sorted(value.items())) or "none"
    return str(value)


def describe_spec(spec: Spec) -> str:
    """Write a machine in one line, leaving out what does not matter: `CPUs 2, memory 4 GiB, image ...`."""
    words = [f"{title(name)} {describe_field(name, getattr(spec, name))}" for name in asked_fields(spec)]
    return ", ".join(words) or "any machine"


def title(name: str) -> str:
    """Name a spec's field as people do."""
    return _TITLES.get(name, name.replace("_", " "))


def _port(rule: PortRule) -> str:
    if rule.protocol is Protocol.ICMP:
        text = "icmp"
    elif rule.first == rule.last:
        text = f"{rule.protocol}/{rule.first}"
    else:
        text = f"{rule.protocol}/{rule.first}-{rule.last}"
    if rule.target is not None and rule.target != rule.first:
        text += f">{rule.target}"
    return text if rule.remote_cidr in _EVERYWHERE else f"{text}@{rule.remote_cidr}"


def _card(card: SpecInterface) -> str:
    notes = [card.fixed_address or "", card.cidr or "", card.provider_name or "", "public" if card.public else ""]
    shown = " ".join(note for note in notes if note)
    return f"{card.network} ({shown})" if shown else card.network


def _disk(disk: SpecVolume) -> str:
    size = disk.volume_id or format_bytes(disk.size_bytes)
    return f"{disk.name} {size}" + (f" at {disk.mount_path}" if disk.mount_path else "")
