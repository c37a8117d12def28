"""An infrastructure and its machines as RADL, which clients of the original read."""

from dataclasses import replace
from typing import Any

from im_client.radl import jsonwriter, text
from im_client.radl.describe import Machine, machine_document, topology_document
from im_client.radl.front import recorded
from im_client.radl.model import Document, Feature, Operator, Section
from im_client.services.server.house import House
from im_client.services.server.merging import template_name
from im_client.services.server.views import Vm
from im_client.state.store import InfrastructureRecord
from im_client.template.findings import Place, Source
from im_client.topology.model import Topology
from infracore.secrets import MASK, Secret

__all__ = ["as_json", "as_text", "features_of_vm", "radl_of", "radl_planned", "vm_document"]

_NOWHERE = Place(Source(""), 1, 1)


def radl_of(house: House, infra: str, *, reveal: bool) -> str:
    """Return what is wanted of an infrastructure as RADL, its name among it.

    Without `reveal` recipes are left out and passwords hidden: enough to ask for more machines.
    """
    record = house.ctx.store.infrastructure(infra)
    found = topology_document(house.topology(infra))
    source = record.source
    if not reveal:
        found = _masked(found)
    if not source.template.endswith((".yaml", ".yml")):
        said = recorded([(name, source.files[name]) for name in (source.template, *source.add_ons)], source.inputs)
        found = replace(said, deploys=found.deploys) if reveal else replace(found, descriptions=said.descriptions)
    if not found.descriptions:
        name = template_name(source.files.get(source.template, "")) or record.name
        features = (_feature("name", name), _feature("infrastructure", record.name))
        found = replace(found, descriptions=(Section("template", features, at=_NOWHERE),))
    return text.write(found)


def radl_planned(topology: Topology) -> str:
    """Return what is planned as RADL, without recipes and with passwords hidden: how many machines of which size."""
    return text.write(_masked(topology_document(topology)))


def vm_document(house: House, record: InfrastructureRecord, vm: Vm, *, reveal: bool) -> Document:
    """Return a VM as RADL: what was asked for, and what is known. Its key is shown with `reveal` only."""
    topology = house.topology(record.id)
    node = vm.node
    group = node.group if node is not None else _group_of(vm.name, topology)
    if group not in topology.groups:
        features = (_feature("instance_name", vm.name), _feature("state", vm.state))
        return Document(systems=(Section(group or "unknown", features, at=_NOWHERE),))
    machine = Machine(group=group, index=node.index if node else vm.number, state=vm.state, name=vm.name)
    if node is not None:
        machine = replace(
            machine,
            instance_id=node.provider_id,
            provider_type=node.provider,
            private_address=node.private_address,
            public_address=node.public_address,
            num_cpus=node.spec.num_cpus,
            mem_bytes=node.spec.mem_bytes,
            disk_bytes=node.spec.disk_bytes,
            user=node.user,
            private_key=record.ssh_private_key if reveal else Secret(MASK),
            launched_at_s=int(node.created_at),
        )
    found = _named(machine_document(topology, machine), vm.name)
    return found if reveal else _masked(found)


def features_of_vm(document: Document) -> dict[str, str | int | float]:
    """Return the features of a VM's system that are plain values, by name; sizes are in bytes."""
    found: dict[str, str | int | float] = {}
    for part in jsonwriter.write(document):
        if isinstance(part, dict) and part.get("class") == "system":
            for name, value in part.items():
                if isinstance(value, str | int | float) and name not in {"class", "id"}:
                    found[name.removesuffix("_min")] = value
    return found


def as_text(document: Document) -> str:
    """Write a document."""
    return text.write(document)


def as_json(document: Document) -> list[Any]:
    """Write a document in RADL's JSON form."""
    return list(jsonwriter.write(document))


def _named(document: Document, name: str) -> Document:
    """Say the machine's own name, whatever the template calls it: batch systems and cluesd know it by that."""
    said = "net_interface.0.dns_name"
    systems = tuple(
        replace(section, features=(*(f for f in section.features if f.name != said), _feature(said, name)))
        for section in document.systems
    )
    return replace(document, systems=systems)


def _masked(document: Document) -> Document:
    """Hide what the template itself says of passwords and keys."""
    systems = tuple(
        replace(
            section,
            features=tuple(
                replace(feature, value=MASK) if feature.name.endswith((".password", ".private_key")) else feature
                for feature in section.features
            ),
        )
        for section in document.systems
    )
    return replace(document, systems=systems)


def _group_of(name: str, topology: Topology) -> str:
    """Return the group of a machine that is only announced: its name begins with the group's."""
    stem = name.rpartition("-")[0]
    return next((group for group in topology.groups if group.lower() == stem), stem)


def _feature(name: str, value: str) -> Feature:
    return Feature(name, Operator.EQ, value, at=_NOWHERE, value_at=_NOWHERE)
