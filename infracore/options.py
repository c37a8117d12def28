"""What may be set, and what is wrong with what was: the words that the readers of settings share."""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from infracore.decoding import Steps, fits_nearly

__all__ = ["Given", "Option", "Problem", "expanded", "options", "owner_of", "unknown"]


@dataclass(frozen=True, slots=True)
class Option:
    """One setting."""

    name: str
    """Dotted: `ansible.forks`."""
    type: Any
    default: object
    env: str
    """Its environment variable; "" where it has none."""
    doc: str = ""
    unit: str = ""
    free: bool = False
    """Whether any keys may stand below it, which somebody else checks."""

    @property
    def type_name(self) -> str:
        """The type as people say it: `text`, `integer`, `number`, `yes/no`, `folder`, `list of text`, `a | b`."""
        return _type_name(self.type)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong."""

    place: str
    """FILE:LINE, `environment NAME`, `command line`; "" where it is nowhere."""
    said: str
    hint: str = ""
    steps: Steps = ()
    """The setting that has its default because of it."""

    def __str__(self) -> str:
        return f"{self.place}: {self.said}" if self.place else self.said


@dataclass(frozen=True, slots=True)
class Given:
    """A value that one layer gives."""

    name: str
    value: Any
    origin: str
    node: tuple[Path, yaml.Node] | None = None


def options(spec: type, program: str, docs: Mapping[str, tuple[str, str]]) -> tuple[Option, ...]:
    """List every leaf of a specification; `docs` maps dotted names to (sentence, unit)."""
    return tuple(_leaves(spec, program, docs, ""))


def owner_of(name: str, known: Mapping[str, Option]) -> Option | None:
    """Return the option that a dotted name is, or the free one that it lies below."""
    if name in known:
        return known[name]
    return next((o for o in known.values() if o.free and name.startswith(f"{o.name}.")), None)


def unknown(place: str, name: str, known: Mapping[str, Option]) -> Problem:
    """Return what is said of a name that is no setting's."""
    sections = {option.rsplit(".", 1)[0] for option in known if "." in option}
    near = fits_nearly(name, [*known, *sorted(sections)])
    if not near:  # the right name in the wrong section
        near = next((option for option in known if option.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]), "")
    hint = f"did you mean {near!r}?" if near else "`config show` lists all settings"
    return Problem(place, f"there is no setting {name!r}", hint, tuple(near.split(".")) if near else ())


def expanded(text: str | Path) -> Path:
    """Return the path with `~` written out. Raises ValueError where it can be none."""
    if "\0" in str(text):
        raise ValueError(f"{str(text)!r} is no path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~NAME of a user that does not exist
        raise ValueError(f"{str(text)!r}: there is no such home folder") from error


def _leaves(spec: Any, program: str, docs: Mapping[str, tuple[str, str]], prefix: str) -> Iterator[Option]:
    hints = typing.get_type_hints(spec)
    for name, default in _defaults(spec):
        kind = hints[name]
        dotted = f"{prefix}{name}"
        if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct)):
            yield from _leaves(kind, program, docs, f"{dotted}.")
            continue
        free = typing.get_origin(kind) in {dict, Mapping}
        env = "" if free else f"{program}_{dotted}".upper().replace(".", "_").replace("-", "_")
        doc, unit = docs.get(dotted, ("", ""))
        yield Option(dotted, kind, default, env, doc, unit, free)


def _defaults(spec: Any) -> list[tuple[str, object]]:
    if issubclass(spec, msgspec.Struct):
        fields = msgspec.structs.fields(spec)
        return [(f.name, f.default if f.default is not msgspec.NODEFAULT else None) for f in fields]
    return [(f.name, f.default if f.default is not dataclasses.MISSING else None) for f in dataclasses.fields(spec)]


_TYPE_NAMES: Final[Mapping[Any, str]] = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "yes/no",
    Path: "path",
    types.NoneType: "nothing",
}


def _type_name(kind: Any) -> str:
    if kind in _TYPE_NAMES:
        return _TYPE_NAMES[kind]
    if isinstance(kind, type) and issubclass(kind, Enum):
        return " | ".join(str(member.value) for member in kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return "mapping"
    inner = [arg for arg in typing.get_args(kind) if arg is not Ellipsis]
    if typing.get_origin(kind) in {tuple, list}:
        return f"list of {_type_name(inner[0])}"
    if typing.get_origin(kind) in {dict, Mapping}:
        return "mapping"
    return " | ".join(_type_name(arg) for arg in inner) or str(kind)
