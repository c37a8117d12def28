"""Evaluating what a template writes: properties once each, functions where they stand.

TOSCA Simple Profile 1.3, section 4. What is known now is computed; attributes and outputs of operations become
expressions for the time when machines run. A property that needs itself is a problem.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code, Level
from im_client.topology.values import Value
from im_client.tosca.calls import FUNCTIONS, Call, Failed, Known, into, is_function, node_of
from im_client.tosca.conform import Conformity, Spot
from im_client.tosca.getattribute import get_attribute, get_operation_output
from im_client.tosca.getproperty import get_property
from im_client.tosca.model import Context, Node, Relationship
from im_client.tosca.schema import Schema
from im_client.tosca.source import Map, Seq, Yaml, value_place
from im_client.tosca.textfunctions import concat, join, token
from im_client.tosca.types import Library

__all__ = ["Evaluator", "InputValues"]


class InputValues(Protocol):
    """Where get_input looks."""

    def value(self, name: str) -> Value:
        """Return an input's value; the name is known."""
        ...

    def names(self) -> tuple[str, ...]:
        """Return the names of all inputs."""
        ...


@dataclass(frozen=True, slots=True)
class _Slot:
    """One property of one owner: what is evaluated once."""

    owner: Node | Relationship
    capability: str
    name: str

    def __str__(self) -> str:
        who = self.owner.name if isinstance(self.owner, Node) else f"{self.owner.source.name}>{self.owner.target.name}"
        return ".".join(part for part in (who, self.capability, self.name) if part)


class Evaluator:
    """Evaluates values of one template. One object serves one analysis."""

    def __init__(
        self,
        library: Library,
        nodes: Mapping[str, Node],
        inputs: InputValues,
        findings: Findings,
        artifact_location: Callable[[Yaml, Place], str | None],
    ) -> None:
        self.library = library
        self.nodes = nodes
        self._inputs = inputs
        self._findings = findings
        self._artifact_location = artifact_location
        self._conformity = Conformity(library, findings, self._evaluate_call)
        self._known: dict[_Slot, Value] = {}
        self._running: list[_Slot] = []
        self._failures = 0

    def property_of(self, node: Node, name: str) -> Value:
        """Return a property of a node template, its default included; None where it has no value."""
        slot = _Slot(node, "", name)
        return self._property(slot, node.properties, node.type.properties.get(name), Context(node))

    def capability_property(self, node: Node, capability: str, name: str) -> Value:
        """Return a property of a capability that the node's type has."""
        schema = node.type.capabilities[capability].properties.get(name)
        given = node.capabilities.get(capability)
        return self._property(_Slot(node, capability, name), given, schema, Context(node))

    def relationship_property(self, link: Relationship, name: str) -> Value:
        """Return a property of a relationship."""
        schema = link.type.properties.get(name)
        return self._property(_Slot(link, "", name), link.properties, schema, Context(link.source, link))

    def _property(self, slot: _Slot, given: Map | None, schema: Schema | None, context: Context) -> Value:
        if slot in self._known:
            return self._known[slot]
        name = slot.name
        if slot in self._running:
            circle = " -> ".join(str(s) for s in [*self._running[self._running.index(slot) :], slot])
            at = value_place(given, name) if given is not None else slot.owner.place
            said = f"a property is made of itself: {circle}"
            self._findings.add(Code.FUNCTION_CYCLE, at, said, "give one of them a plain value")
            return None
        self._running.append(slot)
        try:
            value: Value = None
            if given is not None and given.get(name) is not None:
                value = self.typed(given[name], schema, Spot(value_place(given, name), context, name))
            elif schema is not None and schema.default is not None and schema.default_at is not None:
                value = self.typed(
                    schema.default, schema, Spot(schema.default_at, replace(context, lenient=True), name)
                )
        finally:
            self._running.pop()
        self._known[slot] = value
        return value

    def typed(self, raw: Yaml, schema: Schema | None, spot: Spot) -> Value:
        """Evaluate a value, check it against its schema and return it in its one form. None where it is wrong."""
        if schema is None:
            return self.evaluate(raw, spot.place, spot.context)
        return self._conformity.check(raw, schema, spot)

    def given(self, value: Value, schema: Schema, spot: Spot) -> Value:
        """Check a value that does not come out of a file. None with a problem where it is of another type."""
        if schema.type == "string" and isinstance(value, int | float):  # read as YAML from a command line
            value = str(value).lower() if isinstance(value, bool) else str(value)
        return self._conformity.check(value, schema, replace(spot, strict=True))

    def constrain(self, value: Value, schema: Schema, spot: Spot) -> None:
        """Check a value against the constraints of its schema alone."""
        self._conformity.constrain(value, schema, spot)

    def evaluate(self, raw: Yaml, place: Place, context: Context) -> Value:
        """Evaluate a value that has no schema: functions anywhere in it are computed. None where one fails."""
        return self._evaluate_call(raw, place, context)[1]

    def _evaluate_call(self, raw: Yaml, place: Place, context: Context) -> tuple[bool, Value]:
        """As `evaluate`, with whether the whole is a function."""
        if isinstance(raw, Map):
            if is_function(raw):
                return True, self._call(raw, context)
            if len(raw) == 1:
                self._look_for_misspelt(next(iter(raw)), place, context)
            return False, {k: self.evaluate(v, raw.values_at[k], context) for k, v in raw.items()}
        if isinstance(raw, Seq):
            return False, tuple(self.evaluate(v, at, context) for v, at in zip(raw, raw.items_at, strict=True))
        return False, raw

    def _look_for_misspelt(self, name: str, place: Place, context: Context) -> None:
        if name.startswith("get_") and name not in FUNCTIONS:
            level = Level.WARNING if context.lenient else Level.ERROR
            hint = meant(name, FUNCTIONS)
            self._findings.add(Code.UNKNOWN_FUNCTION, place, f"there is no function {name}", hint, level)

    def _call(self, raw: Map, context: Context) -> Value:
        name, argument = next(iter(raw.items()))
        arguments = list(argument) if isinstance(argument, Seq) else [argument]
        call = Call(name, arguments, raw.keys_at[name], context, raw, self._findings)
        try:
            if name == "get_input":
                return self._get_input(call)
            if name == "get_artifact":
                return self._get_artifact(call)
            return _CALLS[name](call, self)
        except Failed:
            self._failures += 1
            return None

    def argument(self, raw: Yaml, place: Place, context: Context) -> Value:
        """Evaluate an argument of a function; one that fails lets the function fail.

        Raises:
            Failed: a function in it cannot be evaluated; that is recorded already.
        """
        before = self._failures
        value = self.evaluate(raw, place, context)
        if self._failures != before:
            raise Failed
        return value

    def _get_input(self, call: Call) -> Value:
        name, *path = call.arguments or [None]
        if not isinstance(name, str):
            raise call.fail(Code.BAD_FUNCTION, "get_input takes the name of an input", "write: { get_input: name }")
        if name not in self._inputs.names():
            hint = meant(name, self._inputs.names()) or "declare it in inputs"
            raise call.fail(Code.UNKNOWN_INPUT, f'there is no input "{name}"', hint)
        return into(call, self._inputs.value(name), path, f'the input "{name}"')

    def _get_artifact(self, call: Call) -> Value:
        if len(call.arguments) < 2 or not isinstance(call.arguments[1], str):
            said = "get_artifact takes a node and an artifact"
            raise call.fail(Code.BAD_FUNCTION, said, "write: { get_artifact: [ SELF, name ] }")
        node = node_of(call, call.arguments[0], self)
        found = node.artifacts.get(call.arguments[1])
        if found is None:
            said = f'"{node.name}" has no artifact "{call.arguments[1]}"'
            raise call.fail(Code.UNKNOWN_ARTIFACT, said, meant(call.arguments[1], node.artifacts))
        return self._artifact_location(*found)


def _get_nodes_of_type(call: Call, known: Known) -> Value:
    kind = call.arguments[0] if len(call.arguments) == 1 else None
    if not isinstance(kind, str):
        said = "get_nodes_of_type takes one node type"
        raise call.fail(Code.BAD_FUNCTION, said, "write: { get_nodes_of_type: tosca.nodes.Compute }")
    full = known.library.full_name("node", kind)
    if full is None:
        raise call.fail(Code.UNKNOWN_TYPE, f"there is no node type {kind}", known.library.meant("node", kind))
    return tuple(n.name for n in known.nodes.values() if full in n.type.lineage)


_CALLS: Final[Mapping[str, Callable[[Call, Known], Value]]] = {
    "get_property": get_property,
    "get_attribute": get_attribute,
    "get_operation_output": get_operation_output,
    "get_nodes_of_type": _get_nodes_of_type,
    "concat": concat,
    "join": join,
    "token": token,
}
