"""A domain's XML: written for a machine, and read. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final
from xml.etree import ElementTree as ET

from im_client.plan.model import Phase, Spec
from im_client.providers.libvirt.marks import DELETED, MAKING, URI, Card, Mark, checked, parsed, uuid_of
from im_client.providers.libvirt.settings import LibvirtSettings

__all__ = ["PREFIX", "Boot", "Disk", "Domain", "domain_xml", "phase_of", "read_domain", "resized", "zero_xml"]

PREFIX: Final = "imc-"
"""How the names of our domains begin."""
_KIB: Final = 1024
_QEMU: Final = "http://libvirt.org/schemas/domain/qemu/1.0"
ET.register_namespace("imc", URI)
ET.register_namespace("qemu", _QEMU)


@dataclass(frozen=True, slots=True)
class Disk:
    """A volume as a disk of a machine."""

    pool: str
    volume: str
    format: str
    serial: str = ""
    is_read_only: bool = False


@dataclass(frozen=True, slots=True)
class Boot:
    """Kernel and initial RAM disk on the host, for a disk without boot loader."""

    kernel: str
    initrd: str
    cmdline: str


@dataclass(frozen=True, slots=True)
class Domain:
    """One of our domains as the host tells it."""

    uuid: str
    mark: Mark
    num_cpus: int
    mem_bytes: int
    state: str
    """`running`, `shut off`, ...; see virsh(1), "domstate"."""
    reason: str
    xml: str

    @property
    def is_running(self) -> bool:
        """Whether there is a QEMU process for it."""
        return self.state not in {"shut off", "crashed", ""}


def domain_xml(
    mark: Mark,
    spec: Spec,
    settings: LibvirtSettings,
    *,
    kvm: bool,
    disks: Sequence[Disk],
    console: str,
    boot: Boot | None,
) -> str:
    """Write the domain of a machine; `console` is the path on the host where its serial line is written to."""
    root = ET.Element("domain", type="kvm" if kvm else "qemu")
    _text(root, "name", f"{PREFIX}{mark.name}-{mark.token}")
    _text(root, "uuid", uuid_of(mark.token))
    _text(root, "title", f"{mark.name} of {mark.infrastructure}")
    ET.SubElement(root, "metadata").append(mark.element())
    memory = (spec.mem_bytes or settings.memory_bytes) // _KIB
    _text(root, "memory", str(memory), unit="KiB")
    _text(root, "currentMemory", str(memory), unit="KiB")
    _text(root, "vcpu", str(spec.num_cpus or 1))
    system = ET.SubElement(root, "os", {"firmware": settings.firmware} if settings.firmware else {})
    _text(system, "type", "hvm", **({"machine": settings.machine} if settings.machine else {}))
    if boot is not None:
        _text(system, "kernel", boot.kernel)
        if boot.initrd:
            _text(system, "initrd", boot.initrd)
        _text(system, "cmdline", boot.cmdline)
    features = ET.SubElement(root, "features")
    ET.SubElement(features, "acpi")
    root.append(_cpu(settings.cpu or ("host-passthrough" if kvm else "maximum")))
    ET.SubElement(root, "clock", offset="utc")
    for event, action in (("poweroff", "destroy"), ("reboot", "restart"), ("crash", "destroy")):
        _text(root, f"on_{event}", action)
    devices = ET.SubElement(root, "devices")
    for index, disk in enumerate(disks):
        devices.append(_disk(disk, f"vd{chr(ord('a') + index)}"))
    for card in mark.cards:
        if card.kind == "user":
            root.append(_user_card(card))
        else:
            devices.append(_card(card))
    serial = ET.SubElement(devices, "serial", type="file")
    ET.SubElement(serial, "source", path=checked(console), append="on")
    ET.SubElement(serial, "target", port="0")
    ET.SubElement(ET.SubElement(devices, "rng", model="virtio"), "backend", model="random").text = "/dev/urandom"
    channel = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    ET.SubElement(devices, "memballoon", model="none")
    return ET.tostring(root, encoding="unicode")


def zero_xml(name: str) -> str:
    """Write a domain with nothing in it that uses KVM: whether it starts says whether KVM works."""
    root = ET.Element("domain", type="kvm")
    _text(root, "name", name)
    _text(root, "memory", "16", unit="MiB")
    _text(root, "vcpu", "1")
    _text(ET.SubElement(root, "os"), "type", "hvm")
    root.append(_cpu("host-passthrough"))
    return ET.tostring(root, encoding="unicode")


def read_domain(xml: str, state: str) -> Domain | None:
    """Read one from `dumpxml` and `domstate --reason`; None where it is none of ours."""
    root = parsed(xml, "a domain")
    element = root.find(f"metadata/{{{URI}}}machine")
    if element is None:
        return None
    word, _, reason = state.strip().partition(" (")
    return Domain(
        uuid=root.findtext("uuid", ""),
        mark=Mark.of(element),
        num_cpus=int(root.findtext("vcpu", "1")),
        mem_bytes=int(root.findtext("memory", "0")) * _KIB,
        state=word,
        reason=reason.rstrip(")"),
        xml=xml,
    )


def phase_of(domain: Domain) -> tuple[Phase, str]:
    """Say where a machine stands, and why it failed."""
    if domain.mark.state == DELETED:
        return Phase.DELETING, ""
    if domain.mark.state == MAKING:
        return Phase.PENDING, ""
    if domain.state == "crashed" or domain.reason in {"crashed", "failed", "panicked"}:
        return Phase.FAILED, f"the host says: {domain.state} ({domain.reason})"
    if domain.state == "paused" and domain.reason in {"I/O error", "watchdog"}:
        return Phase.FAILED, f"paused by the host: {domain.reason}; is its pool full?"
    if domain.state in {"shut off", "paused", "pmsuspended"}:
        return Phase.STOPPED, ""
    return (Phase.RUNNING, "") if domain.state else (Phase.UNKNOWN, "")


def resized(domain: Domain, xml: str, spec: Spec) -> str | None:
    """Return the stored XML of a machine with other CPUs and memory; None where it has them."""
    root = parsed(xml, domain.mark.name)
    wanted = replace(
        domain,
        num_cpus=spec.num_cpus or int(root.findtext("vcpu", "1")),
        mem_bytes=(spec.mem_bytes or int(root.findtext("memory", "0")) * _KIB) // _KIB * _KIB,
    )
    values = {"vcpu": wanted.num_cpus, "memory": wanted.mem_bytes // _KIB, "currentMemory": wanted.mem_bytes // _KIB}
    changed = False
    for name, value in values.items():
        element = root.find(name)
        if element is not None and element.text != str(value):
            element.text, changed = str(value), True
    return ET.tostring(root, encoding="unicode") if changed else None


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = checked(text)


def _cpu(mode: str) -> ET.Element:
    if mode in {"host-passthrough", "host-model", "maximum"}:
        return ET.Element("cpu", mode=mode)
    element = ET.Element("cpu", mode="custom", match="exact")
    _text(element, "model", mode, fallback="forbid")
    return element


def _disk(disk: Disk, target: str) -> ET.Element:
    element = ET.Element("disk", type="volume", device="disk")
    ET.SubElement(element, "driver", name="qemu", type=disk.format, discard="unmap")
    ET.SubElement(element, "source", pool=checked(disk.pool), volume=checked(disk.volume))
    ET.SubElement(element, "target", dev=target, bus="virtio")
    if disk.serial:
        _text(element, "serial", disk.serial)
    if disk.is_read_only:
        ET.SubElement(element, "readonly")
    return element


def _user_card(card: Card) -> ET.Element:
    """Forward ssh from the host's loopback: libvirt itself can only where passt is installed (since 9.0)."""
    element = ET.Element(f"{{{_QEMU}}}commandline")
    network = f"user,id=imc{card.port},hostfwd=tcp:127.0.0.1:{card.port}-:22"
    device = f"virtio-net-pci,netdev=imc{card.port},mac={card.mac},addr=0x1e"
    for word in ("-netdev", network, "-device", device):
        ET.SubElement(element, f"{{{_QEMU}}}arg", value=word)
    return element


def _card(card: Card) -> ET.Element:
    element = ET.Element("interface", type=card.kind)
    ET.SubElement(element, "mac", address=card.mac)
    ET.SubElement(element, "source", {card.kind: checked(card.source)})
    ET.SubElement(element, "model", type="virtio")
    return element
