"""Checking values against schemas, through lists, maps and data types, and giving them their one form."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code, Level
from im_client.topology.values import Value
from im_client.tosca.model import Context
from im_client.tosca.schema import Clause, Constraint, Schema
from im_client.tosca.source import Map, Seq, Yaml, value_place
from im_client.tosca.types import Library, TypeDefinition
from im_client.tosca.values import (
    SCALAR_UNITS,
    SIMPLE_TYPES,
    Mismatch,
    is_runtime,
    shown,
    simple_value,
    violated,
)

__all__ = ["PORT_SPEC", "Conformity", "Spot"]

PORT_SPEC: Final = "tosca.datatypes.network.PortSpec"


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a value stands and what it is called. `computed`: a function gave it; `strict`: text takes no numbers."""

    place: Place
    context: Context
    label: str
    computed: bool = False
    strict: bool = False

    def inner(self, place: Place, label: str) -> "Spot":
        """Return the spot of a part."""
        return replace(self, place=place, label=label)


class Conformity:
    """Checks values of one template; functions in them are left to `evaluate`."""

    def __init__(
        self, library: Library, findings: Findings, evaluate: Callable[[Yaml, Place, Context], tuple[bool, Value]]
    ) -> None:
        self._library = library
        self._findings = findings
        self._evaluate = evaluate
        """Returns whether the YAML was a function, and its value with all functions in it computed."""

    def check(self, raw: Any, schema: Schema, spot: Spot) -> Value:
        """Evaluate, check and form a value. None with a problem where it is wrong."""
        if isinstance(raw, Map) and len(raw) == 1:
            is_call, value = self._evaluate(raw, spot.place, spot.context)
            if is_call:
                if value is None or is_runtime(value):
                    return value
                return self._conform(value, schema, replace(spot, computed=True, strict=False))
        return self._conform(raw, schema, spot)

    def constrain(self, value: Value, schema: Schema, spot: Spot) -> None:
        """Check a value against the constraints of its schema. What a function computed is only warned of.

        tosca-parser does not look at such values at all. The catalogue says size 0 in this way for "no disk",
        although the type wants at least 1 MB: of that nothing is said.
        """
        for constraint in schema.constraints:
            if value is None or is_runtime(value):
                return
            broken = self._broken(value, schema.type, constraint, spot)
            lower_bound = constraint.clause is Clause.GREATER_OR_EQUAL and schema.type in SCALAR_UNITS
            if broken and not (spot.computed and lower_bound):
                level = Level.WARNING if spot.computed else Level.ERROR
                said = f'"{spot.label}" {broken}: {shown(value)}'
                self._problem(Code.CONSTRAINT_VIOLATED, spot, said, level=level)

    def _broken(self, value: Value, kind: str, constraint: Constraint, spot: Spot) -> str:
        try:
            return violated(value, kind, constraint)
        except Mismatch as mismatch:
            said = f'a constraint of "{spot.label}" does not fit its type: {mismatch.message}'
            self._problem(Code.BAD_CONSTRAINT, spot.inner(constraint.place, spot.label), said, mismatch.hint)
            return ""

    def _problem(self, code: Code, spot: Spot, message: str, hint: str = "", *, level: Level = Level.ERROR) -> None:
        level = Level.WARNING if spot.context.lenient else level
        self._findings.add(code, spot.place, message, hint, level)

    def _conform(self, raw: Any, schema: Schema, spot: Spot) -> Value:
        kind = schema.type
        if kind == "list" or (kind == "map" and isinstance(raw, list | tuple) and self._is_ports(schema)):
            value = self._list(raw, schema, spot)
        elif kind == "map":
            value = self._map(raw, schema, spot)
        elif kind in SIMPLE_TYPES:
            value = self._simple(raw, kind, spot)
        else:
            return self._data_type(raw, schema, spot)
        self.constrain(value, schema, spot)
        return value

    def _is_ports(self, schema: Schema) -> bool:
        """The catalogue writes the ports of an endpoint as a map or as a list."""
        if schema.entry is None:
            return False
        entry = self._library.find("data", schema.entry.type, schema.entry.scope)
        return entry is not None and PORT_SPEC in entry.lineage

    def _simple(self, raw: Any, kind: str, spot: Spot) -> Value:
        if isinstance(raw, Map):
            self._evaluate(raw, spot.place, spot.context)  # a misspelt function is named as such
        if spot.computed and kind == "string" and isinstance(raw, int | float):
            return raw  # tosca-parser does not turn what comes through a function into text
        try:
            return simple_value(raw, kind, strict=spot.strict and not spot.computed)
        except Mismatch as mismatch:
            return self._mismatch(raw, kind, spot, mismatch)

    def _mismatch(self, raw: Any, kind: str, spot: Spot, mismatch: Mismatch) -> Value:
        unset = isinstance(raw, str | int | float) and raw in ("", 0)
        if raw is None or (spot.computed and unset and kind != "string"):
            return None  # the catalogue's inputs say "" or 0 for "not set"
        if spot.computed and kind == "string":
            said = f'"{spot.label}" shall be text: {mismatch.message}'
            self._problem(Code.WRONG_TYPE, spot, said, level=Level.WARNING)
            return raw  # type: ignore[no-any-return]
        if kind == "integer" and isinstance(raw, float) and abs(raw) < 2**53:
            said = f'"{spot.label}" shall be an integer: {raw} is taken as {int(raw)}'
            self._problem(Code.WRONG_TYPE, spot, said, level=Level.WARNING)
            return int(raw)
        if spot.computed and kind == "scalar-unit.size" and isinstance(raw, int | float):
            # tosca-parser lets a number without a unit pass through get_input; the catalogue means MiB by it.
            self._problem(
                Code.BAD_UNIT,
                spot,
                f'"{spot.label}" is {raw} without a unit: taken as {raw} MiB',
                f'write: {{ concat: [ ..., " MiB" ] }}, or give the input as {raw} MiB',
                level=Level.WARNING,
            )
            return f"{raw} MiB"
        code = Code.BAD_UNIT if mismatch.unit else Code.WRONG_TYPE
        said = f'"{spot.label}" shall be {_article(kind)}: {mismatch.message}'
        self._problem(code, spot, said, mismatch.hint)
        return None

    def _list(self, raw: Any, schema: Schema, spot: Spot) -> Value:
        if not isinstance(raw, list | tuple):
            return self._wrong_shape(raw, spot, "a list", "write: [ ... ]")
        items: list[Value] = []
        for index, item in enumerate(raw):
            at = raw.items_at[index] if isinstance(raw, Seq) else spot.place
            items.append(self._entry(item, schema.entry, spot.inner(at, f"{spot.label}[{index}]")))
        return tuple(items)

    def _map(self, raw: Any, schema: Schema, spot: Spot) -> Value:
        if not isinstance(raw, Mapping):
            return self._wrong_shape(raw, spot, "a mapping", "write: { key: value }")
        found: dict[str, Value] = {}
        for key, item in raw.items():
            at = value_place(raw, key) if isinstance(raw, Map) else spot.place
            if schema.key is not None:
                self._entry(key, schema.key, spot.inner(at, f"key of {spot.label}"))
            found[key] = self._entry(item, schema.entry, spot.inner(at, f"{spot.label}.{key}"))
        return found

    def _wrong_shape(self, raw: Any, spot: Spot, shape: str, hint: str) -> Value:
        level = Level.WARNING if spot.computed else Level.ERROR
        self._problem(
            Code.WRONG_TYPE, spot, f'"{spot.label}" shall be {shape}: {shown(raw)} is none', hint, level=level
        )
        return raw if spot.computed else None

    def _entry(self, raw: Any, schema: Schema | None, spot: Spot) -> Value:
        if raw is None or schema is None:
            return self._free(raw, spot)
        if spot.computed and is_runtime(raw):
            return raw  # type: ignore[no-any-return]
        return self.check(raw, schema, replace(spot, strict=not spot.computed))

    def _free(self, raw: Any, spot: Spot) -> Value:
        if isinstance(raw, Map | Seq):
            return self._evaluate(raw, spot.place, spot.context)[1]
        return raw  # type: ignore[no-any-return]

    def _data_type(self, raw: Any, schema: Schema, spot: Spot) -> Value:
        definition = self._library.find("data", schema.type, schema.scope)
        if definition is None:
            hint = self._library.meant("data", schema.type)
            at = spot.inner(schema.place, spot.label)
            self._problem(Code.UNKNOWN_TYPE, at, f'"{spot.label}" has the unknown type {schema.type}', hint)
            return self._free(raw, spot)
        if definition.base is not None:
            constraints = (*definition.constraints, *schema.constraints)
            inner = Schema(definition.base, schema.place, constraints=constraints, entry=schema.entry)
            return self._conform(raw, inner, replace(spot, strict=not spot.computed))
        if isinstance(raw, Mapping):
            return self._fields(raw, definition, spot)
        if definition.properties or not isinstance(raw, str | int | float):
            said = f'"{spot.label}" shall be a {_short(definition.name)}: {shown(raw)} is no mapping'
            self._problem(Code.WRONG_TYPE, spot, said, _fields_hint(definition))
            return None
        return raw

    def _fields(self, raw: Mapping[str, Any], definition: TypeDefinition, spot: Spot) -> Value:
        known = definition.properties
        if not known:
            return {k: self._free(v, spot) for k, v in raw.items()}
        found: dict[str, Value] = {}
        for key, item in raw.items():
            inner = spot.inner(value_place(raw, key) if isinstance(raw, Map) else spot.place, f"{spot.label}.{key}")
            if key in known:
                found[key] = self._entry(item, known[key], inner)
            else:
                said = f'"{spot.label}" has no field "{key}": {_short(definition.name)} does not know it'
                at = raw.keys_at[key] if isinstance(raw, Map) else spot.place
                self._problem(Code.UNKNOWN_PROPERTY, spot.inner(at, spot.label), said, meant(key, known))
        for key, schema in known.items():
            if key in raw:
                continue
            if schema.default is not None and schema.default_at is not None:
                inner = Spot(schema.default_at, spot.context, f"{spot.label}.{key}")
                found[key] = self.check(schema.default, schema, inner)
            elif schema.required:
                said = f'"{spot.label}" lacks the field "{key}", which {_short(definition.name)} requires'
                self._problem(Code.MISSING_PROPERTY, spot, said, f"add: {key}: ...")
        if PORT_SPEC in definition.lineage:
            self._check_port(raw, spot)
        return found

    def _check_port(self, raw: Mapping[str, Any], spot: Spot) -> None:
        """TOSCA 1.3, section 5.3.10: a PortSpec says at least one port."""
        words = ("source", "source_range", "target", "target_range")
        if all(raw.get(word) is None for word in words):
            said = f'the port "{spot.label}" has none of {", ".join(words[:3])} and {words[3]}'
            self._problem(Code.BAD_PORT, spot, said, "write: source: 80")


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
