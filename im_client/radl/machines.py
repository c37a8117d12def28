"""From systems and deploys to groups of machines."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from im_client.radl.model import Deploy, Document, Feature, Section, Unknown
from im_client.radl.ports import read_ports
from im_client.radl.wanted import Wanted, wanted
from im_client.template.findings import Findings
from im_client.template.problems import Code
from im_client.topology.golden import split_image
from im_client.topology.model import (
    Artifact,
    ArtifactKind,
    Group,
    Hardware,
    Image,
    Network,
    NetworkInterface,
    Placement,
    PortRule,
    SourceRef,
    Volume,
)
from infracore.secrets import Secret

__all__ = ["groups", "networks", "requirements"]

_PLAIN: Final = "private"
"""The network of machines that are connected to none."""
_ROLE: Final = "ansible.modules."
_COLLECTION: Final = "ansible.collections."


def networks(document: Document) -> dict[str, Network]:
    """Return the networks by name; that of unconnected machines comes with `groups`."""
    found: dict[str, Network] = {}
    for section in document.networks:
        if section.is_reference:
            continue
        said = wanted(section.features)
        cidr = said.text("cidr")
        found[section.name] = Network(
            section.name,
            public=said.flag("outbound"),
            cidr=cidr,
            provider_name=said.text("provider_id"),
            create=said.flag("create") or cidr is not None,
        )
    return found


def requirements(document: Document) -> tuple[Artifact, ...]:
    """Return the roles and collections that any system names: recipes of all systems may use them."""
    found: dict[Artifact, None] = {}
    for section in document.systems:
        for feature in section.features:
            artifact = _artifact(feature)
            if artifact is not None:
                found[artifact] = None
    return tuple(found)


def _artifact(feature: Feature) -> Artifact | None:
    """Read `NAME`, `NAME,version`, `URL|name` and `git+URL,version|name` behind the prefix."""
    if not isinstance(feature.value, tuple):
        return None
    said = wanted(f for f in feature.value if isinstance(f, Feature))
    name = said.text("name") or ""
    kinds = ((_ROLE, ArtifactKind.ROLE), (_COLLECTION, ArtifactKind.COLLECTION))
    for prefix, kind in kinds:
        if name.startswith(prefix):
            source, bar, alias = name.removeprefix(prefix).partition("|")
            location, _, version = source.partition(",")
            return Artifact(kind, location, version=version or said.text("version"), name=alias if bar else None)
    return None


@dataclass(slots=True)
class _Systems:
    document: Document
    networks: dict[str, Network]
    findings: Findings

    def groups(self) -> Iterator[tuple[str, Group]]:
        ports = {
            section.name: tuple(read_ports(wanted(section.features).text("outports") or "")[0])
            for section in self.document.networks
        }
        deploys: dict[str, list[Deploy]] = {}
        for deploy in self.document.deploys:
            deploys.setdefault(deploy.system, []).append(deploy)
        for section in self.document.systems:
            if not section.is_reference:
                for group in self._of_system(section, deploys.get(section.name, []), ports):
                    yield section.name, group

    def _of_system(
        self, section: Section, deploys: list[Deploy], ports: Mapping[str, tuple[PortRule, ...]]
    ) -> Iterator[Group]:
        """Yield a group for each cloud; the first has the system's name."""
        clouds: dict[str | None, int] = {}
        for deploy in deploys:
            count = 1 if isinstance(deploy.count, Unknown) else deploy.count
            clouds[deploy.cloud] = clouds.get(deploy.cloud, 0) + count
        said = wanted(section.features)
        image = self._image(said)
        url, golden = split_image(image.url)
        interfaces = self._interfaces(said)
        rules = dict.fromkeys(rule for card in interfaces for rule in ports.get(card.network, ()))
        base = Group(
            name=section.name,
            count=0,
            minimum=0,
            maximum=None,
            hardware=_hardware(said),
            image=replace(image, url=url),
            golden_image=golden,
            interfaces=interfaces,
            ports=tuple(rules),
            volumes=tuple(self._volumes(said)),
            tags=_tags(said.text("instance_tags") or ""),
            instance_name=said.text("instance_name"),
            placement=Placement(availability_zone=said.text("availability_zone")),
            scalable=True,
            where=SourceRef(section.at.source.file, section.at.line, section.at.column),
        )
        for number, (cloud, count) in enumerate((clouds or {None: 0}).items()):
            name = section.name if number == 0 else f"{section.name}-{cloud or 'default'}"
            placement = replace(base.placement, cloud_id=cloud)
            yield replace(base, name=name, count=count, placement=placement)

    def _interfaces(self, said: Wanted) -> tuple[NetworkInterface, ...]:
        found: list[NetworkInterface] = []
        for number in said.numbers("net_interface"):
            prefix = f"net_interface.{number}"
            names = [said.text(f"{prefix}.dns_name"), *said.texts(f"{prefix}.additional_dns_names")]
            names += [
                said.text(name)
                for name in said.features
                if name.startswith(f"{prefix}.dns.") and name.endswith(".name")
            ]
            network = said.text(f"{prefix}.connection")
            if network is None:
                self._plain_network()
            dns = tuple(dict.fromkeys(name for name in names if name))
            found.append(NetworkInterface(network or _PLAIN, said.text(f"{prefix}.ip"), dns))
        if not found:
            self._plain_network()
            found.append(NetworkInterface(_PLAIN))
        return tuple(found)

    def _plain_network(self) -> None:
        self.networks.setdefault(_PLAIN, Network(_PLAIN))

    def _image(self, said: Wanted) -> Image:
        urls = said.texts("disk.0.image.url")
        feature = said.first("disk.0.image.url")
        if len(urls) > 1 and feature is not None:
            what = f"of {len(urls)} images the first is taken"
            self.findings.warn(Code.IGNORED, feature.value_at, what, "write the one of the cloud that is deployed to")
        credentials = "disk.0.os.credentials"
        return Image(
            url=urls[0] if urls else None,
            type=said.text("disk.0.os.name"),
            distribution=said.text("disk.0.os.flavour"),
            version=said.text("disk.0.os.version"),
            architecture=said.text("cpu.arch"),
            user=said.text(f"{credentials}.username"),
            password=_secret(said.text(f"{credentials}.password")),
            private_key=_secret(said.text(f"{credentials}.private_key")),
        )

    def _volumes(self, said: Wanted) -> Iterator[Volume]:
        for number in said.numbers("disk"):
            if number == 0:
                continue
            prefix = f"disk.{number}"
            image = said.first(f"{prefix}.image.url")
            if image is not None:
                what = f"the image of disk {number} has no effect: disks beside the first are made empty"
                self.findings.warn(Code.IGNORED, image.at, what)
            size = said.least(f"{prefix}.size") or 0
            if size == 0:
                continue
            mount = said.text(f"{prefix}.mount_path")
            yield Volume(
                name=f"disk{number}",
                size_bytes=size,
                mount_path=mount,
                device=said.text(f"{prefix}.device"),
                fs_type=said.text(f"{prefix}.fstype") or ("swap" if mount == "swap" else "ext4"),
                type=said.text(f"{prefix}.type"),
            )


def groups(
    document: Document, found: dict[str, Network], counts: Mapping[str, int], findings: Findings
) -> tuple[dict[str, Group], dict[str, tuple[str, ...]]]:
    """Return the groups by name, in the order of the document, and the groups of each system.

    A network that is missing is put into `found`.
    """
    made: dict[str, Group] = {}
    of_system: dict[str, tuple[str, ...]] = {}
    taken = {section.name for section in document.systems}
    for system, group in _Systems(document, found, findings).groups():
        name = group.name
        while name != system and name in taken:
            name += "_"
        taken.add(name)
        made[name] = replace(group, name=name, count=counts.get(name, group.count))
        of_system[system] = (*of_system.get(system, ()), name)
    return made, of_system


def _hardware(said: Wanted) -> Hardware:
    disk = max(said.least("disk.0.size") or 0, said.least("disk.0.free_size") or 0)
    return Hardware(
        num_cpus=said.least("cpu.count") or None,
        mem_bytes=said.least("memory.size") or None,
        disk_bytes=disk or None,
        instance_type=said.text("instance_type"),
        num_gpus=said.least("gpu.count") or 0,
        gpu_vendor=said.text("gpu.vendor"),
        gpu_model=said.text("gpu.model"),
        disk_type=said.text("disk.0.type"),
        preemptible=said.flag("spot"),
    )


def _tags(said: str) -> dict[str, str]:
    pairs: Iterable[tuple[str, str, str]] = (part.partition("=") for part in said.split(",") if part.strip())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _secret(text: str | None) -> Secret | None:
    return Secret(text) if text else None
