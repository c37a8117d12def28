"""A template while it is analysed: node templates with their types, requirements and relationships."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from im_client.template.findings import Place
from im_client.tosca.interfaces import Interface
from im_client.tosca.source import Map, Yaml
from im_client.tosca.types import RequirementDefinition, TypeDefinition

__all__ = ["ATTACHES_TO", "COMPUTE", "HOSTED_ON", "Context", "Node", "Relationship", "Requirement"]

ATTACHES_TO: Final = "tosca.relationships.AttachesTo"
COMPUTE: Final = "tosca.nodes.Compute"
HOSTED_ON: Final = "tosca.relationships.HostedOn"


@dataclass(slots=True, eq=False)
class Node:
    """A node template. Filled step by step while it is analysed; nothing outside of that keeps one."""

    name: str
    body: Map
    place: Place
    type: TypeDefinition
    properties: Map
    capabilities: Mapping[str, Map]
    """Capability -> the properties that the template gives it."""
    attributes: Map
    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    artifacts: Mapping[str, tuple[Yaml, Place]] = field(default_factory=dict)
    requirements: "list[Requirement]" = field(default_factory=list)
    host: "Node | None" = None

    @property
    def is_machine(self) -> bool:
        """Whether machines are made of it."""
        return COMPUTE in self.type.lineage

    def hosts(self) -> "Iterator[Node]":
        """Yield the chain of hosts, nearest first; ends also where the chain is a circle."""
        seen = {self.name}
        current = self.host
        while current is not None and current.name not in seen:
            yield current
            seen.add(current.name)
            current = current.host

    @property
    def machine(self) -> "Node | None":
        """The machine that it is or runs on."""
        if self.is_machine:
            return self
        return next((host for host in self.hosts() if host.is_machine), None)


@dataclass(slots=True, eq=False)
class Relationship:
    """The link from a requirement to its target."""

    type: TypeDefinition
    source: Node
    target: Node
    requirement: str
    properties: Map
    place: Place
    interfaces: Mapping[str, Interface] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class Requirement:
    """A requirement of a node template with what fulfils it; `target` is None where nothing does."""

    name: str
    place: Place
    definition: RequirementDefinition | None
    target: Node | None = None
    relationship: Relationship | None = None

    @property
    def is_hosting(self) -> bool:
        """Whether the source runs on the target."""
        return self.relationship is not None and HOSTED_ON in self.relationship.type.lineage


@dataclass(frozen=True, slots=True)
class Context:
    """Who evaluates a function. Both None: an output. `lenient`: what fails comes from a type, and is a warning."""

    node: Node | None = None
    relationship: Relationship | None = None
    lenient: bool = False
