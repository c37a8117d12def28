"""get_attribute and get_operation_output: expressions for the time when machines run.

TOSCA Simple Profile 1.3, sections 4.5 and 4.6.
"""

from collections.abc import Iterable
from typing import Any, Final

from im_client.template.findings import meant
from im_client.template.problems import Code
from im_client.topology.values import Attribute, OperationOutput, Scope, Value
from im_client.tosca.calls import KEYWORDS, Call, Known, into, node_of, not_on_hosts
from im_client.tosca.interfaces import CONFIGURE, HOOKS, STANDARD, STANDARD_OPERATIONS, canonical
from im_client.tosca.model import Node
from im_client.tosca.values import shown

__all__ = ["get_attribute", "get_operation_output"]

_ADDRESSES: Final = frozenset({"private_address", "public_address"})


def get_attribute(call: Call, known: Known) -> Value:
    """Return an attribute as an expression, or what is known of it now: a name, a property.

    Raises:
        Failed: with the problem recorded.
    """
    if len(call.arguments) < 2 or not isinstance(call.arguments[1], str):
        said = "get_attribute takes a node and an attribute"
        raise call.fail(Code.BAD_FUNCTION, said, "write: { get_attribute: [ SELF, private_address, 0 ] }")
    who, name, *rest = call.arguments
    for step in rest:
        if not isinstance(step, str | int) or isinstance(step, bool):
            raise call.fail(Code.BAD_FUNCTION, f"get_attribute takes names and indices, not {shown(step)}")
    node = _host_with(call, name, rest) if who == "HOST" else node_of(call, who, known)
    if not _has_attribute(node, name, rest):
        return _from_elsewhere(call, known, node, [name, *rest])
    if not node.is_machine and name == "tosca_name" and not rest:
        return node.name
    if name in _ADDRESSES and rest and not isinstance(rest[0], int):
        said = f"{name} is a list of addresses, and {shown(rest[0])} is no index"
        raise call.fail(Code.BAD_FUNCTION, said, f"write: [ {who}, {name}, 0 ]")
    scope = Scope.OWN if who in KEYWORDS else Scope.GROUP
    if node.is_machine and rest and rest[0] == "ip_address" and name not in node.type.attributes:
        return Attribute(node.name, (_address_of(known, node, name), *(rest[1:] or [0])), scope)
    return Attribute(node.name, (name, *rest), scope)


def _address_of(known: Known, node: Node, capability: str) -> str:
    """Say by which address an endpoint is reached."""
    definition = node.type.capabilities[capability]
    if "network_name" not in definition.properties:
        return "private_address"
    network = str(known.capability_property(node, capability, "network_name") or "")
    return "public_address" if network.upper().endswith("PUBLIC") else "private_address"


def _host_with(call: Call, name: str, rest: list[Any]) -> Node:
    node = call.context.node
    if node is None:
        said = "HOST means nothing in an output: no node stands behind it"
        raise call.fail(Code.BAD_FUNCTION, said, "write the node's name")
    for host in node.hosts():
        if _has_attribute(host, name, rest):
            return host
    if node.host is None and node.is_machine and _has_attribute(node, name, rest):
        return node  # a machine is its own host
    wanted = f'an attribute "{".".join(str(p) for p in (name, *rest))}"'
    raise not_on_hosts(call, node, Code.UNKNOWN_ATTRIBUTE, wanted)


def _has_attribute(node: Node, name: str, rest: list[Any]) -> bool:
    if name in node.type.attributes or name in node.attributes:
        return True
    capability = node.type.capabilities.get(name)
    return capability is not None and (not rest or rest[0] in capability.attributes)


def _from_elsewhere(call: Call, known: Known, node: Node, path: list[Any]) -> Value:
    """Properties count as attributes; a requirement leads to its target."""
    name, *rest = path
    if name in node.type.properties or name in node.properties:
        return into(call, known.property_of(node, name), rest, f'"{name}" of "{node.name}"')
    requirement = next((r for r in node.requirements if r.name == name and r.target is not None), None)
    if requirement is not None and requirement.target is not None and rest and isinstance(rest[0], str):
        target = requirement.target
        if _has_attribute(target, rest[0], rest[1:]):
            return Attribute(target.name, tuple(rest))
        for capability in target.type.capabilities.values():
            if rest[0] in capability.attributes:
                return Attribute(target.name, (capability.name, *rest))
    words = {*node.type.attributes, *node.type.properties, *node.type.capabilities}
    raise call.fail(Code.UNKNOWN_ATTRIBUTE, f'"{node.name}" has no attribute "{name}"', meant(name, words))


def get_operation_output(call: Call, known: Known) -> Value:
    """Return an operation's output as an expression.

    Raises:
        Failed: with the problem recorded.
    """
    arguments = call.arguments
    if len(arguments) != 4 or not all(isinstance(a, str) for a in arguments):
        said = "get_operation_output takes a node, an interface, an operation and a name"
        hint = "write: { get_operation_output: [ SELF, Standard, configure, name ] }"
        raise call.fail(Code.BAD_FUNCTION, said, hint)
    who, said_interface, operation, variable = arguments
    node = node_of(call, who, known)
    interface = canonical(said_interface)
    operations = _operations(node, interface)
    if operations is None:
        said = f'"{node.name}" has no interface "{said_interface}"'
        raise call.fail(Code.UNKNOWN_INTERFACE, said, meant(interface, [*node.interfaces, STANDARD]))
    if operation not in operations:
        said = f'the interface {interface} of "{node.name}" has no operation "{operation}"'
        raise call.fail(Code.UNKNOWN_OPERATION, said, meant(operation, operations))
    return OperationOutput(node.name, interface, operation, variable, Scope.OWN if who in KEYWORDS else Scope.GROUP)


def _operations(node: Node, interface: str) -> Iterable[str] | None:
    if interface == STANDARD:
        return STANDARD_OPERATIONS
    if interface == CONFIGURE:
        return HOOKS
    defined = node.interfaces.get(interface)
    return None if defined is None else tuple(defined.operations)
