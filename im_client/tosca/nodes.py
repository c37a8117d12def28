"""Node templates: their types, and whether what they say fits them."""

from collections.abc import Iterable, Mapping
from typing import Final

from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code
from im_client.tosca.functions import Evaluator
from im_client.tosca.header import section
from im_client.tosca.interfaces import (
    CONFIGURE,
    HOOKS,
    STANDARD,
    STANDARD_OPERATIONS,
    Interface,
    canonical,
    read_interfaces,
)
from im_client.tosca.merge import merge
from im_client.tosca.model import Node
from im_client.tosca.schema import Schema
from im_client.tosca.source import Map, Yaml, key_place, value_place
from im_client.tosca.types import Library, TypeDefinition

__all__ = ["check_interfaces", "check_properties", "check_values", "read_nodes", "report_type"]

_KEYS: Final = frozenset(
    {
        "type",
        "description",
        "metadata",
        "directives",
        "properties",
        "attributes",
        "requirements",
        "capabilities",
        "interfaces",
        "artifacts",
        "node_filter",
        "copy",
        "derived_from",
    }
)
_CAPABILITY_KEYS: Final = frozenset({"properties", "attributes", "occurrences", "type", "description", "directives"})


def read_nodes(raw: Map, library: Library, findings: Findings) -> tuple[dict[str, Node], frozenset[str]]:
    """Return the node templates by name, and the names of those that are too broken to be looked at further."""
    nodes: dict[str, Node] = {}
    broken: set[str] = set()
    for name, body in raw.items():
        node = _read_node(name, body, raw, library, findings)
        if node is None:
            broken.add(name)
        else:
            nodes[name] = node
    return nodes, frozenset(broken)


def _read_node(name: str, body: Yaml, raw: Map, library: Library, findings: Findings) -> Node | None:
    at = key_place(raw, name)
    if not isinstance(body, Map):
        findings.add(
            Code.NOT_A_MAP, at, f'the node template "{name}" is no mapping', "write: type: tosca.nodes.Compute"
        )
        return None
    body = _copied(name, body, raw, findings)
    for key in body:
        if key not in _KEYS:
            findings.add(
                Code.UNKNOWN_KEY,
                key_place(body, key),
                f'the node template "{name}" has the unknown key "{key}"',
                meant(key, _KEYS),
            )
    definition = _type_of(f'the node template "{name}"', body, at, library, findings)
    if definition is None:
        return None
    report_type(definition, findings)
    capabilities = _capabilities(name, body, definition, findings)
    artifacts = section(body, "artifacts", findings)
    return Node(
        name=name,
        body=body,
        place=at,
        type=definition,
        properties=section(body, "properties", findings),
        capabilities=capabilities,
        attributes=section(body, "attributes", findings),
        interfaces=read_interfaces(
            body.get("interfaces"), value_place(body, "interfaces"), definition.interfaces, findings
        ),
        artifacts={**definition.artifacts, **{k: (v, value_place(artifacts, k)) for k, v in artifacts.items()}},
    )


def _copied(name: str, body: Map, raw: Map, findings: Findings) -> Map:
    """Lay a template over the one that it is a copy of."""
    source = body.get("copy")
    if source is None:
        return body
    base = raw.get(source) if isinstance(source, str) and source != name else None
    if not isinstance(base, Map) or "copy" in base:
        said = f'the node template "{name}" is a copy of "{source}", which is no other plain node template'
        findings.add(Code.UNKNOWN_NODE, value_place(body, "copy"), said, meant(source, set(raw) - {name}))
        return body
    return merge(base, body)


def _type_of(owner: str, body: Map, at: Place, library: Library, findings: Findings) -> TypeDefinition | None:
    said = body.get("type")
    if not isinstance(said, str):
        findings.add(Code.UNKNOWN_TYPE, at, f"{owner} has no type", "write: type: tosca.nodes.Compute")
        return None
    definition = library.find("node", said)
    if definition is None:
        findings.add(
            Code.UNKNOWN_TYPE,
            value_place(body, "type"),
            f"{owner} has the unknown type {said}",
            library.meant("node", said),
        )
    return definition


def report_type(definition: TypeDefinition, findings: Findings) -> None:
    """Record what is wrong with a type that is used."""
    for code, place, message, hint in definition.problems:
        findings.add(code, place, message, hint)


def _capabilities(name: str, body: Map, definition: TypeDefinition, findings: Findings) -> dict[str, Map]:
    raw = section(body, "capabilities", findings)
    found: dict[str, Map] = {}
    for capability, said in raw.items():
        at = key_place(raw, capability)
        known = definition.capabilities.get(capability)
        if known is None:
            findings.add(
                Code.UNKNOWN_CAPABILITY,
                at,
                f'"{name}" has no capability "{capability}": {definition.name} does not offer it',
                meant(capability, definition.capabilities),
            )
            continue
        if said is None:
            continue
        if not isinstance(said, Map):
            findings.add(
                Code.NOT_A_MAP,
                at,
                f'the capability "{capability}" of "{name}" is no mapping',
                "write: properties: { ... }",
            )
            continue
        for key in said:
            if key not in _CAPABILITY_KEYS:
                hint = f"write it below properties: {key}" if key in known.properties else meant(key, _CAPABILITY_KEYS)
                said_wrong = f'the capability "{capability}" of "{name}" has the unknown key "{key}"'
                findings.add(Code.UNKNOWN_KEY, key_place(said, key), said_wrong, hint)
        properties = section(said, "properties", findings)
        check_properties(properties, known.properties, f'the capability "{capability}" of "{name}"', at, findings)
        found[capability] = properties
    return found


def check_properties(given: Map, known: Mapping[str, Schema], owner: str, at: Place, findings: Findings) -> None:
    """Record unknown properties, and required ones that have neither a value nor a default."""
    for name in given:
        if name not in known:
            findings.add(
                Code.UNKNOWN_PROPERTY,
                key_place(given, name),
                f'{owner} has no property "{name}"',
                meant(name, known),
            )
    missing = [n for n, s in known.items() if s.required and s.default is None and n not in given]
    for name in missing:
        findings.add(
            Code.MISSING_PROPERTY,
            given.at if given else at,
            f'{owner} lacks the property "{name}", which its type requires',
            f"add: {name}: ... ({known[name].type})",
        )


def check_interfaces(
    owner: str, raw: Yaml, known: Mapping[str, Interface], library: Library, findings: Findings
) -> None:
    """Record interfaces and operations that a node template names and its type does not have."""
    if not isinstance(raw, Map):
        return
    for said, body in raw.items():
        name = canonical(said)
        if not isinstance(body, Map):
            continue
        operations = body.get("operations")
        inner = operations if isinstance(operations, Map) else body
        allowed = _allowed_operations(name, known, library)
        if allowed is None:
            findings.add(
                Code.UNKNOWN_INTERFACE,
                key_place(raw, said),
                f'{owner} has no interface "{said}"',
                meant(said, [*known, STANDARD]),
            )
            continue
        for operation in inner:
            if operation not in allowed and operation not in {"type", "inputs", "description", "notifications"}:
                findings.add(
                    Code.UNKNOWN_OPERATION,
                    key_place(inner, operation),
                    f'the interface {said} of {owner} has no operation "{operation}"',
                    meant(operation, allowed),
                )


def _allowed_operations(name: str, known: Mapping[str, Interface], library: Library) -> Iterable[str] | None:
    if name == STANDARD:
        return STANDARD_OPERATIONS
    if name == CONFIGURE:
        return HOOKS
    interface = known.get(name)
    if interface is None:
        return None
    allowed = set(interface.operations)
    raw = library.raw("interface", library.full_name("interface", interface.type) or "") if interface.type else None
    while raw is not None:
        operations = raw.body.get("operations")
        allowed |= set(operations if isinstance(operations, Map) else raw.body)
        parent = raw.body.get("derived_from")
        full = library.full_name("interface", parent, raw.scope) if isinstance(parent, str) else None
        raw = library.raw("interface", full) if full and full != raw.name else None
    return allowed


def check_values(node: Node, evaluator: Evaluator, findings: Findings) -> None:
    """Check every property and attribute that a node template gives, and the operations that it names."""
    owner = f'"{node.name}"'
    check_properties(node.properties, node.type.properties, owner, node.place, findings)
    for name in node.properties:
        if name in node.type.properties:
            evaluator.property_of(node, name)
    for capability, given in node.capabilities.items():
        for name in given:
            if name in node.type.capabilities[capability].properties:
                evaluator.capability_property(node, capability, name)
    for name in node.attributes:
        if name not in node.type.attributes and name not in node.type.properties:
            findings.add(
                Code.UNKNOWN_ATTRIBUTE,
                key_place(node.attributes, name),
                f'{owner} has no attribute "{name}"',
                meant(name, node.type.attributes),
            )
