"""Layered settings: flag > environment > project file > user file > /etc > default, each value with its origin.

A specification is a frozen dataclass or msgspec Struct whose fields have defaults and may be further ones. Every
leaf is described by an `Option`, from which the loader, `config show` and the reference page are made. The loader
knows neither product: it takes the files, the environment and the words of the command line as arguments.
"""

import dataclasses
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import yaml

from infracore.decoding import Fitted, Steps, fit, fits_nearly, shown
from infracore.errors import Misconfigured

__all__ = ["Examined", "Loaded", "Option", "Problem", "examine", "load", "options", "told"]

_T = TypeVar("_T")
DEFAULT: Final = "default"
_DEEPEST: Final = 100
"""Nesting of a file. libyaml's composer recurses in C: at 200,000 brackets the process dies of it."""
_NOTHING: Final = "tag:yaml.org,2002:null"
_MOST_PROBLEMS: Final = 50
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
    nodes: Mapping[str, tuple[Path, yaml.Node]] = field(default_factory=dict, repr=False, compare=False)
    """What files give, as written: for the lines of what lies within."""

    def place(self, steps: Steps) -> str:
        """Return where a value, or a part of one, comes from; "" for a default."""
        for end in range(len(steps), 0, -1):
            name = ".".join(map(str, steps[:end]))
            if name in self.nodes:
                return _line(*self.nodes[name], steps[end:])
            found = [o for key, o in self.origins.items() if key == name or key.startswith(f"{name}.")]
            if found and found[0] == DEFAULT:
                found = [origin for origin in found if origin != DEFAULT]
            if found:
                return found[0]
        return ""


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
class Examined(Generic[_T]):
    """Settings with what is wrong with them: what could not be read is left out of the value."""

    loaded: Loaded[_T]
    problems: tuple[Problem, ...]
    fitted: Fitted


@dataclass(frozen=True, slots=True)
class _Given:
    """A value that one layer gives."""

    name: str
    value: Any
    origin: str
    node: tuple[Path, yaml.Node] | None = None


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
        Misconfigured: a file that is no YAML mapping, unknown keys, values of the wrong type; it says where.
    """
    found = examine(spec, program, files=files, environ=environ, overrides=overrides, docs=docs)
    if found.problems:
        raise told(found.problems, f"run: {program} config show --origin")
    return found.loaded


def examine(
    spec: type[_T],
    program: str,
    *,
    files: Sequence[Path],
    environ: Mapping[str, str],
    overrides: Mapping[str, object],
    docs: Mapping[str, tuple[str, str]],
) -> Examined[_T]:
    """Merge the layers as `load` does, and go on at what is wrong.

    Raises:
        Misconfigured: a file cannot be read, or is no YAML mapping at all.
    """
    known = {option.name: option for option in options(spec, program, docs)}
    merged: dict[str, Any] = {}
    origins: dict[str, str] = dict.fromkeys(known, DEFAULT)
    nodes: dict[str, tuple[Path, yaml.Node]] = {}
    problems: list[Problem] = []
    layers = [_of_file(path, known, problems) for path in files]
    layers += [_of_environment(environ, known, problems), _of_command_line(overrides, known, problems)]
    for layer in layers:
        for given in layer:
            _put(merged, given.name, given.value)
            origins[given.name] = given.origin
            nodes.pop(given.name, None)
            if given.node is not None:
                nodes[given.name] = given.node
            owner = _owner(given.name, known)
            if owner is not None:
                origins[owner.name] = given.origin
    fitted = fit(merged, spec, _path)
    value = msgspec.convert(fitted.value, spec, strict=False, dec_hook=_path)
    loaded = Loaded(value, origins, nodes)
    for misfit in fitted.misfits:
        of = f" ({misfit.owner!r})" if misfit.owner else ""
        said = f"{shown(misfit.steps)}{of}: {misfit.said}"
        steps = (*misfit.steps[:-1], misfit.meant) if misfit.meant and misfit.steps else misfit.steps
        problems.append(Problem(loaded.place(misfit.steps), said, misfit.hint, steps))
    return Examined(loaded, tuple(problems), fitted)


def told(problems: Sequence[Problem], hint: str) -> Misconfigured:
    """Return the error that says all of them, by line, 50 at most; `hint` where they have none of their own."""
    problems = sorted(problems, key=lambda problem: _order(problem.place))
    if len(problems) == 1:
        return Misconfigured(str(problems[0]), problems[0].hint or hint)
    lines = [f"{problem}; {problem.hint}" if problem.hint else str(problem) for problem in problems[:_MOST_PROBLEMS]]
    if len(problems) > _MOST_PROBLEMS:
        lines.append(f"and {len(problems) - _MOST_PROBLEMS} more")
    return Misconfigured("\n".join(lines), hint)


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


def _of_file(path: Path, known: Mapping[str, Option], wrong: list[Problem]) -> list[_Given]:
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
    return list(_said(node, "", path, known, wrong))


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


def _said(
    node: yaml.Node, prefix: str, path: Path, known: Mapping[str, Option], wrong: list[Problem]
) -> Iterator[_Given]:
    """Yield what a mapping of a file says; a section with nothing in it says nothing."""
    if prefix and node.tag == _NOTHING:
        return
    if not isinstance(node, yaml.MappingNode):
        what = prefix.rstrip(".") or "the file"
        steps = tuple(prefix.rstrip(".").split("."))
        wrong.append(Problem(_place(path, node), f"{what} is not a mapping of settings", steps=steps))
        return
    seen: set[str] = set()
    for key, value in node.value:
        where, name = _place(path, key), f"{prefix}{key.value}"
        owner = _owner(name, known) if isinstance(key, yaml.ScalarNode) else None
        if not isinstance(key, yaml.ScalarNode):
            wrong.append(Problem(where, "the name of a setting must be one word"))
        elif name in seen:
            wrong.append(Problem(where, f"{name} stands twice"))
        elif owner is not None and value.tag == _NOTHING and typing.get_origin(owner.type) in {tuple, list}:
            pass
        elif owner is not None and not (owner.free and (name == owner.name or isinstance(value, yaml.MappingNode))):
            try:
                yield _Given(name, _constructed(value, owner, path), where, (path, value))
            except _Unreadable as error:
                wrong.append(Problem(_place(path, error.node), f"{owner.name}: {error}", steps=tuple(name.split("."))))
        elif owner is not None or any(option.startswith(f"{name}.") for option in known):
            yield from _said(value, f"{name}.", path, known, wrong)
        else:
            wrong.append(_unknown(where, name, known))
        seen.add(name)


class _Unreadable(Exception):
    """Never leaves this file."""

    def __init__(self, said: str, node: yaml.Node) -> None:
        super().__init__(said)
        self.node = node


def _constructed(node: yaml.Node, option: Option, path: Path) -> Any:
    _refuse_twice(node)
    try:
        value = yaml.CSafeLoader("").construct_document(node)
        return path.parent / _expanded(value) if option.type is Path and isinstance(value, str) else value
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist, a path that cannot be
        raise _Unreadable(" ".join(str(error).split()), node) from error


def _refuse_twice(node: yaml.Node) -> None:
    """Refuse a key that stands twice in a mapping within a value: YAML would keep the last and say nothing."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twice(item)
    elif isinstance(node, yaml.MappingNode):
        seen: set[object] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _Unreadable(f"{key.value} stands twice in one mapping", key)
                seen.add(key.value)
            _refuse_twice(value)


def _place(path: Path, part: yaml.Node | yaml.Event) -> str:
    mark = part.start_mark
    return f"{path}:{mark.line + 1}" if mark is not None else str(path)


def _order(place: str) -> tuple[bool, str, int]:
    file, colon, line = place.rpartition(":")
    return (False, file, int(line)) if colon and line.isascii() and line.isdigit() else (True, "", 0)


def _line(path: Path, node: yaml.Node, steps: Steps) -> str:
    """Return the place of a part of a value, or of the innermost thing around it that is written there."""
    place = _place(path, node)
    for step in steps:
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            place = _place(path, node)
        elif isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if key.value == str(step)]
            if not found:
                break
            place, node = _place(path, found[0][0]), found[0][1]
    return place


def _of_environment(environ: Mapping[str, str], known: Mapping[str, Option], wrong: list[Problem]) -> list[_Given]:
    found = []
    for option in known.values():
        if environ.get(option.env):
            origin = f"environment {option.env}"
            try:
                found.append(_Given(option.name, _word(environ[option.env], option), origin))
            except ValueError as error:
                wrong.append(Problem(origin, str(error)))
    return found


def _of_command_line(
    overrides: Mapping[str, object], known: Mapping[str, Option], wrong: list[Problem]
) -> list[_Given]:
    found = []
    for name, value in overrides.items():
        owner = _owner(name, known)
        if owner is None:
            wrong.append(_unknown("", name, known))
            continue
        try:
            word = _word(value, owner) if isinstance(value, str) else value
        except ValueError as error:
            wrong.append(Problem("the command line", str(error)))
            continue
        if owner.free and name == owner.name and not isinstance(word, Mapping):
            said = f"the setting {name} has settings below it"
            wrong.append(Problem("", said, f"say which: {name}.NAME.KEY=VALUE"))
        else:
            found.append(_Given(name, word, "command line"))
    return found


def _word(text: str, option: Option) -> Any:
    """Read a word of the environment or the command line: text stays text, the rest is YAML. Raises ValueError."""
    kinds = typing.get_args(option.type) if isinstance(option.type, types.UnionType) else (option.type,)
    if any(isinstance(kind, type) and issubclass(kind, str | Path) for kind in kinds):
        return text
    try:
        return yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{text!r} is no value of {option.name}") from error


# names and merging


def _owner(name: str, known: Mapping[str, Option]) -> Option | None:
    """Return the option that a dotted name is, or the free one that it lies below."""
    if name in known:
        return known[name]
    return next((o for o in known.values() if o.free and name.startswith(f"{o.name}.")), None)


def _unknown(place: str, name: str, known: Mapping[str, Option]) -> Problem:
    sections = {option.rsplit(".", 1)[0] for option in known if "." in option}
    near = fits_nearly(name, [*known, *sorted(sections)])
    if not near:  # the right name in the wrong section
        near = next((option for option in known if option.rsplit(".", 1)[-1] == name.rsplit(".", 1)[-1]), "")
    hint = f"did you mean {near!r}?" if near else "`config show` lists all settings"
    return Problem(place, f"there is no setting {name!r}", hint, tuple(near.split(".")))


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
