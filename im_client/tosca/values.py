"""Checking values of simple types against schemas, and giving them their one form.

TOSCA Simple Profile 1.3, section 3.3. Where tosca-parser is more generous than the specification (numbers as text
for an integer, units in any case), so are we: what it accepts has the same value here.
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from typing import Any, Final

from im_client.topology.values import Attribute, Concat, Join, OperationOutput, Token, Value
from im_client.tosca.schema import Clause, Constraint
from im_client.tosca.source import Yaml
from infracore.secrets import Secret

__all__ = [
    "SCALAR_UNITS",
    "SIMPLE_TYPES",
    "Mismatch",
    "amount",
    "is_runtime",
    "plain",
    "shown",
    "simple_value",
    "violated",
]

SCALAR_UNITS: Final[Mapping[str, Mapping[str, float]]] = {
    "scalar-unit.size": {
        "B": 1,
        "kB": 1000,
        "KiB": 1024,
        "MB": 1000**2,
        "MiB": 1024**2,
        "GB": 1000**3,
        "GiB": 1024**3,
        "TB": 1000**4,
        "TiB": 1024**4,
    },
    "scalar-unit.time": {"d": 86400, "h": 3600, "m": 60, "s": 1, "ms": 1e-3, "us": 1e-6, "ns": 1e-9},
    "scalar-unit.frequency": {"Hz": 1, "kHz": 1e3, "MHz": 1e6, "GHz": 1e9},
    "scalar-unit.bitrate": {
        "bps": 1,
        "Kbps": 1e3,
        "Kibps": 1024,
        "Mbps": 1e6,
        "Mibps": 1024**2,
        "Gbps": 1e9,
        "Gibps": 1024**3,
        "Tbps": 1e12,
        "Tibps": 1024**4,
        "Bps": 8,
        "KBps": 8e3,
        "MBps": 8e6,
        "GBps": 8e9,
    },
}
SIMPLE_TYPES: Final = frozenset(
    {"string", "integer", "float", "number", "boolean", "timestamp", "version", "range", "list", "map", "any"}
    | set(SCALAR_UNITS)
)
_AMOUNT: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?|\.[0-9]+)\s*([A-Za-z]+)\s*")
_VERSION: Final = re.compile(r"[0-9]+(\.[0-9]+)?(\.[0-9]+)?(\.[0-9A-Za-z]+)?(-[0-9]*)?")
_EXAMPLES: Final = {
    "scalar-unit.size": "4 GiB",
    "scalar-unit.time": "10 m",
    "scalar-unit.frequency": "2.4 GHz",
    "scalar-unit.bitrate": "10 Mbps",
}


class Mismatch(Exception):
    """A value is not of its type; `unit` where only the unit is at fault."""

    def __init__(self, message: str, hint: str = "", *, unit: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.unit = unit


def is_runtime(value: Value) -> bool:
    """Say whether something in a value is known only when machines run, or is a text with a secret in it."""
    if value is None or isinstance(value, str | int | float | Secret):
        return False
    if isinstance(value, Attribute | OperationOutput | Concat | Join | Token):
        return True
    return any(is_runtime(v) for v in (value.values() if isinstance(value, Mapping) else value))


def plain(value: Yaml) -> Value:
    """Turn YAML into a value without looking for functions."""
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return tuple(plain(v) for v in value)
    return value


def shown(value: object) -> str:
    """Show a value in a message, cut where it is long."""
    if isinstance(value, Secret):
        return "the secret value"
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list | tuple):
        return "a list"
    text = str(value).replace("\n", "\\n")
    text = text if len(text) <= 60 else text[:57] + "..."
    return f'"{text}"' if isinstance(value, str) else text


def amount(text: str, kind: str) -> tuple[float, str]:
    """Read a scalar with its unit: the amount in base units, and the text in its one form (`4 GB`).

    Raises:
        Mismatch: no number, no unit, or an unknown one.
    """
    example = _EXAMPLES[kind]
    found = _AMOUNT.fullmatch(text)
    units = SCALAR_UNITS[kind]
    if found is None:
        raise Mismatch(f"{shown(text)} is not a number with a unit", f"write for example {example}", unit=True)
    unit = found[2] if found[2] in units else _UNIT_CASES[kind].get(found[2].lower())
    if unit is None:
        raise Mismatch(f"{shown(text)} has the unknown unit {found[2]}", f"known: {', '.join(units)}", unit=True)
    return float(found[1]) * units[unit], f"{found[1]} {unit}"


_UNIT_CASES: Final = {kind: {unit.lower(): unit for unit in units} for kind, units in SCALAR_UNITS.items()}


def simple_value(value: Any, kind: str, *, strict: bool) -> Value:
    """Return a value of a simple type (not list or map) in its one form. Strict text does not take numbers.

    Raises:
        Mismatch: it is not of the type.
    """
    if isinstance(value, Secret):
        if kind not in {"string", "any"}:
            try:
                simple_value(value.reveal(), kind, strict=strict)
            except Mismatch as mismatch:
                raise Mismatch(f"the secret value is no {kind}", unit=mismatch.unit) from None
        return value
    return _SIMPLE[kind](value, strict) if kind in _SIMPLE else _scalar_unit(value, kind)


def _string(value: Any, strict: bool) -> Value:
    if isinstance(value, str):
        return value
    if strict or isinstance(value, list | tuple | Mapping):
        hint = f'write "{shown(value)}"' if isinstance(value, int | float) else ""
        raise Mismatch(f"{shown(value)} is not text", hint)
    return str(value)


def _integer(value: Any, _strict: bool) -> Value:
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            pass
    if isinstance(value, float) and value.is_integer():
        return int(value)
    raise Mismatch(f"{shown(value)} is not an integer")


def _float(value: Any, _strict: bool) -> Value:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            raise Mismatch(f"{shown(value)} is too large for a float") from None
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    raise Mismatch(f"{shown(value)} is not a number")


def _number(value: Any, _strict: bool) -> Value:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    raise Mismatch(f"{shown(value)} is not a number")


def _boolean(value: Any, _strict: bool) -> Value:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise Mismatch(f"{shown(value)} is not a boolean", "write true or false")


def _timestamp(value: Any, _strict: bool) -> Value:
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
            return value
        except ValueError:
            if _parses_as_date(value):
                return value
    raise Mismatch(f"{shown(value)} is not a timestamp", "write for example 2026-01-31T12:00:00Z")


def _parses_as_date(text: str) -> bool:
    try:
        import_module("dateutil.parser").parse(text)
    except (ValueError, OverflowError):
        return False
    return True


def _version(value: Any, _strict: bool) -> Value:
    text = str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""
    if _VERSION.fullmatch(text) is None:
        raise Mismatch(f"{shown(value)} is not a version", "write for example 1.2.3")
    return text if "." in text or "-" in text or text == "0" else f"{text}.0"


def _range(value: Any, _strict: bool) -> Value:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise Mismatch(f"{shown(value)} is not a range", "write [ 1, 10 ] or [ 1, UNBOUNDED ]")
    low, high = value
    for bound in (low, high):
        if bound != "UNBOUNDED" and (not isinstance(bound, int | float) or isinstance(bound, bool)):
            raise Mismatch(f"{shown(bound)} is no bound of a range", "write a number or UNBOUNDED")
    if "UNBOUNDED" not in (low, high) and low > high:
        raise Mismatch(f"the range from {low} to {high} is empty", f"write [ {high}, {low} ]")
    return (low, high)


def _any(value: Any, _strict: bool) -> Value:
    return plain(value)


def _scalar_unit(value: Any, kind: str) -> Value:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Mismatch(f"{shown(value)} is not a number with a unit", f"write for example {_EXAMPLES[kind]}")
    if isinstance(value, int | float):
        unit = {"scalar-unit.size": "MiB", "scalar-unit.time": "s", "scalar-unit.frequency": "GHz"}.get(kind, "bps")
        raise Mismatch(f"{value} has no unit", f"write for example {value} {unit}", unit=True)
    return amount(value, kind)[1]


_SIMPLE: Final[Mapping[str, Callable[[Any, bool], Value]]] = {
    "string": _string,
    "integer": _integer,
    "float": _float,
    "number": _number,
    "boolean": _boolean,
    "timestamp": _timestamp,
    "version": _version,
    "range": _range,
    "any": _any,
}


def violated(value: Value, kind: str, constraint: Constraint) -> str:
    """Return what a value breaks of a constraint, "" where it keeps it.

    Raises:
        Mismatch: the constraint's argument cannot be compared with values of the type.
    """
    clear = value.reveal() if isinstance(value, Secret) else value
    argument = constraint.argument
    match constraint.clause:
        case Clause.VALID_VALUES:
            options = list(argument) if isinstance(argument, list) else []
            if any(_same(clear, option, kind) for option in options):
                return ""
            return f"is not one of {', '.join(_bare(o) for o in options)}"
        case Clause.EQUAL:
            return "" if _same(clear, argument, kind) else f"is not {_bare(argument)}"
        case Clause.PATTERN:
            return _pattern(clear, argument)
        case Clause.LENGTH | Clause.MIN_LENGTH | Clause.MAX_LENGTH:
            return _length(clear, constraint)
        case Clause.SCHEMA:
            return ""
        case Clause.IN_RANGE:
            bounds = argument if isinstance(argument, list) else []
            values = clear if isinstance(clear, tuple) else (clear,)
            for item in values:
                low, high = bounds
                if low != "UNBOUNDED" and _number_of(item, kind) < _number_of(low, kind):
                    return f"is below {_bare(low)}"
                if high != "UNBOUNDED" and _number_of(item, kind) > _number_of(high, kind):
                    return f"is above {_bare(high)}"
            return ""
        case clause:
            mine, other = _number_of(clear, kind), _number_of(argument, kind)
            keeps = {
                Clause.GREATER_THAN: mine > other,
                Clause.GREATER_OR_EQUAL: mine >= other,
                Clause.LESS_THAN: mine < other,
                Clause.LESS_OR_EQUAL: mine <= other,
            }[clause]
            return "" if keeps else f"is not {clause.value.replace('_', ' ')}{_than(clause)} {_bare(argument)}"


def _than(clause: Clause) -> str:
    return " to" if clause in {Clause.GREATER_OR_EQUAL, Clause.LESS_OR_EQUAL} else ""


def _bare(value: object) -> str:
    if value == "":
        return '""'
    return value if isinstance(value, str) else shown(value)


def _pattern(clear: Value, argument: Yaml) -> str:
    if not isinstance(argument, str) or not isinstance(clear, str):
        return ""
    try:
        return "" if re.fullmatch(argument, clear[:10_000]) else f"does not match the pattern {argument}"
    except (re.error, RecursionError, OverflowError):
        raise Mismatch(f"the pattern {shown(argument)} is not a regular expression") from None


def _length(clear: Value, constraint: Constraint) -> str:
    if not isinstance(clear, str | tuple | Mapping) or not isinstance(constraint.argument, int):
        return ""
    have, want = len(clear), constraint.argument
    match constraint.clause:
        case Clause.LENGTH if have != want:
            return f"has the length {have}, not {want}"
        case Clause.MIN_LENGTH if have < want:
            return f"is shorter than {want}"
        case Clause.MAX_LENGTH if have > want:
            return f"is longer than {want}"
    return ""


def _same(value: Value, option: Yaml, kind: str) -> bool:
    if kind in SCALAR_UNITS:
        try:
            return abs(_number_of(value, kind) - _number_of(option, kind)) < 1e-9
        except Mismatch:
            return False
    if isinstance(value, bool) != isinstance(option, bool):
        return False
    if kind in {"string", "version"} and not isinstance(option, bool | list | dict):
        return str(value) == str(option)
    return value == plain(option)


def _number_of(value: object, kind: str) -> float:
    if kind in SCALAR_UNITS and isinstance(value, str):
        return amount(value, kind)[0]
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    raise Mismatch(f"{shown(value)} cannot be compared")
