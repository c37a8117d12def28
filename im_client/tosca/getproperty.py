"""get_property: where a property is looked for. TOSCA Simple Profile 1.3, section 4.4.2."""

from typing import Any

from im_client.template.findings import meant
from im_client.template.problems import Code
from im_client.topology.values import Value
from im_client.tosca.calls import Call, Known, into, node_of, not_on_hosts
from im_client.tosca.model import Node, Relationship, Requirement

__all__ = ["get_property"]


def get_property(call: Call, known: Known) -> Value:
    """Return a property of a node, of its requirement's target, of a capability, of a host or of a relationship.

    Raises:
        Failed: with the problem recorded.
    """
    if len(call.arguments) < 2 or not isinstance(call.arguments[1], str):
        said = "get_property takes a node and a property"
        raise call.fail(Code.BAD_FUNCTION, said, "write: { get_property: [ SELF, name ] }")
    who, name, *rest = call.arguments
    link = call.context.relationship
    if who == "SELF" and link is not None:
        return into(call, _of_relationship(call, known, link, name), rest, f'"{name}"')
    if who == "HOST" and call.context.node is not None:
        return _of_host(call, known, call.context.node, [name, *rest])
    node = node_of(call, who, known)
    found = _in_node(call, known, node, [name, *rest])
    if found is None:
        words = {*node.type.properties, *node.type.capabilities, *node.type.requirements}
        said = f'"{node.name}" has no property, capability or requirement "{name}"'
        raise call.fail(Code.UNKNOWN_PROPERTY, said, meant(name, words))
    return found[0]


def _of_relationship(call: Call, known: Known, link: Relationship, name: str) -> Value:
    if name not in link.type.properties and name not in link.properties:
        said = f'the relationship to "{link.target.name}" has no property "{name}"'
        raise call.fail(Code.UNKNOWN_PROPERTY, said, meant(name, link.type.properties))
    return known.relationship_property(link, name)


def _of_host(call: Call, known: Known, node: Node, path: list[Any]) -> Value:
    name = path[0]
    inner = path[1] if len(path) > 1 and isinstance(path[1], str) else None
    for host in node.hosts():
        capability = host.type.capabilities.get(name)
        if name in host.type.properties or (capability is not None and inner in capability.properties):
            found = _in_node(call, known, host, path)
            if found is not None:
                return found[0]
    raise not_on_hosts(call, node, Code.UNKNOWN_PROPERTY, f'a property "{".".join(str(p) for p in path)}"')


def _in_node(call: Call, known: Known, node: Node, path: list[Any]) -> tuple[Value] | None:
    """Look for a property of the name, then in the target of a requirement, then in a capability."""
    name, *rest = path
    if name in node.type.properties or name in node.properties:
        return (into(call, known.property_of(node, name), rest, f'"{name}" of "{node.name}"'),)
    if not rest:
        return None
    inner = str(rest[0])
    requirement = next((r for r in node.requirements if r.name == name and r.target is not None), None)
    if requirement is not None and requirement.target is not None:
        value = _of_target(call, known, requirement, requirement.target, inner)
        return (into(call, value, rest[1:], f'"{inner}"'),)
    own = node.type.capabilities.get(name)
    if own is None:
        if name in node.type.requirements:
            raise call.fail(Code.UNKNOWN_PROPERTY, f'nothing fulfils the requirement "{name}" of "{node.name}"')
        return None
    if inner not in own.properties:
        said = f'the capability "{name}" of "{node.name}" has no property "{inner}"'
        raise call.fail(Code.UNKNOWN_PROPERTY, said, meant(inner, own.properties))
    return (into(call, known.capability_property(node, name, inner), rest[1:], f'"{inner}"'),)


def _of_target(call: Call, known: Known, requirement: Requirement, target: Node, inner: str) -> Value:
    """Look in the capability of the requirement's name, in those of its type, then in the node itself."""
    wanted = requirement.definition.capability if requirement.definition else ""
    capabilities = [c for c in target.type.capabilities.values() if c.name == requirement.name]
    capabilities += [c for c in target.type.capabilities.values() if wanted in c.lineage]
    for capability in capabilities:
        if inner in capability.properties:
            return known.capability_property(target, capability.name, inner)
    if inner in target.type.properties:
        return known.property_of(target, inner)
    words = {p for c in capabilities for p in c.properties} | set(target.type.properties)
    said = f'"{target.name}", which fulfils the requirement "{requirement.name}", has no property "{inner}"'
    raise call.fail(Code.UNKNOWN_PROPERTY, said, meant(inner, words))
