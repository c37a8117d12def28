"""What a value shall be: its type, constraints, default and the schema of its entries."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code
from im_client.tosca.source import Map, Seq, Yaml, key_place, value_place

__all__ = ["SCHEMA_KEYS", "Clause", "Constraint", "Schema", "read_constraints", "read_schema"]

SCHEMA_KEYS: Final = frozenset(
    {
        "type",
        "required",
        "description",
        "default",
        "value",
        "constraints",
        "entry_schema",
        "key_schema",
        "status",
        "metadata",
        "external-schema",
    }
)


class Clause(StrEnum):
    """Constraint operators: TOSCA Simple Profile 1.3, section 3.6.3."""

    EQUAL = "equal"
    GREATER_THAN = "greater_than"
    GREATER_OR_EQUAL = "greater_or_equal"
    LESS_THAN = "less_than"
    LESS_OR_EQUAL = "less_or_equal"
    IN_RANGE = "in_range"
    VALID_VALUES = "valid_values"
    LENGTH = "length"
    MIN_LENGTH = "min_length"
    MAX_LENGTH = "max_length"
    PATTERN = "pattern"
    SCHEMA = "schema"


@dataclass(frozen=True, slots=True)
class Constraint:
    """One clause with its argument as it was written."""

    clause: Clause
    argument: Yaml
    place: Place


@dataclass(frozen=True, slots=True)
class Schema:
    """The definition of a property, attribute, input or entry. `type` is as written; `scope` is the namespace."""

    type: str
    place: Place
    required: bool = True
    default: Yaml = None
    default_at: Place | None = None
    description: str = ""
    constraints: tuple[Constraint, ...] = ()
    entry: "Schema | None" = None
    key: "Schema | None" = None
    scope: str = ""

    @property
    def has_default(self) -> bool:
        """Whether a default is written, be it null."""
        return self.default_at is not None


def read_schema(name: str, raw: Yaml, place: Place, findings: Findings, scope: str = "") -> Schema | None:
    """Read a definition; a bare type name is one, too. None with a problem where it is none."""
    if isinstance(raw, str):
        return Schema(raw, place, scope=scope)
    if not isinstance(raw, Map):
        findings.add(Code.NOT_A_MAP, place, f'the definition of "{name}" is no mapping', "write: type: string")
        return None
    for key in raw:
        if key not in SCHEMA_KEYS:
            findings.add(
                Code.UNKNOWN_KEY,
                key_place(raw, key),
                f'the definition of "{name}" has the unknown key "{key}"',
                meant(key, SCHEMA_KEYS),
            )
    kind = raw.get("type")
    if not isinstance(kind, str):
        findings.add(
            Code.UNKNOWN_TYPE,
            value_place(raw, "type"),
            f'the definition of "{name}" has no type',
            "write: type: string",
        )
        return None
    required = raw.get("required", True)
    if not isinstance(required, bool):
        findings.add(Code.WRONG_TYPE, value_place(raw, "required"), f'"required" of "{name}" is no boolean')
        required = True
    default_key = "default" if "default" in raw else "value" if "value" in raw else None
    return Schema(
        type=kind,
        place=key_place(raw, "type"),
        required=required,
        default=raw.get(default_key) if default_key else None,
        default_at=value_place(raw, default_key) if default_key else None,
        description=str(raw.get("description") or "").strip(),
        constraints=read_constraints(name, raw.get("constraints"), value_place(raw, "constraints"), findings),
        entry=_nested(name, raw, "entry_schema", findings, scope),
        key=_nested(name, raw, "key_schema", findings, scope),
        scope=scope,
    )


def _nested(name: str, raw: Map, key: str, findings: Findings, scope: str) -> Schema | None:
    inner = raw.get(key)
    if inner is None:
        return None
    return read_schema(f"{key} of {name}", inner, value_place(raw, key), findings, scope)


def read_constraints(name: str, raw: Yaml, place: Place, findings: Findings) -> tuple[Constraint, ...]:
    """Read a list of clauses; what is none is left out with a problem."""
    if raw is None:
        return ()
    if isinstance(raw, Map):  # a single clause without the list
        single = Seq(raw.at)
        single.put(raw, raw.at)
        raw = single
    if not isinstance(raw, Seq):
        findings.add(Code.BAD_CONSTRAINT, place, f'the constraints of "{name}" are no list of clauses')
        return ()
    found: list[Constraint] = []
    for index, item in enumerate(raw):
        at = raw.items_at[index]
        if not isinstance(item, Map) or len(item) != 1:
            findings.add(
                Code.BAD_CONSTRAINT,
                at,
                f'a constraint of "{name}" is not one clause with its argument',
                "write: - greater_or_equal: 1",
            )
            continue
        (word, argument), *_ = item.items()
        if word not in Clause.__members__.values():
            findings.add(
                Code.BAD_CONSTRAINT,
                key_place(item, word),
                f'"{name}" has the unknown constraint "{word}"',
                meant(word, [c.value for c in Clause]),
            )
            continue
        clause = Clause(word)
        if _argument_fits(clause, argument):
            found.append(Constraint(clause, argument, value_place(item, word)))
        else:
            findings.add(
                Code.BAD_CONSTRAINT,
                value_place(item, word),
                f'the constraint "{word}" of "{name}" has an argument that does not fit it',
                {
                    Clause.IN_RANGE: "write: in_range: [ 1, 10 ]",
                    Clause.VALID_VALUES: "write: valid_values: [ a, b ]",
                }.get(clause, ""),
            )
    return tuple(found)


def _argument_fits(clause: Clause, argument: Yaml) -> bool:
    match clause:
        case Clause.VALID_VALUES:
            return isinstance(argument, Seq)
        case Clause.IN_RANGE:
            return isinstance(argument, Seq) and len(argument) == 2
        case Clause.LENGTH | Clause.MIN_LENGTH | Clause.MAX_LENGTH:
            return isinstance(argument, int) and not isinstance(argument, bool) and argument >= 0
        case Clause.PATTERN | Clause.SCHEMA:
            return isinstance(argument, str)
        case Clause.EQUAL:
            return True
        case _:
            return isinstance(argument, str | int | float) and not isinstance(argument, bool)
