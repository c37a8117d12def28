"""Layered settings: flag > environment > project file > user file > /etc > default, each value with its origin.

A specification is a frozen dataclass or msgspec Struct whose fields have defaults and may be further ones. Every
leaf is described by an `Option`, from which the loader, `config show` and the reference page are made. The loader
knows neither product: it takes the files, the environment and the words of the command line as arguments.
"""

import dataclasses
import difflib
import re
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import yaml

from infracore.errors import Misconfigured

__all__ = ["Loaded", "Option", "load", "options"]

_T = TypeVar("_T")
DEFAULT: Final = "default"
_DEEPEST: Final = 100
"""Nesting of a file. libyaml's composer recurses in C: at 200,000 brackets the process dies of it."""
_MOST_VALUES: Final = 1_000_000
"""Values of a file with its aliases written out: nine lines of aliases of aliases stand for 9^9."""


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
class Loaded(Generic[_T]):
    """The settings, and for every option where its value comes from.

    An origin is `default`, `FILE:LINE`, `environment NAME` or `command line`. Below a free option every key that
    is set has its own, and the option itself that of the strongest.
    """

    value: _T
    origins: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that one layer gives."""

    name: str
    value: Any
    origin: str


def options(spec: type, program: str, docs: Mapping[str, tuple[str, str]]) -> tuple[Option, ...]:
    """List every leaf of a specification; `docs` maps dotted names to (sentence, unit)."""
    return tuple(_leaves(spec, program, docs, ""))


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

    A relative path in a file is taken from the file's folder. An empty environment variable counts as not set.
    `overrides` maps dotted names to values, or to text that is read as an environment variable's.

    Raises:
        Misconfigured: a file that is no YAML mapping, an unknown key, a value of the wrong type; it says where.
    """
    known = {option.name: option for option in options(spec, program, docs)}
    merged: dict[str, Any] = {}
    origins: dict[str, str] = dict.fromkeys(known, DEFAULT)
    layers = [_of_file(path, known) for path in files]
    layers += [_of_environment(environ, known), _of_command_line(overrides, known)]
    for layer in layers:
        for given in layer:
            _put(merged, given.name, given.value)
            origins[given.name] = given.origin
            owner = _owner(given.name, known)
            if owner is not None:
                origins[owner.name] = given.origin
    try:
        value = msgspec.convert(merged, spec, strict=False, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise _wrong(error, origins, program) from error
    return Loaded(value, origins)


# the specification


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


# the layers


def _of_file(path: Path, known: Mapping[str, Option]) -> list[_Given]:
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"cannot read the settings file {path}: {error}") from error
    try:
        _refuse_depth(text, path)
        node = yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise Misconfigured(f"the settings file {path} is not YAML: {' '.join(str(error).split())}") from error
    if node is None:
        return []
    _weigh(node, path, {})
    return list(_said(node, "", path, known))


def _refuse_depth(text: str, path: Path) -> None:
    """Refuse deep nesting before anything is composed."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                raise Misconfigured(f"{_place(path, event)}: nested deeper than {_DEEPEST}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _weigh(node: yaml.Node, path: Path, known: dict[int, int]) -> int:
    """Return for how many values a node stands. Refuses too many, and an alias inside of what it stands for.

    An anchor stands before its aliases, so this goes no deeper than what is written.
    """
    if id(node) in known:
        if not known[id(node)]:
            raise Misconfigured(f"{_place(path, node)}: an alias stands inside of what it stands for")
        return known[id(node)]
    known[id(node)] = 0
    weight = 1
    if isinstance(node, yaml.MappingNode):
        weight += sum(_weigh(key, path, known) + _weigh(value, path, known) for key, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        weight += sum(_weigh(item, path, known) for item in node.value)
    if weight > _MOST_VALUES:
        raise Misconfigured(f"{_place(path, node)}: with its aliases this stands for more than {_MOST_VALUES} values")
    known[id(node)] = weight
    return weight


def _said(node: yaml.Node, prefix: str, path: Path, known: Mapping[str, Option]) -> Iterator[_Given]:
    """Yield what a mapping of a file says; a section with nothing in it says nothing."""
    if prefix and node.tag == "tag:yaml.org,2002:null":
        return
    if not isinstance(node, yaml.MappingNode):
        what = prefix.rstrip(".") or "the file"
        raise Misconfigured(f"{_place(path, node)}: {what} is not a mapping of settings")
    seen: set[str] = set()
    for key, value in node.value:
        where, name = _place(path, key), f"{prefix}{key.value}"
        if not isinstance(key, yaml.ScalarNode):
            raise Misconfigured(f"{where}: the name of a setting must be one word")
        if name in seen:
            raise Misconfigured(f"{where}: {name} stands twice")
        seen.add(name)
        owner = _owner(name, known)
        if owner is not None and not (owner.free and (name == owner.name or isinstance(value, yaml.MappingNode))):
            yield _Given(name, _constructed(value, owner, path), where)
        elif owner is not None or any(option.startswith(f"{name}.") for option in known):
            yield from _said(value, f"{name}.", path, known)
        else:
            raise Misconfigured(f"{where}: there is no setting {name!r}", _near(name, known))


def _constructed(node: yaml.Node, option: Option, path: Path) -> Any:
    _refuse_twice(node, option, path)
    try:
        value = yaml.CSafeLoader("").construct_document(node)
        return path.parent / _expanded(value) if option.type is Path and isinstance(value, str) else value
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist, a path that cannot be
        raise Misconfigured(f"{_place(path, node)}: {option.name}: {' '.join(str(error).split())}") from error


def _refuse_twice(node: yaml.Node, option: Option, path: Path) -> None:
    """Refuse a key that stands twice in a mapping within a value: YAML would keep the last and say nothing."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twice(item, option, path)
    elif isinstance(node, yaml.MappingNode):
        seen: set[object] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise Misconfigured(f"{_place(path, key)}: {option.name}: {key.value} stands twice in one mapping")
                seen.add(key.value)
            _refuse_twice(value, option, path)


def _place(path: Path, part: yaml.Node | yaml.Event) -> str:
    mark = part.start_mark
    return f"{path}:{mark.line + 1}" if mark is not None else str(path)


def _of_environment(environ: Mapping[str, str], known: Mapping[str, Option]) -> list[_Given]:
    found = []
    for option in known.values():
        if environ.get(option.env):
            origin = f"environment {option.env}"
            found.append(_Given(option.name, _word(environ[option.env], option, origin), origin))
    return found


def _of_command_line(overrides: Mapping[str, object], known: Mapping[str, Option]) -> list[_Given]:
    found = []
    for name, value in overrides.items():
        owner = _owner(name, known)
        if owner is None:
            raise Misconfigured(f"there is no setting {name!r}", _near(name, known))
        word = _word(value, owner, "the command line") if isinstance(value, str) else value
        if owner.free and name == owner.name and not isinstance(word, Mapping):
            raise Misconfigured(f"the setting {name} has settings below it", f"say which: {name}.NAME.KEY=VALUE")
        found.append(_Given(name, word, "command line"))
    return found


def _word(text: str, option: Option, where: str) -> Any:
    """Read a word of the environment or the command line: text stays text, the rest is YAML."""
    kinds = typing.get_args(option.type) if isinstance(option.type, types.UnionType) else (option.type,)
    if any(isinstance(kind, type) and issubclass(kind, str | Path) for kind in kinds):
        return text
    try:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise Misconfigured(f"{where}: {text!r} is no value of {option.name}") from error


# names and merging


def _owner(name: str, known: Mapping[str, Option]) -> Option | None:
    """Return the option that a dotted name is, or the free one that it lies below."""
    if name in known:
        return known[name]
    return next((o for o in known.values() if o.free and name.startswith(f"{o.name}.")), None)


def _near(name: str, known: Mapping[str, Option]) -> str:
    sections = {option.rsplit(".", 1)[0] for option in known if "." in option}
    near = difflib.get_close_matches(name, [*known, *sorted(sections)], n=1)
    if not near:  # the right name in the wrong section
        near = [option for option in known if option.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]][:1]
    return f"did you mean {near[0]!r}?" if near else "`config show` lists all settings"


def _put(merged: dict[str, Any], dotted: str, value: Any) -> None:
    *folders, last = dotted.split(".")
    for folder in folders:
        if not isinstance(merged.get(folder), dict):
            merged[folder] = {}
        merged = merged[folder]
    merged[last] = value


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str | Path):
        return _expanded(value)
    if kind is Path:
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    raise NotImplementedError(kind)


def _expanded(text: str | Path) -> Path:
    """Return the path with `~` written out. Raises ValueError where it can be none."""
    if "\0" in str(text):
        raise ValueError(f"{str(text)!r} is no path")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # ~NAME of a user that does not exist
        raise ValueError(f"{str(text)!r}: there is no such home folder") from error


def _wrong(error: msgspec.ValidationError, origins: Mapping[str, str], program: str) -> Misconfigured:
    """Name the setting that msgspec names as `$.section.name` or `$.name[...]`, and the place it comes from."""
    said, _, path = str(error).partition(" - at `$.")
    name = re.split(r"[`\[]", path)[0]
    origin = origins.get(name, DEFAULT)
    place = "" if origin == DEFAULT else f"{origin}: "
    shown = path.rstrip("`") if "]." in path else name  # `pools[...].min`: the key within a list is worth saying
    return Misconfigured(f"{place}{shown}: {said}", f"run: {program} config show --origin")
