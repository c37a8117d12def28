"""A form from the inputs of a template, and the values that somebody wrote into it. Pure.

What a field is (text, number, choice, list ...) follows from the type and the constraints of its input. Whether a value
fits is not judged here but by the front end that reads the template; its problems are put beside their fields.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import yaml

from im_client.services.templates import Said
from im_client.template.analysis import InputDefinition
from im_client.template.problems import Level, Problem
from im_client.topology.values import Value
from infracore.secrets import Secret
from infracore.yaml_text import load_yaml

__all__ = ["Field", "Widget", "fields_of", "read_fields", "with_problems"]


class Widget(StrEnum):
    """How a field is shown."""

    TEXT = "text"
    NUMBER = "number"
    SWITCH = "switch"
    CHOICE = "choice"
    PASSWORD = "password"  # noqa: S105 - the word of HTML
    LINES = "lines"
    """A list, one entry a line."""
    PAIRS = "pairs"
    """A map, `key: value` a line."""
    YAML = "yaml"
    LONG = "long"
    """A text of many lines."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field with what is written in it."""

    name: str
    label: str
    widget: Widget
    value: str
    description: str = ""
    hint: str = ""
    """What fits, in words."""
    required: bool = False
    least: str = ""
    most: str = ""
    step: str = ""
    shortest: int | None = None
    longest: int | None = None
    pattern: str = ""
    options: tuple[str, ...] = ()
    error: str = ""


_LONG: Final = 1000
"""A text that may have more characters than this is written on many lines."""
_SIMPLE: Final = frozenset({"", "string", "integer", "float", "boolean", "range", "timestamp", "version"})
_UNITS: Final = {
    "scalar-unit.size": "with its unit, such as 4 GiB",
    "scalar-unit.time": "with its unit, such as 10 m",
    "scalar-unit.frequency": "with its unit, such as 2 GHz",
}


def fields_of(definitions: Mapping[str, InputDefinition], said: Mapping[str, str]) -> list[Field]:
    """Return the fields: with what was said, else with the defaults. Passwords are never given back."""
    return [_field(definition, said.get(name)) for name, definition in definitions.items()]


def read_fields(
    definitions: Mapping[str, InputDefinition], said: Mapping[str, str]
) -> tuple[dict[str, Value], list[Field]]:
    """Return the values that were written, and the fields as they were, with errors of what cannot be read at all.

    A field that is left empty takes its default, and so does one that was not there to be filled in; a text that has a
    default may be emptied.
    """
    values: dict[str, Value] = {}
    fields: list[Field] = []
    for name, definition in definitions.items():
        field = _field(definition, said.get(name))
        if name not in said:
            fields.append(field)
            continue
        try:
            value = _value(definition, field, said[name])
        except ValueError as error:
            field = replace(field, error=str(error))
        else:
            if value is not None:
                values[name] = value
        fields.append(field)
    return values, fields


def with_problems(
    fields: Sequence[Field], definitions: Mapping[str, InputDefinition], problems: Sequence[Problem]
) -> tuple[list[Field], list[str]]:
    """Put the front end's errors beside their fields; those that belong to none come back as sentences."""
    places = {(_file(d.file), d.line): name for name, d in definitions.items() if d.line}
    errors: dict[str, list[str]] = {}
    rest: list[str] = []
    for problem in problems:
        if problem.level is not Level.ERROR:
            continue
        said = problem.message + (f" ({problem.hint})" if problem.hint and "-i " not in problem.hint else "")
        name = places.get((_file(problem.file), problem.line))
        if name is None:
            rest.append(f"{_file(problem.file)}, line {problem.line}: {said}")
        else:
            errors.setdefault(name, []).append(said)
    found = [
        replace(field, error=". ".join([*([field.error] if field.error else ()), *errors.get(field.name, ())]))
        for field in fields
    ]
    # a value that does not fit makes more go wrong behind it: its own error says enough
    return found, [] if errors else rest


def _file(location: str) -> str:
    return location.rsplit("/", 1)[-1]


def _field(definition: InputDefinition, said: str | None) -> Field:
    clauses = dict(definition.constraints)
    widget = _widget(definition, clauses)
    least, most = _limits(clauses)
    step = {"integer": "1", "float": "any"}.get(definition.type, "")
    if said is None:
        said = "" if widget is Widget.PASSWORD else _written(definition.default, widget)
    options = _options(clauses.get("valid_values"))
    if widget is Widget.CHOICE and said not in options and not said:
        options = ("", *options)
    return Field(
        name=definition.name,
        label=_label(definition.name),
        widget=widget,
        value="" if widget is Widget.PASSWORD else said,
        description=definition.description,
        hint=_hint(definition, clauses, widget),
        required=definition.required and not definition.has_default and definition.random is None,
        least=least if widget is Widget.NUMBER else "",
        most=most if widget is Widget.NUMBER else "",
        step=step,
        shortest=_length(clauses, "min_length"),
        longest=_length(clauses, "max_length"),
        pattern=str(clauses.get("pattern", "")) if widget is Widget.TEXT else "",
        options=options,
    )


def _label(name: str) -> str:
    text = name.replace("_", " ").replace("-", " ").strip()
    words = [
        {"cpus": "CPUs", "cpu": "CPU", "mem": "memory", "url": "URL", "im": "IM", "id": "ID"}.get(w, w)
        for w in text.split()
    ]
    text = " ".join(words)
    return text[:1].upper() + text[1:]


def _widget(definition: InputDefinition, clauses: Mapping[str, Value]) -> Widget:
    kind = definition.type
    if definition.secret:
        return Widget.PASSWORD if kind == "string" else Widget.YAML
    if kind == "boolean":
        return Widget.SWITCH
    if isinstance(clauses.get("valid_values"), tuple):
        return Widget.CHOICE
    if kind in {"integer", "float"}:
        return Widget.NUMBER
    if kind == "list":
        return Widget.LINES if definition.entry in _SIMPLE else Widget.YAML
    if kind == "map":
        return Widget.PAIRS if definition.entry in _SIMPLE else Widget.YAML
    if kind == "string" and (_length(clauses, "max_length") or 0) > _LONG:
        return Widget.LONG
    return Widget.TEXT if kind in _SIMPLE or kind in _UNITS else Widget.YAML


def _limits(clauses: Mapping[str, Value]) -> tuple[str, str]:
    span = clauses.get("in_range")
    first, last = span if isinstance(span, tuple) and len(span) == 2 else (None, None)
    least = clauses.get("greater_or_equal", first)
    most = clauses.get("less_or_equal", last)
    if least is None and isinstance(clauses.get("greater_than"), int):
        least = clauses["greater_than"] + 1  # type: ignore[operator]
    if most is None and isinstance(clauses.get("less_than"), int):
        most = clauses["less_than"] - 1  # type: ignore[operator]
    return tuple(str(one) if isinstance(one, int | float) else "" for one in (least, most))  # type: ignore[return-value]


def _hint(definition: InputDefinition, clauses: Mapping[str, Value], widget: Widget) -> str:
    least, most = _limits(clauses)
    words = [
        _UNITS.get(definition.type, ""),
        f"{least} to {most}" if least and most else f"at least {least}" if least else f"at most {most}" if most else "",
        f"at least {clauses['min_length']} characters" if "min_length" in clauses else "",
        f"at most {clauses['max_length']} characters" if "max_length" in clauses else "",
        f"like {clauses['pattern']}" if "pattern" in clauses else "",
        "one a line" if widget is Widget.LINES else "",
        "one a line, as NAME: VALUE" if widget is Widget.PAIRS else "",
        f"YAML of {definition.type.rsplit('.', 1)[-1]}" if widget is Widget.YAML else "",
        f"left empty: {definition.random} random characters" if definition.random else "",
        "left empty: as the template says" if widget is Widget.PASSWORD and definition.has_default else "",
    ]
    return "; ".join(word for word in words if word)


def _length(clauses: Mapping[str, Value], name: str) -> int | None:
    found = clauses.get(name, clauses.get("length"))
    return found if isinstance(found, int) else None


def _options(said: Value) -> tuple[str, ...]:
    return tuple(_plain(one) for one in said) if isinstance(said, tuple) else ()


def _plain(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _written(value: Value, widget: Widget) -> str:
    match value:
        case None:
            return ""
        case tuple() if widget is Widget.LINES:
            return "\n".join(_plain(one) for one in value)
        case Mapping() if widget is Widget.PAIRS:
            return "\n".join(f"{key}: {_plain(one)}" for key, one in value.items())
        case tuple() | Mapping():
            text: str = yaml.dump(_builtin(value), Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=True)
            return text.strip()
    return _plain(value)


def _builtin(value: Value) -> object:
    if isinstance(value, Mapping):
        return {key: _builtin(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_builtin(item) for item in value]
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def _value(definition: InputDefinition, field: Field, said: str) -> Value:
    """Return what was written into a field; None: it takes its default.

    Raises:
        ValueError: it cannot be read at all.
    """
    match field.widget:
        case Widget.SWITCH:
            return said in {"true", "yes", "on"}
        case Widget.PASSWORD:
            return Secret(said) if said else None
        case Widget.CHOICE:
            choices = dict(definition.constraints).get("valid_values")
            return (
                next((one for one in choices if _plain(one) == said), Said(said))
                if isinstance(choices, tuple)
                else None
            )
        case Widget.LINES:
            lines = [line.strip() for line in said.splitlines() if line.strip()]
            return tuple(_entry(line, definition.entry) for line in lines)
        case Widget.PAIRS:
            return dict(_pair(line, definition.entry) for line in said.splitlines() if line.strip())
        case Widget.TEXT | Widget.LONG if definition.type == "string":
            said = said.replace("\r\n", "\n")  # as browsers send the lines of a form
            has_text = isinstance(definition.default, str) and bool(definition.default)
            return said if said or has_text else None
    return Said(said) if said.strip() else None


def _entry(text: str, kind: str) -> Value:
    if kind in {"integer", "float", "boolean"}:
        try:
            found = load_yaml(text)
        except (yaml.YAMLError, ValueError):
            return text
        return found if isinstance(found, bool | int | float) else text
    return text


def _pair(line: str, kind: str) -> tuple[str, Value]:
    key, colon, value = line.partition(":")
    if not colon or not key.strip():
        raise ValueError(f"{line.strip()[:40]!r} is not NAME: VALUE")
    return key.strip(), _entry(value.strip(), kind)
