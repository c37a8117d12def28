"""One call of an intrinsic function: who makes it, with what, and how it fails."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code, Level
from im_client.topology.values import Attribute, Value
from im_client.tosca.model import Context, Node, Relationship
from im_client.tosca.source import Map, Seq, Yaml
from im_client.tosca.types import Library
from im_client.tosca.values import shown

__all__ = ["FUNCTIONS", "KEYWORDS", "Call", "Failed", "Known", "into", "is_function", "node_of", "not_on_hosts"]

FUNCTIONS: Final = (
    "get_input",
    "get_property",
    "get_attribute",
    "get_artifact",
    "get_operation_output",
    "get_nodes_of_type",
    "concat",
    "token",
    "join",
)
KEYWORDS: Final = frozenset({"SELF", "HOST", "SOURCE", "TARGET"})
_LISTED: Final = frozenset({"concat", "token", "join"})


class Failed(Exception):
    """A function cannot be evaluated; the problem is recorded."""


class Known(Protocol):
    """What functions may ask of the template."""

    @property
    def nodes(self) -> Mapping[str, Node]: ...
    @property
    def library(self) -> Library: ...
    def property_of(self, node: Node, name: str) -> Value: ...
    def capability_property(self, node: Node, capability: str, name: str) -> Value: ...
    def relationship_property(self, link: Relationship, name: str) -> Value: ...
    def argument(self, raw: Yaml, place: Place, context: Context) -> Value: ...


@dataclass(frozen=True, slots=True)
class Call:
    """A call with its arguments as a list; `raw` is the mapping that was written."""

    name: str
    arguments: list[Any]
    place: Place
    context: Context
    raw: Map
    findings: Findings

    def problem(self, code: Code, message: str, hint: str = "") -> None:
        """Record a problem: a warning where a type and not the template makes the call."""
        level = Level.WARNING if self.context.lenient else Level.ERROR
        self.findings.add(code, self.place, message, hint, level)

    def fail(self, code: Code, message: str, hint: str = "") -> Failed:
        """Record a problem and return what is to be raised."""
        self.problem(code, message, hint)
        return Failed()


def is_function(raw: object) -> bool:
    """Say whether a mapping is a call: one key that names a function, with arguments that can be some."""
    if not isinstance(raw, Map) or len(raw) != 1:
        return False
    name, argument = next(iter(raw.items()))
    return name in FUNCTIONS and (name not in _LISTED or isinstance(argument, Seq))


def node_of(call: Call, who: Any, known: Known) -> Node:
    """Return the node template that a function's first argument names.

    Raises:
        Failed: there is none, or the keyword means nothing here.
    """
    context = call.context
    link = context.relationship
    if isinstance(who, Map) and isinstance(who.get("node"), str):
        who = who["node"]
    if not isinstance(who, str):
        raise call.fail(Code.BAD_FUNCTION, f"{call.name} takes a node's name, not {shown(who)}")
    if who in {"SOURCE", "TARGET"}:
        if link is None:
            said = f"{who} means something only in a relationship, not here"
            raise call.fail(Code.BAD_FUNCTION, said, "write SELF, HOST or a node's name")
        return link.source if who == "SOURCE" else link.target
    if who in {"SELF", "HOST"}:
        if context.node is None:
            said = f"{who} means nothing in an output: no node stands behind it"
            raise call.fail(Code.BAD_FUNCTION, said, "write the node's name")
        if who == "SELF":
            return context.node
        if context.node.host is not None:
            return context.node.host
        raise call.fail(Code.UNKNOWN_NODE, f'"{context.node.name}" has no host')
    node = known.nodes.get(who)
    if node is None:
        hint = meant(who, known.nodes)
        raise call.fail(Code.UNKNOWN_NODE, f'{call.name} names the node "{who}", which does not exist', hint)
    return node


def not_on_hosts(call: Call, node: Node, code: Code, wanted: str) -> Failed:
    """Record that no host of a node has something, and return what is to be raised.

    Nothing is recorded where a host is missing: that is a problem of its own already.
    """
    last = [node, *node.hosts()][-1]
    definition = last.type.requirements.get("host")
    if not last.is_machine and (any(r.name == "host" for r in last.requirements) or (definition and definition.least)):
        return Failed()
    hint = "" if node.host is not None else f"add to the requirements of {node.name}: - host: NODE"
    return call.fail(code, f'no host of "{node.name}" has {wanted}', hint)


def into(call: Call, value: Value, path: list[Any], label: str) -> Value:
    """Follow keys and indices into a value.

    Raises:
        Failed: there is nothing at a step.
    """
    for step in path:
        if value is None:
            return None
        if isinstance(value, Attribute) and isinstance(step, str | int):
            value = Attribute(value.node, (*value.path, step), value.scope)
        elif isinstance(value, Mapping) and str(step) in value:
            value = value[str(step)]
        elif isinstance(value, tuple) and (index := _index(step)) is not None and -len(value) <= index < len(value):
            value = value[index]
        else:
            raise call.fail(Code.BAD_FUNCTION, f"{label} is {shown(value)} and has nothing at {shown(step)}")
    return value


def _index(step: object) -> int | None:
    if isinstance(step, bool):
        return None
    if isinstance(step, int):
        return step
    return int(step) if isinstance(step, str) and step.isascii() and step.isdigit() and len(step) < 9 else None
