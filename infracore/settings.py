"""Layered settings: flag > environment > project file > user file > /etc > default, each value with its origin.

A specification is a frozen dataclass or msgspec Struct whose fields may be further ones. Every leaf is described
by an `Option`, from which the loader, `config show` and the reference page are made.
"""

import dataclasses
import difflib
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import yaml

from infracore.errors import Misconfigured

__all__ = ["Loaded", "Option", "load", "options"]

_T = TypeVar("_T")
DEFAULT: Final = "default"


@dataclass(frozen=True, slots=True)
class Option:
    """One setting. `name` is dotted; `free` means that any keys may stand below it."""

    name: str
    type: Any
    default: object
    env: str
    doc: str = ""
    unit: str = ""
    free: bool = False


@dataclass(frozen=True, slots=True)
class Loaded(Generic[_T]):
    """The settings, and for every option where its value comes from."""

    value: _T
    origins: Mapping[str, str]


def options(spec: type, program: str, docs: Mapping[str, tuple[str, str]]) -> tuple[Option, ...]:
    """List every leaf of a specification; `docs` maps dotted names to (sentence, unit)."""
    found: list[Option] = []
    _walk(spec, program, docs, "", found)
    return tuple(found)


def load(
    spec: type[_T],
    program: str,
    *,
    files: Sequence[Path],
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    docs: Mapping[str, tuple[str, str]],
) -> Loaded[_T]:
    """Merge the layers. `files` from weakest to strongest; those that are missing are passed over.

    Raises:
        Misconfigured: a file that is no YAML mapping, an unknown key, a value of the wrong type; it says where.
    """
    known = {option.name: option for option in options(spec, program, docs)}
    merged: dict[str, Any] = {}
    origins: dict[str, str] = dict.fromkeys(known, DEFAULT)
    for path in files:
        for name, value, where in _read(path, known):
            _put(merged, name, value)
            origins[name] = where
    for option in known.values():
        if option.env in environ and not option.free:
            _put(merged, option.name, _word(environ[option.env], option, f"environment {option.env}"))
            origins[option.name] = f"environment {option.env}"
    for name, value in overrides.items():
        if name not in known:
            raise Misconfigured(f"there is no setting {name!r}", _near(name, known))
        _put(merged, name, _word(value, known[name], "the command line") if isinstance(value, str) else value)
        origins[name] = "command line"
    try:
        value = msgspec.convert(merged, spec, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        name = str(error).rsplit("`$.", 1)[-1].rstrip("`") if "`$." in str(error) else ""
        where = origins.get(name, "")
        raise Misconfigured(
            f"the setting {name or program} is wrong{f' ({where})' if where else ''}: {str(error).split(' - at ')[0]}",
            f"run: {program} config show --origin",
        ) from error
    return Loaded(value, origins)


def _walk(spec: Any, program: str, docs: Mapping[str, tuple[str, str]], prefix: str, found: list[Option]) -> None:
    hints = typing.get_type_hints(spec)
    for name, default in _defaults(spec):
        kind = hints[name]
        dotted = f"{prefix}{name}"
        if isinstance(kind, type) and (dataclasses.is_dataclass(kind) or issubclass(kind, msgspec.Struct)):
            _walk(kind, program, docs, f"{dotted}.", found)
            continue
        doc, unit = docs.get(dotted, ("", ""))
        env = f"{program}_{dotted}".upper().replace(".", "_").replace("-", "_")
        free = typing.get_origin(kind) in {dict, Mapping}
        found.append(Option(dotted, kind, default, env, doc, unit, free))


def _defaults(spec: Any) -> list[tuple[str, object]]:
    if issubclass(spec, msgspec.Struct):
        fields = msgspec.structs.fields(spec)
        return [(f.name, f.default if f.default is not msgspec.NODEFAULT else None) for f in fields]
    return [(f.name, f.default if f.default is not dataclasses.MISSING else None) for f in dataclasses.fields(spec)]


def _read(path: Path, known: Mapping[str, Option]) -> list[tuple[str, Any, str]]:
    """Return (dotted name, value, `file:line`) of all that a file says."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read the settings file {path}: {error}") from error
    except yaml.YAMLError as error:
        raise Misconfigured(f"the settings file {path} is not YAML: {' '.join(str(error).split())}") from error
    found: list[tuple[str, Any, str]] = []
    if node is not None:
        _flatten(node, "", path, known, found)
    return found


def _flatten(
    node: Any, prefix: str, path: Path, known: Mapping[str, Option], found: list[tuple[str, Any, str]]
) -> None:
    if not isinstance(node, yaml.MappingNode):
        raise Misconfigured(
            f"{path}:{node.start_mark.line + 1}: {prefix.rstrip('.') or 'the file'} is not a mapping of settings"
        )
    seen: set[str] = set()
    for key, value in node.value:
        where = f"{path}:{key.start_mark.line + 1}"
        name = f"{prefix}{key.value}"
        if name in seen:
            raise Misconfigured(f"{where}: {name} stands twice")
        seen.add(name)
        if name in known:
            found.append((name, yaml.CSafeLoader("").construct_document(value), where))
        elif any(option.startswith(f"{name}.") for option in known):
            _flatten(value, f"{name}.", path, known, found)
        else:
            raise Misconfigured(f"{where}: there is no setting {name!r}", _near(name, known))


def _near(name: str, known: Mapping[str, Option]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}?" if near else "see: docs/reference/settings.md"


def _put(merged: dict[str, Any], dotted: str, value: Any) -> None:
    *folders, last = dotted.split(".")
    for folder in folders:
        merged = merged.setdefault(folder, {})
    if isinstance(value, dict) and isinstance(merged.get(last), dict):
        for key, item in value.items():
            _put(merged[last], str(key), item) if isinstance(item, dict) else merged[last].__setitem__(key, item)
    else:
        merged[last] = value


def _word(text: object, option: Option, where: str) -> Any:
    """Read a word of the environment or the command line: text stays text, the rest is YAML."""
    kinds = typing.get_args(option.type) if isinstance(option.type, types.UnionType) else (option.type,)
    if any(kind in {str, Path} or (isinstance(kind, type) and issubclass(kind, str)) for kind in kinds):
        return text
    try:
        return yaml.load(str(text), Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise Misconfigured(f"{where}: {text!r} is no value of {option.name}") from error


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    raise NotImplementedError(kind)
