"""Interfaces and their operations, as types define them and templates complete them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from im_client.template.findings import Findings, Place
from im_client.template.problems import Code
from im_client.tosca.schema import SCHEMA_KEYS
from im_client.tosca.source import Map, Yaml, key_place, value_place

__all__ = [
    "CONFIGURE",
    "HOOKS",
    "STANDARD",
    "STANDARD_OPERATIONS",
    "Interface",
    "OperationDefinition",
    "canonical",
    "read_interfaces",
]

STANDARD: Final = "Standard"
CONFIGURE: Final = "Configure"
STANDARD_OPERATIONS: Final = ("create", "configure", "start", "stop", "delete")
HOOKS: Final = (
    "pre_configure_source",
    "pre_configure_target",
    "post_configure_source",
    "post_configure_target",
    "add_target",
    "add_source",
    "target_changed",
    "remove_target",
    "remove_source",
)
_ALIASES: Final = {
    "tosca.interfaces.node.lifecycle.Standard": STANDARD,
    "tosca:Standard": STANDARD,
    "tosca.interfaces.relationship.Configure": CONFIGURE,
    "tosca.interfaces.node.relationship.Configure": CONFIGURE,
    "tosca:Configure": CONFIGURE,
}
_NO_OPERATIONS: Final = frozenset({"type", "inputs", "description", "derived_from", "version", "metadata"})
_OPERATION_KEYS: Final = frozenset({"description", "implementation", "inputs", "outputs"})


@dataclass(frozen=True, slots=True)
class OperationDefinition:
    """An operation with what it runs and its inputs. `implementation` is None where none is given."""

    name: str
    place: Place
    implementation: Yaml = None
    implementation_at: Place | None = None
    inputs: Mapping[str, tuple[Yaml, Place]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Interface:
    """An interface with its operations by name. `type` is as written, None where it goes without saying."""

    name: str
    type: str | None
    place: Place
    operations: Mapping[str, OperationDefinition] = field(default_factory=dict)


def canonical(name: str) -> str:
    """Return `Standard` or `Configure` for their long names, other names as they are."""
    return _ALIASES.get(name, name)


def read_interfaces(
    raw: Yaml, place: Place, inherited: Mapping[str, Interface], findings: Findings
) -> dict[str, Interface]:
    """Lay interfaces over inherited ones: implementations replace, inputs are merged by name."""
    merged = dict(inherited)
    if raw is None:
        return merged
    if not isinstance(raw, Map):
        findings.add(Code.NOT_A_MAP, place, '"interfaces" is no mapping', "write: interfaces: { Standard: ... }")
        return merged
    for said, body in raw.items():
        name = canonical(said)
        at = key_place(raw, said)
        if body is None:
            continue
        if not isinstance(body, Map):
            findings.add(Code.NOT_A_MAP, value_place(raw, said), f'the interface "{said}" is no mapping')
            continue
        merged[name] = _read_interface(name, body, at, merged.get(name), findings)
    return merged


def _read_interface(name: str, body: Map, at: Place, inherited: Interface | None, findings: Findings) -> Interface:
    kind = body.get("type")
    operations = dict(inherited.operations) if inherited else {}
    common = _inputs(body, f'interface "{name}"', findings)
    listed = body.get("operations")
    section = listed if isinstance(listed, Map) else body
    reserved = _NO_OPERATIONS if section is body else frozenset()
    for operation, definition in section.items():
        if operation in reserved or (section is body and operation in {"operations", "notifications"}):
            continue
        place = key_place(section, operation)
        base = operations.get(operation) or OperationDefinition(operation, place)
        operations[operation] = _read_operation(base, definition, section, common, findings)
    if common:
        for operation, known in operations.items():
            if operation not in section:
                operations[operation] = replace(known, inputs={**known.inputs, **common})
    return Interface(name, kind if isinstance(kind, str) else inherited.type if inherited else None, at, operations)


def _read_operation(
    base: OperationDefinition,
    raw: Yaml,
    section: Map,
    common: Mapping[str, tuple[Yaml, Place]],
    findings: Findings,
) -> OperationDefinition:
    place, at = key_place(section, base.name), value_place(section, base.name)
    if isinstance(raw, str):
        return replace(base, place=place, implementation=raw, implementation_at=at, inputs={**base.inputs, **common})
    if raw is None:
        return replace(base, inputs={**base.inputs, **common})
    if not isinstance(raw, Map):
        findings.add(
            Code.WRONG_TYPE,
            at,
            f'the operation "{base.name}" is neither a file name nor a mapping',
            "write: configure: { implementation: playbook.yml }",
        )
        return base
    for key in raw:
        if key not in _OPERATION_KEYS:
            findings.add(
                Code.UNKNOWN_KEY,
                key_place(raw, key),
                f'the operation "{base.name}" has the unknown key "{key}"',
                f"known: {', '.join(sorted(_OPERATION_KEYS))}",
            )
    inputs = {**base.inputs, **common, **_inputs(raw, f'operation "{base.name}"', findings)}
    said = raw.get("implementation")
    if said is None:
        return replace(base, place=place, inputs=inputs)
    return OperationDefinition(base.name, place, said, value_place(raw, "implementation"), inputs)


def _inputs(body: Map, owner: str, findings: Findings) -> dict[str, tuple[Yaml, Place]]:
    raw = body.get("inputs")
    if raw is None:
        return {}
    if not isinstance(raw, Map):
        findings.add(Code.NOT_A_MAP, value_place(body, "inputs"), f'"inputs" of the {owner} is no mapping')
        return {}
    found: dict[str, tuple[Yaml, Place]] = {}
    for name, value in raw.items():
        at = value_place(raw, name)
        if isinstance(value, Map) and isinstance(value.get("type"), str) and set(value) <= SCHEMA_KEYS:
            word = "value" if "value" in value else "default"  # a definition, not a value
            found[name] = (value.get(word), value_place(value, word))
        else:
            found[name] = (value, at)
    return found
