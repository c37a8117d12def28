"""The way of one merged document: inputs, nodes, requirements, checks, and down to the topology."""

from collections.abc import Mapping
from typing import Protocol

from im_client.template.findings import Findings
from im_client.template.problems import Code
from im_client.topology.model import Topology
from im_client.topology.values import Value
from im_client.tosca.artifacts import Artifacts
from im_client.tosca.functions import Evaluator
from im_client.tosca.header import check_header, section, topology_of
from im_client.tosca.imports import read_repositories
from im_client.tosca.inputs import Inputs, read_inputs
from im_client.tosca.lower import attribute_defaults, lower_outputs, make_topology
from im_client.tosca.machines import Machines
from im_client.tosca.networks import Networks
from im_client.tosca.nodes import check_interfaces, check_values, read_nodes, report_type
from im_client.tosca.operations import Operations
from im_client.tosca.policies import Policies
from im_client.tosca.requirements import RequirementResolver
from im_client.tosca.source import Map, value_place
from im_client.tosca.types import Library
from im_client.tosca.values import SIMPLE_TYPES

__all__ = ["analyse_document"]


class _Reads(Protocol):
    def read(self, location: str, /) -> bytes: ...
    def digest(self, location: str, /) -> str: ...


def analyse_document(
    body: Map,
    library: Library,
    reader: _Reads,
    findings: Findings,
    *,
    documents: frozenset[str],
    given: Mapping[str, Value],
    counts: Mapping[str, int],
    require_inputs: bool,
) -> tuple[Topology, Inputs]:
    """Check everything that a document says and return what it asks for, as far as it can be understood.

    No step stops at a problem: what is broken is left out, and the rest is looked at.
    """
    check_header(body, findings)
    topology = topology_of(body, findings)
    _check_types(library, findings)
    inputs = read_inputs(section(topology, "inputs", findings), library, findings)
    nodes, broken = read_nodes(section(topology, "node_templates", findings), library, findings)
    artifacts = Artifacts(reader, library, read_repositories(body, findings), findings)
    evaluator = Evaluator(library, nodes, inputs, findings, artifacts.location)
    inputs.settle(given, evaluator, findings, require=require_inputs)
    templates = section(topology, "relationship_templates", findings)
    RequirementResolver(nodes, broken, templates, library, findings, evaluator).resolve()
    for node in nodes.values():
        check_values(node, evaluator, findings)
        check_interfaces(f'"{node.name}"', node.body.get("interfaces"), node.type.interfaces, library, findings)
        for requirement in node.requirements:
            if requirement.relationship is not None:
                for name in requirement.relationship.properties:
                    if name in requirement.relationship.type.properties:
                        evaluator.relationship_property(requirement.relationship, name)
    policies = Policies(nodes, broken, library, evaluator, findings)
    policies.read_groups(section(topology, "groups", findings))
    limits = policies.read(topology.get("policies"), value_place(topology, "policies"))
    networks = Networks(nodes, evaluator, findings)
    networks.define()
    groups = Machines(nodes, evaluator, networks, limits, counts, findings).lower()
    operations = Operations(nodes, evaluator, artifacts, findings, documents).lower()
    outputs = lower_outputs(section(topology, "outputs", findings), evaluator, nodes, findings)
    attributes = attribute_defaults(nodes, evaluator)
    made = make_topology(
        body,
        topology,
        nodes=nodes,
        groups=groups,
        networks=networks.networks,
        operations=operations,
        outputs=outputs,
        attributes=attributes,
        inputs=inputs,
    )
    return made, inputs


def _check_types(library: Library, findings: Findings) -> None:
    """Check the types that the template and its imports define, be they used or not."""
    for raw in library.own():
        definition = library.find(raw.kind, raw.name)
        if definition is None:
            continue
        report_type(definition, findings)
        for name, schema in {**definition.properties, **definition.attributes}.items():
            own = schema.place.source is raw.place.source and schema.type not in SIMPLE_TYPES
            if own and library.find("data", schema.type, schema.scope) is None:
                said = f'"{name}" of {raw.name} has the unknown type {schema.type}'
                findings.add(Code.UNKNOWN_TYPE, schema.place, said, library.meant("data", schema.type))
