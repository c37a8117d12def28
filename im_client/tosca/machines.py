"""From Compute node templates to groups of machines: hardware, image, disks and how many there are."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from im_client.template.findings import Findings, Place
from im_client.template.problems import Code
from im_client.topology.golden import split_image
from im_client.topology.model import Group, GroupKind, Hardware, Image, Placement, SourceRef, Volume
from im_client.topology.values import Value
from im_client.tosca.functions import Evaluator
from im_client.tosca.model import ATTACHES_TO, Node, Relationship
from im_client.tosca.networks import Networks
from im_client.tosca.policies import Limits
from im_client.tosca.source import Map, key_place, value_place
from im_client.tosca.values import Mismatch, amount, is_runtime, shown
from infracore.secrets import Secret

__all__ = ["Machines", "group_kind"]

CONTAINER: Final = "tosca.capabilities.Container"
SCALABLE: Final = "tosca.capabilities.Scalable"
SYSTEM: Final = "tosca.capabilities.OperatingSystem"
BOARD: Final = "tosca.nodes.indigo.RaspberryPi"
BLOCK_STORAGE: Final = "tosca.nodes.BlockStorage"
_BOARD: Final = ("model", "serial", "mac", "storage", "power")
_KINDS: Final = {
    "tosca.nodes.aisprint.FaaS.Function": GroupKind.FUNCTION,
    "tosca.nodes.Container.Application": GroupKind.CONTAINER,
}


def group_kind(node: Node) -> GroupKind | None:
    """Return what is made of a node template by itself, None where it only describes or runs on another."""
    if node.is_machine:
        return GroupKind.MACHINE
    if node.machine is None:
        return next((kind for name, kind in _KINDS.items() if name in node.type.lineage), None)
    return None


@dataclass(slots=True)
class Machines:
    """Lowers the machines of one template."""

    nodes: Mapping[str, Node]
    evaluator: Evaluator
    networks: Networks
    limits: Mapping[str, Limits]
    counts: Mapping[str, int]
    findings: Findings

    def lower(self) -> dict[str, Group]:
        """Return the groups by name, in the order of the template."""
        groups: dict[str, Group] = {}
        for node in self.nodes.values():
            kind = group_kind(node)
            if kind is not None:
                groups[node.name] = self._group(node, kind)
        for name in self.counts:
            if name not in groups:
                place = next((n.place for n in self.nodes.values()), None)
                if place is not None:
                    self.findings.add(Code.UNKNOWN_NODE, place, f'there are no machines "{name}" to count')
        return groups

    def _group(self, node: Node, kind: GroupKind) -> Group:
        hosted = tuple(n for n in self.nodes.values() if n is not node and n.machine is node)
        limits = self.limits.get(node.name, Limits())
        count, minimum, maximum, scalable = self._scale(node, hosted, limits)
        machine = kind is GroupKind.MACHINE
        image = self._image(node)
        url, golden = split_image(image.url, self._text(self._property(node, "golden_image")))
        return Group(
            name=node.name,
            count=count,
            minimum=minimum,
            maximum=maximum,
            hardware=self._hardware(node),
            image=replace(image, url=url),
            interfaces=self.networks.interfaces(node, hosted),
            ports=self.networks.rules(node, hosted) if machine else (),
            volumes=self._volumes(node),
            tags=self._tags(node),
            board=self._board(node),
            instance_name=self._text(self._property(node, "instance_name")),
            placement=limits.placement or Placement(),
            golden_image=golden,
            removal_list=self._removal_list(node),
            scalable=scalable,
            needs=tuple(
                dict.fromkeys(
                    r.target.name
                    for r in node.requirements
                    if r.target is not None and r.target is not node and group_kind(r.target) is not None
                )
            ),
            where=SourceRef(node.place.source.file, node.place.line, node.place.column),
            kind=kind,
        )

    def _property(self, node: Node, name: str) -> Value:
        return self.evaluator.property_of(node, name) if name in node.type.properties else None

    def _of(self, node: Node, lineage: str, prefer: str) -> dict[str, Value]:
        """Return the properties of a node's capability of a type; the one of the usual name where there are more."""
        names = [n for n, c in node.type.capabilities.items() if lineage in c.lineage]
        name = prefer if prefer in names else next(iter(names), None)
        if name is None:
            return {}
        known = node.type.capabilities[name].properties
        return {p: self.evaluator.capability_property(node, name, p) for p in known}

    def _place(self, node: Node, capability: str, name: str) -> Place:
        given = node.capabilities.get(capability)
        return value_place(given, name) if given is not None and name in given else node.place

    # Numbers

    def _scale(self, node: Node, hosted: tuple[Node, ...], limits: Limits) -> tuple[int, int, int | None, bool]:
        values = self._of(node, SCALABLE, "scalable")
        given = node.capabilities.get("scalable") or Map(node.place)
        own_low = _integer(values.get("min_instances")) if "min_instances" in given else None
        own_high = _integer(values.get("max_instances")) if "max_instances" in given else None
        default = _integer(values.get("default_instances"))
        count = _integer(values.get("count")) if "count" in given else None
        if count is None:
            count = default if default is not None else limits.default
        if count is None:
            count = own_low if own_low is not None else 1
        at = self._place(node, "scalable", "count" if "count" in given else "default_instances")
        low = own_low if own_low is not None else limits.minimum
        high = own_high if own_high is not None else limits.maximum
        if node.name in self.counts:
            count = self.counts[node.name]
        if count < 0:
            self.findings.add(Code.BAD_SCALE, at, f'"{node.name}" shall have {count} machines', "write 0 or more")
            count = 0
        if low is not None and high is not None and low > high:
            said = f'"{node.name}" shall have at least {low} and at most {high} machines'
            self.findings.add(Code.BAD_SCALE, self._place(node, "scalable", "max_instances"), said)
        elif low is not None and count < low:
            said = f'"{node.name}" shall have {count} machines, and at least {low}'
            self.findings.add(Code.BAD_SCALE, at, said, f"write {low} or more")
        elif high is not None and count > high:
            said = f'"{node.name}" shall have {count} machines, and at most {high}'
            self.findings.add(Code.BAD_SCALE, at, said, f"write {high} or less")
        stated = bool(given) or (limits.minimum, limits.maximum, limits.default) != (None, None, None)
        if low is None and high is None:
            low, high = self._of_software(hosted)
            stated = stated or high is not None
        minimum = min(low if low is not None else (0 if stated else count), count)
        if not stated:
            return count, minimum, count, False
        return count, max(minimum, 0), None if high is None else max(high, count), True

    def _of_software(self, hosted: tuple[Node, ...]) -> tuple[int | None, int | None]:
        """Elastic clusters give the limits to the software on the machines: `wn_node`, capability `wn`."""
        low: int | None = None
        high: int | None = None
        for node in hosted:
            for name, capability in node.type.capabilities.items():
                given = node.capabilities.get(name)
                if SCALABLE not in capability.lineage or not given:
                    continue
                if "min_instances" in given:
                    low = _integer(self.evaluator.capability_property(node, name, "min_instances"))
                if "max_instances" in given:
                    high = _integer(self.evaluator.capability_property(node, name, "max_instances"))
        return low, high

    def _removal_list(self, node: Node) -> tuple[str, ...]:
        listed = self._of(node, SCALABLE, "scalable").get("removal_list")
        return tuple(str(v) for v in listed if not is_runtime(v)) if isinstance(listed, tuple) else ()

    # Hardware and image

    def _hardware(self, node: Node) -> Hardware:
        host = self._of(node, CONTAINER, "host")

        def at(name: str) -> Place:
            return self._place(node, "host", name)

        cpus = host.get("num_cpus")
        if isinstance(cpus, float) and math.isfinite(cpus):
            cpus = math.ceil(cpus)
        gpus = _integer(host.get("num_gpus"))
        frequency = self._amount(
            host.get("cpu_frequency"), "scalar-unit.frequency", at("cpu_frequency"), "cpu_frequency"
        )
        disk = self._size(host.get("disk_size"), at("disk_size"), "disk_size")
        memory = self._size(host.get("mem_size"), at("mem_size"), "mem_size")
        for name in ("num_cpus", "mem_size", "disk_size", "num_gpus", "instance_type"):
            self._known_now(host.get(name), at(name), name, node)
        return Hardware(
            num_cpus=_integer(cpus) or None,
            mem_bytes=memory or None,
            disk_bytes=disk or None,
            cpu_frequency_hz=frequency or None,
            instance_type=self._text(host.get("instance_type")),
            num_gpus=gpus or 0,
            gpu_vendor=self._text(host.get("gpu_vendor")),
            gpu_model=self._text(host.get("gpu_model")),
            disk_type=self._text(host.get("disk_type")),
            preemptible=host.get("preemtible_instance") is True,
        )

    def _known_now(self, value: Value, at: Place, name: str, node: Node) -> None:
        if is_runtime(value):
            said = f'"{name}" of "{node.name}" is known only when machines run, and they are made by it'
            self.findings.add(Code.BAD_FUNCTION, at, said, "use an input or a plain value")

    def _image(self, node: Node) -> Image:
        system = self._of(node, SYSTEM, "os")
        credential = system.get("credential")
        user, password, key = _credential(credential if isinstance(credential, Mapping) else {})
        self._known_now(system.get("image"), self._place(node, "os", "image"), "image", node)
        return Image(
            url=self._text(system.get("image")),
            type=self._text(system.get("type")),
            distribution=self._text(system.get("distribution")),
            version=self._text(system.get("version")),
            architecture=self._text(system.get("architecture")),
            user=user,
            password=password,
            private_key=key,
        )

    def _tags(self, node: Node) -> dict[str, str]:
        tags = self._property(node, "tags")
        if not isinstance(tags, Mapping):
            return {}
        return {k: v.reveal() if isinstance(v, Secret) else str(v) for k, v in tags.items() if not is_runtime(v)}

    def _board(self, node: Node) -> dict[str, str]:
        if BOARD not in node.type.lineage:
            return {}
        for name in _BOARD:
            self._known_now(self._property(node, name), value_place(node.properties, name), name, node)
        asked = {name: self._text(self._property(node, name)) for name in _BOARD}
        return {name: text for name, text in asked.items() if text}

    # Disks

    def _volumes(self, node: Node) -> tuple[Volume, ...]:
        volumes: list[Volume] = []
        for requirement in node.requirements:
            target = requirement.target
            link = requirement.relationship
            if target is None or link is None or ATTACHES_TO not in link.type.lineage:
                continue
            if BLOCK_STORAGE not in target.type.lineage:
                continue
            made = self._volume(link, target, {v.name for v in volumes})
            if made is not None:
                volumes.append(made)
        return tuple(volumes)

    def _volume(self, link: Relationship, target: Node, names: set[str]) -> Volume | None:
        size = self._size(self._property(target, "size"), value_place(target.properties, "size"), "size") or 0
        volume_id = self._text(self._property(target, "volume_id"))
        if self._text(self._property(target, "snapshot_id")):
            self.findings.warn(
                Code.IGNORED,
                key_place(target.properties, "snapshot_id"),
                f'"snapshot_id" of "{target.name}" has no effect: disks are made empty',
            )
        if size == 0 and volume_id is None:
            return None
        location = self._text(self.evaluator.relationship_property(link, "location"))
        device = self._text(self.evaluator.relationship_property(link, "device"))
        fs_type = None
        if "fs_type" in link.type.properties:
            fs_type = self._text(self.evaluator.relationship_property(link, "fs_type"))
        if fs_type is None and location == "swap":
            fs_type = "swap"
        name = target.name
        while name in names:
            name += "_"
        kind = self._property(target, "type")
        return Volume(name, size, location, device, fs_type or "ext4", volume_id, self._text(kind))

    # Words

    def _amount(self, value: Value, kind: str, at: Place, name: str) -> float | None:
        if not isinstance(value, str) or not value:
            return None
        try:
            return amount(value, kind)[0]
        except Mismatch as mismatch:
            self.findings.add(Code.BAD_UNIT, at, f'"{name}": {mismatch.message}', mismatch.hint)
            return None

    def _size(self, value: Value, at: Place, name: str) -> int | None:
        found = self._amount(value, "scalar-unit.size", at, name)
        if found is None:
            return None
        if found > 2**62:
            self.findings.add(Code.BAD_UNIT, at, f'"{name}" is too large: {shown(value)}')
            return None
        return round(found)

    @staticmethod
    def _text(value: Value) -> str | None:
        if isinstance(value, Secret):
            return value.reveal() or None
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            return None
        return str(value) or None


def _integer(value: Value) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _credential(said: Mapping[str, Value]) -> tuple[str | None, Secret | None, Secret | None]:
    """Return user, password and private key of a Credential."""

    def secret(value: Value) -> Secret | None:
        if isinstance(value, Secret):
            return value if value else None
        return Secret(value) if isinstance(value, str) and value else None

    user = said.get("user")
    kind = str(said.get("token_type") or "password")
    token = secret(said.get("token"))
    key: Secret | None = None
    keys = said.get("keys")
    if isinstance(keys, Mapping):
        named = [v for k, v in keys.items() if "private" in k.lower()] or list(keys.values())
        key = next((s for v in named if (s := secret(v)) is not None and "PUBLIC" not in s.reveal()[:40]), None)
    if token is not None and ("PRIVATE KEY" in token.reveal() or "private" in kind):
        return (user if isinstance(user, str) and user else None), None, token
    password = token if kind == "password" else None
    return (user if isinstance(user, str) and user else None), password, key
