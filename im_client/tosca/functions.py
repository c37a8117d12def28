"""Intrinsic functions and typed values: from what a template writes to values of the topology.

TOSCA Simple Profile 1.3, section 4. What is known now is computed; attributes and outputs of operations become
expressions for the time when machines run. Each property is evaluated once, and one that needs itself is a problem.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from im_client.topology.values import Attribute, Concat, Join, OperationOutput, Scope, Token, Value
from im_client.tosca.findings import Findings, Place, meant
from im_client.tosca.interfaces import CONFIGURE, HOOKS, STANDARD, STANDARD_OPERATIONS, canonical
from im_client.tosca.model import Context, Node, Relationship
from im_client.tosca.problems import Code, Level
from im_client.tosca.schema import Clause, Schema
from im_client.tosca.source import Map, Seq, Yaml, value_place
from im_client.tosca.types import Library, TypeDefinition
from im_client.tosca.values import (
    SCALAR_UNITS,
    SIMPLE_TYPES,
    Mismatch,
    is_runtime,
    plain,
    shown,
    simple_value,
    violated,
)
from infracore.secrets import Secret

__all__ = ["FUNCTIONS", "Evaluator", "InputValues", "is_function"]

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
_LISTED: Final = frozenset({"concat", "token", "join"})
_KEYWORDS: Final = frozenset({"SELF", "HOST", "SOURCE", "TARGET"})


class InputValues(Protocol):
    """Where get_input looks."""

    def value(self, name: str) -> Value:
        """Return an input's value; the name is known."""
        ...

    def names(self) -> tuple[str, ...]:
        """Return the names of all inputs."""
        ...


def is_function(raw: object) -> bool:
    """Say whether a mapping is a call: one key that names a function, with arguments that can be some."""
    if not isinstance(raw, Map) or len(raw) != 1:
        return False
    name, argument = next(iter(raw.items()))
    return name in FUNCTIONS and (name not in _LISTED or isinstance(argument, Seq))


class _Failed(Exception):
    """A function cannot be evaluated; the problem is recorded."""


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
        self._library = library
        self._nodes = nodes
        self._inputs = inputs
        self._findings = findings
        self._artifact_location = artifact_location
        self._known: dict[tuple[object, str, str], Value] = {}
        self._running: list[tuple[object, str, str]] = []
        self._calls: Mapping[str, Callable[[list[Any], Place, Context, Map], Value]] = {
            "get_input": self._get_input,
            "get_property": self._get_property,
            "get_attribute": self._get_attribute,
            "get_artifact": self._get_artifact,
            "get_operation_output": self._get_operation_output,
            "get_nodes_of_type": self._get_nodes_of_type,
            "concat": self._concat,
            "token": self._token,
            "join": self._join,
        }

    # Properties

    def property_of(self, node: Node, name: str) -> Value:
        """Return a property of a node template, its default included; None where it has no value."""
        schema = node.type.properties.get(name)
        return self._property((node, "", name), node.properties, name, schema, Context(node))

    def capability_property(self, node: Node, capability: str, name: str) -> Value:
        """Return a property of a capability of a node template."""
        definition = node.type.capabilities[capability]
        given = node.capabilities.get(capability) or Map(node.place)
        return self._property((node, capability, name), given, name, definition.properties.get(name), Context(node))

    def relationship_property(self, link: Relationship, name: str) -> Value:
        """Return a property of a relationship."""
        context = Context(link.source, link)
        return self._property((link, "", name), link.properties, name, link.type.properties.get(name), context)

    def _property(
        self, key: tuple[object, str, str], given: Map, name: str, schema: Schema | None, context: Context
    ) -> Value:
        if key in self._known:
            return self._known[key]
        if key in self._running:
            circle = " -> ".join(_call_name(k) for k in [*self._running[self._running.index(key) :], key])
            at = value_place(given, name)
            self._findings.add(
                Code.FUNCTION_CYCLE, at, f"a property is made of itself: {circle}", "give one of them a plain value"
            )
            raise _Failed
        self._running.append(key)
        try:
            if given.get(name) is not None:
                value = self.typed(given[name], schema, value_place(given, name), context, name)
            elif schema is not None and schema.default is not None and schema.default_at is not None:
                lenient = Context(context.node, context.relationship, lenient=True)
                value = self.typed(schema.default, schema, schema.default_at, lenient, name)
            else:
                value = None
        finally:
            self._running.pop()
        self._known[key] = value
        return value

    # Typed values

    def typed(self, raw: Yaml, schema: Schema | None, place: Place, context: Context, label: str) -> Value:
        """Evaluate a value, check it against its schema and return it in its one form. None where it fails."""
        if schema is None:
            return self.evaluate(raw, place, context)
        return self._typed(raw, schema, place, context, label, strict=False)

    def given(self, value: Value, schema: Schema, place: Place, label: str) -> Value:
        """Check a value that does not come out of a file; None with a problem where it is of another type."""
        if schema.type == "string" and isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
        bare = Schema(schema.type, place, entry=schema.entry, key=schema.key, scope=schema.scope)
        return self._conform(value, bare, place, Context(), label, computed=False, strict=True)

    def constrain(self, value: Value, schema: Schema, place: Place, label: str, level: Level) -> None:
        """Check a value against the constraints of its schema alone."""
        self._constrain(value, schema.type, schema.constraints, place, Context(), label, level is Level.WARNING)

    def evaluate(self, raw: Yaml, place: Place, context: Context) -> Value:
        """Evaluate a value that has no schema: functions anywhere in it are computed."""
        if isinstance(raw, Map):
            if is_function(raw):
                try:
                    return self._call(raw, context)
                except _Failed:
                    return None
            self._look_for_misspelt(raw, place, context)
            return {k: self.evaluate(v, raw.values_at[k], context) for k, v in raw.items()}
        if isinstance(raw, Seq):
            return tuple(self.evaluate(v, at, context) for v, at in zip(raw, raw.items_at, strict=True))
        return raw

    def _look_for_misspelt(self, raw: Map, place: Place, context: Context) -> None:
        if len(raw) == 1:
            name = next(iter(raw))
            hint = meant(name, FUNCTIONS) if name.startswith("get_") else ""
            if name.startswith("get_") and name not in FUNCTIONS:
                self._problem(Code.UNKNOWN_FUNCTION, place, f"there is no function {name}", hint, context)

    def _typed(self, raw: Yaml, schema: Schema, place: Place, context: Context, label: str, *, strict: bool) -> Value:
        if is_function(raw):
            assert isinstance(raw, Map)
            try:
                value = self._call(raw, context)
            except _Failed:
                return None
            if value is None or is_runtime(value):
                return value
            return self._conform(value, schema, place, context, label, computed=True, strict=False)
        return self._conform(raw, schema, place, context, label, computed=False, strict=strict)

    def _conform(
        self, raw: Any, schema: Schema, place: Place, context: Context, label: str, *, computed: bool, strict: bool
    ) -> Value:
        """Check and form a value: YAML with places, or one that a function computed."""
        kind = schema.type
        if kind == "list":
            value = self._list(raw, schema, place, context, label, computed)
        elif kind == "map":
            value = self._map(raw, schema, place, context, label, computed)
        elif kind in SIMPLE_TYPES:
            value = self._simple(raw, kind, place, context, label, computed, strict)
            if value is None:
                return None
        else:
            return self._data_type(raw, schema, place, context, label, computed)
        self._constrain(value, kind, schema.constraints, place, context, label, computed)
        return value

    def _simple(
        self, raw: Any, kind: str, place: Place, context: Context, label: str, computed: bool, strict: bool
    ) -> Value:
        if isinstance(raw, Map):
            self._look_for_misspelt(raw, place, context)
        try:
            return simple_value(raw, kind, strict=strict and not computed)
        except Mismatch as mismatch:
            return self._mismatch(raw, kind, place, context, label, computed, mismatch)

    def _mismatch(
        self, raw: Any, kind: str, place: Place, context: Context, label: str, computed: bool, mismatch: Mismatch
    ) -> Value:
        if raw == "" or raw is None:
            if computed or raw is None:  # the catalogue's inputs say "" for "not set"
                return None
        elif computed and kind == "string":
            return plain(raw) if not isinstance(raw, tuple | Mapping) else raw
        elif computed and kind == "scalar-unit.size" and isinstance(raw, int | float):
            # tosca-parser lets a number without a unit pass through get_input; the catalogue means MiB by it.
            self._findings.warn(
                Code.BAD_UNIT,
                place,
                f'"{label}" is {raw} without a unit: taken as {raw} MiB',
                f'write: {{ concat: [ ..., " MiB" ] }}, or give the input as {raw} MiB',
            )
            return f"{raw} MiB"
        code = Code.BAD_UNIT if mismatch.unit else Code.WRONG_TYPE
        self._problem(code, place, f'"{label}" shall be {_article(kind)}: {mismatch.message}', mismatch.hint, context)
        return None

    def _list(self, raw: Any, schema: Schema, place: Place, context: Context, label: str, computed: bool) -> Value:
        if not isinstance(raw, list | tuple):
            level = Level.WARNING if computed else Level.ERROR
            said = f'"{label}" shall be a list: {shown(raw)} is none'
            self._problem(Code.WRONG_TYPE, place, said, "write: [ ... ]", context, level)
            return raw if computed else None
        items: list[Value] = []
        for index, item in enumerate(raw):
            at = raw.items_at[index] if isinstance(raw, Seq) else place
            inner = f"{label}[{index}]"
            if schema.entry is None:
                items.append(self._free(item, at, context))
            else:
                items.append(self._entry(item, schema.entry, at, context, inner, computed))
        return tuple(items)

    def _map(self, raw: Any, schema: Schema, place: Place, context: Context, label: str, computed: bool) -> Value:
        if not isinstance(raw, Mapping):
            level = Level.WARNING if computed else Level.ERROR
            said = f'"{label}" shall be a mapping: {shown(raw)} is none'
            self._problem(Code.WRONG_TYPE, place, said, "write: { key: value }", context, level)
            return raw if computed else None
        found: dict[str, Value] = {}
        for key, item in raw.items():
            at = value_place(raw, key) if isinstance(raw, Map) else place
            inner = f"{label}.{key}"
            if schema.key is not None:
                self._entry(key, schema.key, at, context, f"key of {label}", computed)
            found[key] = (
                self._free(item, at, context)
                if schema.entry is None
                else self._entry(item, schema.entry, at, context, inner, computed)
            )
        return found

    def _free(self, item: Any, at: Place, context: Context) -> Value:
        return self.evaluate(item, at, context) if isinstance(item, Map | Seq) else item

    def _entry(self, raw: Any, schema: Schema, at: Place, context: Context, label: str, computed: bool) -> Value:
        if computed and not isinstance(raw, Map | Seq):
            if raw is None or is_runtime(raw):
                return raw
            return self._conform(raw, schema, at, context, label, computed=True, strict=False)
        if raw is None:
            return None
        return self._typed(raw, schema, at, context, label, strict=True)

    def _data_type(self, raw: Any, schema: Schema, place: Place, context: Context, label: str, computed: bool) -> Value:
        definition = self._library.find("data", schema.type, schema.scope)
        if definition is None:
            hint = self._library.meant("data", schema.type)
            self._problem(
                Code.UNKNOWN_TYPE, schema.place, f'"{label}" has the unknown type {schema.type}', hint, context
            )
            return self._free(raw, place, context)
        if definition.base is not None:
            inner = Schema(definition.base, place, constraints=(*definition.constraints, *schema.constraints))
            return self._conform(raw, inner, place, context, label, computed=computed, strict=True)
        if not isinstance(raw, Mapping):
            if definition.properties or not isinstance(raw, str | int | float):
                said = f'"{label}" shall be a {_short(definition.name)}: {shown(raw)} is no mapping'
                self._problem(Code.WRONG_TYPE, place, said, _fields_hint(definition), context)
                return None
            return plain(raw)
        return self._fields(raw, definition, place, context, label, computed)

    def _fields(
        self, raw: Any, definition: TypeDefinition, place: Place, context: Context, label: str, computed: bool
    ) -> Value:
        found: dict[str, Value] = {}
        known = definition.properties
        for key, item in raw.items():
            at = value_place(raw, key) if isinstance(raw, Map) else place
            if key not in known:
                if known:
                    said = f'"{label}" has no field "{key}": {_short(definition.name)} does not know it'
                    at = raw.keys_at[key] if isinstance(raw, Map) else place
                    self._problem(Code.UNKNOWN_PROPERTY, at, said, meant(key, known), context)
                else:
                    found[key] = self._free(item, at, context)
                continue
            found[key] = self._entry(item, known[key], at, context, f"{label}.{key}", computed)
        for key, schema in known.items():
            if key in raw:
                continue
            if schema.default is not None and schema.default_at is not None:
                found[key] = self.typed(schema.default, schema, schema.default_at, context, f"{label}.{key}")
            elif schema.required and not schema.has_default:
                said = f'"{label}" lacks the field "{key}" that {_short(definition.name)} requires'
                self._problem(Code.MISSING_PROPERTY, place, said, f"add: {key}: ...", context)
        if "tosca.datatypes.network.PortSpec" in definition.lineage and not any(
            found.get(k) is not None for k in ("source", "source_range", "target", "target_range")
        ):
            said = f'the port "{label}" has none of source, source_range, target and target_range'
            self._problem(Code.BAD_PORT, place, said, "write: source: 80", context)
        return found

    def _constrain(
        self,
        value: Value,
        kind: str,
        constraints: tuple[Any, ...],
        place: Place,
        context: Context,
        label: str,
        computed: bool,
    ) -> None:
        for constraint in constraints:
            if value is None or is_runtime(value):
                return
            try:
                broken = violated(value, kind, constraint)
            except Mismatch as mismatch:
                said = f'a constraint of "{label}" does not fit its type: {mismatch.message}'
                self._problem(Code.BAD_CONSTRAINT, constraint.place, said, mismatch.hint, context)
                continue
            if not broken:
                continue
            # A value that comes through a function is not checked by tosca-parser; the catalogue says
            # size 0 in this way for "no disk", although the type wants at least 1 MB.
            level = Level.WARNING if computed else Level.ERROR
            if computed and constraint.clause is Clause.GREATER_OR_EQUAL and kind in SCALAR_UNITS:
                continue
            said = f'"{label}" {broken}: {shown(value)}'
            self._problem(Code.CONSTRAINT_VIOLATED, place, said, "", context, level)

    # Functions

    def _call(self, raw: Map, context: Context) -> Value:
        name, argument = next(iter(raw.items()))
        place = raw.keys_at[name]
        arguments = list(argument) if isinstance(argument, Seq) else [argument]
        return self._calls[name](arguments, place, context, raw)

    def _problem(
        self, code: Code, place: Place, message: str, hint: str, context: Context, level: Level = Level.ERROR
    ) -> None:
        self._findings.add(code, place, message, hint, Level.WARNING if context.lenient else level)

    def _fail(self, code: Code, place: Place, message: str, hint: str, context: Context) -> _Failed:
        self._problem(code, place, message, hint, context)
        return _Failed()

    def _get_input(self, arguments: list[Any], place: Place, context: Context, _raw: Map) -> Value:
        if not arguments or not isinstance(arguments[0], str):
            raise self._fail(
                Code.BAD_FUNCTION, place, "get_input takes the name of an input", "write: { get_input: name }", context
            )
        name = arguments[0]
        if name not in self._inputs.names():
            hint = meant(name, self._inputs.names()) or "declare it in inputs"
            raise self._fail(Code.UNKNOWN_INPUT, place, f'there is no input "{name}"', hint, context)
        return self._into(self._inputs.value(name), arguments[1:], place, context, f'the input "{name}"')

    def _get_property(self, arguments: list[Any], place: Place, context: Context, _raw: Map) -> Value:
        if len(arguments) < 2:
            raise self._fail(
                Code.BAD_FUNCTION,
                place,
                "get_property takes a node and a property",
                "write: { get_property: [ SELF, name ] }",
                context,
            )
        who, name, *rest = arguments
        link = context.relationship
        if who == "SELF" and link is not None and isinstance(name, str):
            if name not in link.type.properties and name not in link.properties:
                hint = meant(name, link.type.properties)
                said = f'the relationship to "{link.target.name}" has no property "{name}"'
                raise self._fail(Code.UNKNOWN_PROPERTY, place, said, hint, context)
            return self._into(self.relationship_property(link, name), rest, place, context, f'"{name}"')
        if who == "HOST" and context.node is not None:
            return self._property_of_host(context.node, str(name), rest, place, context)
        node = self._node(who, place, context, "get_property")
        found = self._property_in(node, str(name), rest, place, context)
        if found is None:
            known = {*node.type.properties, *node.type.capabilities, *node.type.requirements}
            said = f'"{node.name}" has no property, capability or requirement "{name}"'
            raise self._fail(Code.UNKNOWN_PROPERTY, place, said, meant(str(name), known), context)
        return found[0]

    def _property_of_host(self, node: Node, name: str, rest: list[Any], place: Place, context: Context) -> Value:
        for host in node.hosts():
            inner = rest[0] if rest and isinstance(rest[0], str) else None
            capability = host.type.capabilities.get(name)
            if name in host.type.properties or (capability is not None and inner in capability.properties):
                found = self._property_in(host, name, rest, place, context)
                if found is not None:
                    return found[0]
        hint = "" if node.host is not None else f'add "host" to the requirements of {node.name}'
        said = f'no host of "{node.name}" has a property "{".".join(str(p) for p in (name, *rest))}"'
        raise self._fail(Code.UNKNOWN_PROPERTY, place, said, hint, context)

    def _property_in(
        self, node: Node, name: str, rest: list[Any], place: Place, context: Context
    ) -> tuple[Value] | None:
        """Look where TOSCA 1.3, section 4.4.2 says: property, then requirement's target, then capability."""
        if name in node.type.properties or name in node.properties:
            label = f'"{name}" of "{node.name}"'
            return (self._into(self.property_of(node, name), rest, place, context, label),)
        if not rest:
            return None
        inner = str(rest[0])
        requirement = next((r for r in node.requirements if r.name == name and r.target is not None), None)
        if requirement is not None and requirement.target is not None:
            target = requirement.target
            wanted = requirement.definition.capability if requirement.definition else ""
            capabilities = [c for c in target.type.capabilities.values() if c.name == name]
            capabilities += [c for c in target.type.capabilities.values() if wanted in c.lineage]
            for capability in capabilities:
                if inner in capability.properties:
                    value = self.capability_property(target, capability.name, inner)
                    return (self._into(value, rest[1:], place, context, f'"{inner}"'),)
            if inner in target.type.properties:
                value = self.property_of(target, inner)
                return (self._into(value, rest[1:], place, context, f'"{inner}"'),)
            said = f'"{target.name}", the {name} of "{node.name}", has no property "{inner}"'
            raise self._fail(Code.UNKNOWN_PROPERTY, place, said, "", context)
        own = node.type.capabilities.get(name)
        if own is None:
            if name in node.type.requirements:
                said = f'nothing fulfils the requirement "{name}" of "{node.name}"'
                raise self._fail(Code.UNKNOWN_PROPERTY, place, said, "", context)
            return None
        if inner not in own.properties:
            said = f'the capability "{name}" of "{node.name}" has no property "{inner}"'
            raise self._fail(Code.UNKNOWN_PROPERTY, place, said, meant(inner, own.properties), context)
        value = self.capability_property(node, name, inner)
        return (self._into(value, rest[1:], place, context, f'"{inner}"'),)

    def _into(self, value: Value, path: list[Any], place: Place, context: Context, label: str) -> Value:
        for step in path:
            if value is None:
                return None
            if isinstance(value, Attribute) and isinstance(step, str | int):
                value = Attribute(value.node, (*value.path, step), value.scope)
            elif isinstance(value, Mapping) and str(step) in value:
                value = value[str(step)]
            elif isinstance(value, tuple) and _index(step) is not None and -len(value) <= int(step) < len(value):
                value = value[int(step)]
            else:
                said = f"{label} is {shown(value)} and has nothing at {shown(step)}"
                raise self._fail(Code.BAD_FUNCTION, place, said, "", context)
        return value

    def _get_attribute(self, arguments: list[Any], place: Place, context: Context, _raw: Map) -> Value:
        if len(arguments) < 2 or not isinstance(arguments[1], str):
            raise self._fail(
                Code.BAD_FUNCTION,
                place,
                "get_attribute takes a node and an attribute",
                "write: { get_attribute: [ SELF, private_address, 0 ] }",
                context,
            )
        who, name, *rest = arguments
        for step in rest:
            if not isinstance(step, str | int) or isinstance(step, bool):
                said = f"get_attribute takes names and indices, not {shown(step)}"
                raise self._fail(Code.BAD_FUNCTION, place, said, "", context)
        if who == "HOST":
            node = self._host_with(name, rest, place, context)
        else:
            node = self._node(who, place, context, "get_attribute")
            if not _has_attribute(node, name, rest):
                return self._property_as_attribute(node, name, rest, place, context)
        scope = Scope.OWN if who in _KEYWORDS else Scope.GROUP
        if not node.is_machine and name == "tosca_name" and not rest:
            return node.name
        if name in {"private_address", "public_address"} and rest and not isinstance(rest[0], int):
            said = f"{name} is a list of addresses, and {shown(rest[0])} is no index"
            raise self._fail(Code.BAD_FUNCTION, place, said, f"write: [ {who}, {name}, 0 ]", context)
        if node.is_machine and rest and rest[0] == "ip_address" and name not in node.type.attributes:
            public = str(self._endpoint_network(node, name)).upper().endswith("PUBLIC")
            address = "public_address" if public else "private_address"
            return Attribute(node.name, (address, *(rest[1:] or [0])), scope)
        return Attribute(node.name, (name, *rest), scope)

    def _endpoint_network(self, node: Node, capability: str) -> Value:
        definition = node.type.capabilities.get(capability)
        if definition is None or "network_name" not in definition.properties:
            return None
        return self.capability_property(node, capability, "network_name")

    def _host_with(self, name: str, rest: list[Any], place: Place, context: Context) -> Node:
        if context.node is None:
            raise self._fail(
                Code.BAD_FUNCTION,
                place,
                "HOST means nothing in an output: no node stands behind it",
                "write the node's name",
                context,
            )
        node = context.node
        for host in node.hosts():
            if _has_attribute(host, name, rest):
                return host
        if node.host is None and node.is_machine and _has_attribute(node, name, rest):
            return node  # a machine is its own host
        hint = "" if node.host is not None else f'add "host" to the requirements of {node.name}'
        said = f'no host of "{node.name}" has an attribute "{".".join(str(p) for p in (name, *rest))}"'
        raise self._fail(Code.UNKNOWN_ATTRIBUTE, place, said, hint, context)

    def _property_as_attribute(self, node: Node, name: str, rest: list[Any], place: Place, context: Context) -> Value:
        if name in node.type.properties or name in node.properties:
            return self._into(self.property_of(node, name), rest, place, context, f'"{name}" of "{node.name}"')
        requirement = next((r for r in node.requirements if r.name == name and r.target is not None), None)
        if requirement is not None and requirement.target is not None and rest and isinstance(rest[0], str):
            target = requirement.target
            if _has_attribute(target, rest[0], rest[1:]):
                return Attribute(target.name, tuple(rest))
            for capability in target.type.capabilities.values():
                if rest[0] in capability.attributes:
                    return Attribute(target.name, (capability.name, *rest))
        known = {*node.type.attributes, *node.type.properties, *node.type.capabilities}
        said = f'"{node.name}" has no attribute "{name}"'
        raise self._fail(Code.UNKNOWN_ATTRIBUTE, place, said, meant(name, known), context)

    def _get_artifact(self, arguments: list[Any], place: Place, context: Context, _raw: Map) -> Value:
        if len(arguments) < 2 or not isinstance(arguments[1], str):
            raise self._fail(
                Code.BAD_FUNCTION,
                place,
                "get_artifact takes a node and an artifact",
                "write: { get_artifact: [ SELF, name ] }",
                context,
            )
        node = self._node(arguments[0], place, context, "get_artifact")
        found = node.artifacts.get(arguments[1])
        if found is None:
            said = f'"{node.name}" has no artifact "{arguments[1]}"'
            raise self._fail(Code.UNKNOWN_ARTIFACT, place, said, meant(arguments[1], node.artifacts), context)
        return self._artifact_location(*found)

    def _get_operation_output(self, arguments: list[Any], place: Place, context: Context, _raw: Map) -> Value:
        if len(arguments) != 4 or not all(isinstance(a, str) for a in arguments):
            raise self._fail(
                Code.BAD_FUNCTION,
                place,
                "get_operation_output takes a node, an interface, an operation and a name",
                "write: { get_operation_output: [ SELF, Standard, configure, name ] }",
                context,
            )
        who, said_interface, operation, variable = arguments
        node = self._node(who, place, context, "get_operation_output")
        interface = canonical(said_interface)
        known = {STANDARD: STANDARD_OPERATIONS, CONFIGURE: HOOKS}.get(interface)
        if known is None:
            defined = node.interfaces.get(interface)
            if defined is None:
                said = f'"{node.name}" has no interface "{said_interface}"'
                hint = meant(interface, [*node.interfaces, STANDARD])
                raise self._fail(Code.UNKNOWN_INTERFACE, place, said, hint, context)
            known = tuple(defined.operations)
        if operation not in known:
            said = f'the interface {interface} of "{node.name}" has no operation "{operation}"'
            raise self._fail(Code.UNKNOWN_OPERATION, place, said, meant(operation, known), context)
        scope = Scope.OWN if who in _KEYWORDS else Scope.GROUP
        return OperationOutput(node.name, interface, operation, variable, scope)

    def _get_nodes_of_type(self, arguments: list[Any], place: Place, context: Context, _raw: Map) -> Value:
        kind = arguments[0] if len(arguments) == 1 else None
        if not isinstance(kind, str):
            raise self._fail(
                Code.BAD_FUNCTION,
                place,
                "get_nodes_of_type takes one node type",
                "write: { get_nodes_of_type: tosca.nodes.Compute }",
                context,
            )
        full = self._library.full_name("node", kind)
        if full is None:
            hint = self._library.meant("node", kind)
            raise self._fail(Code.UNKNOWN_TYPE, place, f"there is no node type {kind}", hint, context)
        return tuple(n.name for n in self._nodes.values() if full in n.type.lineage)

    def _concat(self, arguments: list[Any], place: Place, context: Context, raw: Map) -> Value:
        if not arguments:
            raise self._fail(Code.BAD_FUNCTION, place, "concat takes at least one text", "", context)
        parts = self._all(raw["concat"], place, context)
        return _folded(parts) if _is_clear(parts) else Concat(parts)

    def _join(self, arguments: list[Any], place: Place, context: Context, raw: Map) -> Value:
        listed = raw["join"]
        bad = len(arguments) not in {1, 2} or (len(arguments) == 2 and not isinstance(arguments[1], str))
        if bad or not isinstance(listed, Seq):
            raise self._fail(
                Code.BAD_FUNCTION,
                place,
                "join takes a list and a delimiter",
                'write: { join: [ [ a, b ], "," ] }',
                context,
            )
        parts = self.evaluate(listed[0], listed.items_at[0], context)
        delimiter = str(arguments[1]) if len(arguments) == 2 else ""
        if isinstance(parts, tuple) and _is_clear(parts):
            return _folded(parts, delimiter)
        if not isinstance(parts, tuple) and not is_runtime(parts):
            raise self._fail(Code.BAD_FUNCTION, place, f"join takes a list, not {shown(parts)}", "", context)
        return Join(parts, delimiter)

    def _token(self, arguments: list[Any], place: Place, context: Context, raw: Map) -> Value:
        listed = raw["token"]
        well = (
            isinstance(listed, Seq)
            and len(arguments) == 3
            and isinstance(arguments[1], str)
            and arguments[1] != ""
            and isinstance(arguments[2], int)
        )
        if not well or not isinstance(listed, Seq):
            raise self._fail(
                Code.BAD_FUNCTION,
                place,
                "token takes a text, a separator and the index of the part",
                'write: { token: [ text, ":", 0 ] }',
                context,
            )
        text = self.evaluate(listed[0], listed.items_at[0], context)
        separator, index = str(arguments[1]), int(arguments[2])
        if is_runtime(text) or isinstance(text, Secret):
            return Token(text, separator, index)
        parts = _text(text).split(separator)
        if not 0 <= index < len(parts):
            said = f"token wants part {index} of {shown(text)}, which has {len(parts)} when split at {shown(separator)}"
            raise self._fail(Code.BAD_FUNCTION, place, said, "count from 0", context)
        return parts[index]

    def _all(self, raw: Yaml, place: Place, context: Context) -> tuple[Value, ...]:
        value = self.evaluate(raw, place, context)
        return value if isinstance(value, tuple) else (value,)

    def _node(self, who: Any, place: Place, context: Context, function: str) -> Node:
        """Return the node template that a function's first argument names."""
        link = context.relationship
        if who in {"SOURCE", "TARGET"}:
            if link is None:
                said = f"{who} means something only in a relationship, not here"
                raise self._fail(Code.BAD_FUNCTION, place, said, "write SELF, HOST or a node's name", context)
            return link.source if who == "SOURCE" else link.target
        if who in {"SELF", "HOST"}:
            if context.node is None:
                said = f"{who} means nothing in an output: no node stands behind it"
                raise self._fail(Code.BAD_FUNCTION, place, said, "write the node's name", context)
            if who == "SELF":
                return context.node
            if context.node.host is not None:
                return context.node.host
            raise self._fail(Code.UNKNOWN_NODE, place, f'"{context.node.name}" has no host', "", context)
        if isinstance(who, Map) and isinstance(who.get("node"), str):
            who = who["node"]
        node = self._nodes.get(who) if isinstance(who, str) else None
        if node is None:
            said = f"{function} names the node {shown(who)}, which does not exist"
            raise self._fail(Code.UNKNOWN_NODE, place, said, meant(who, [*self._nodes, *_KEYWORDS]), context)
        return node


def _index(step: object) -> int | None:
    if isinstance(step, bool):
        return None
    if isinstance(step, int):
        return step
    return int(step) if isinstance(step, str) and step.isascii() and step.isdigit() and len(step) < 9 else None


def _has_attribute(node: Node, name: str, rest: list[Any]) -> bool:
    if name in node.type.attributes or name in node.attributes:
        return True
    capability = node.type.capabilities.get(name)
    return capability is not None and (not rest or rest[0] in capability.attributes)


def _is_clear(parts: tuple[Value, ...]) -> bool:
    return not any(isinstance(p, Secret | tuple | Mapping) or is_runtime(p) for p in parts)


def _folded(parts: tuple[Value, ...], delimiter: str = "") -> str:
    return delimiter.join(_text(p) for p in parts)


def _text(value: Value) -> str:
    """Write a plain value as `topology.resolve` does at run time."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _call_name(key: tuple[object, str, str]) -> str:
    owner, capability, name = key
    who = owner.name if isinstance(owner, Node) else "relationship"
    return ".".join(p for p in (who, capability, name) if p)


def _short(type_name: str) -> str:
    return type_name.removeprefix("tosca.datatypes.")


def _article(kind: str) -> str:
    if kind.startswith("scalar-unit."):
        return f"a {kind.removeprefix('scalar-unit.')} with its unit"
    if kind == "string":
        return "text"
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"


def _fields_hint(definition: TypeDefinition) -> str:
    required = [n for n, s in definition.properties.items() if s.required and not s.has_default]
    names = required or list(definition.properties)[:3]
    return f"write: {{ {', '.join(f'{n}: ...' for n in names)} }}" if names else ""
