"""Layered settings: flag > environment > project file > user file > /etc > default, each value with its origin.

A specification is a frozen dataclass or msgspec Struct whose fields have defaults and may be further ones. Every
leaf is described by an `Option`, from which the loader, `config show` and the reference page are made. The loader
knows neither product: it takes the files, the environment and the words of the command line as arguments.
"""

import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Generic, TypeVar

import msgspec
import yaml

from infracore.decoding import Fitted, Steps, fit, shown
from infracore.errors import Misconfigured
from infracore.options import Given, Option, Problem, expanded, options, owner_of, unknown
from infracore.settings_file import line_of, values_of_file

__all__ = ["Examined", "Loaded", "Option", "Problem", "examine", "load", "options", "told"]

_T = TypeVar("_T")
DEFAULT: Final = "default"
_MOST_PROBLEMS: Final = 50


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
                return line_of(*self.nodes[name], steps[end:])
            if any(isinstance(step, int) for step in steps[:end]):
                continue
            found = [o for key, o in self.origins.items() if key == name or key.startswith(f"{name}.")]
            if found and found[0] == DEFAULT:
                found = [origin for origin in found if origin != DEFAULT]
            if found:
                return found[0]
        return ""


@dataclass(frozen=True, slots=True)
class Examined(Generic[_T]):
    """Settings with what is wrong with them: what could not be read is left out of the value."""

    loaded: Loaded[_T]
    problems: tuple[Problem, ...]
    fitted: Fitted


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
    layers = [values_of_file(path, known, problems) for path in files]
    layers += [_of_environment(environ, known, problems), _of_commandline_of(overrides, known, problems)]
    for layer in layers:
        for given in layer:
            _put(merged, given.name, given.value)
            origins[given.name] = given.origin
            nodes.pop(given.name, None)
            if given.node is not None:
                nodes[given.name] = given.node
            owner = owner_of(given.name, known)
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


def _order(place: str) -> tuple[bool, str, int]:
    file, colon, line = place.rpartition(":")
    return (False, file, int(line)) if colon and line.isascii() and line.isdigit() else (True, "", 0)


# the layers


def _of_environment(environ: Mapping[str, str], known: Mapping[str, Option], wrong: list[Problem]) -> list[Given]:
    found = []
    for option in known.values():
        if environ.get(option.env):
            origin = f"environment {option.env}"
            try:
                found.append(Given(option.name, _word(environ[option.env], option), origin))
            except ValueError as error:
                wrong.append(Problem(origin, str(error)))
    return found


def _of_commandline_of(
    overrides: Mapping[str, object], known: Mapping[str, Option], wrong: list[Problem]
) -> list[Given]:
    found = []
    for name, value in overrides.items():
        owner = owner_of(name, known)
        if owner is None:
            wrong.append(unknown("", name, known))
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
            found.append(Given(name, word, "command line"))
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


# merging


def _put(merged: dict[str, Any], dotted: str, value: Any) -> None:
    *folders, last = dotted.split(".")
    for folder in folders:
        if not isinstance(merged.get(folder), dict):
            merged[folder] = {}
        merged = merged[folder]
    merged[last] = value


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str | Path):
        return expanded(value)
    if kind is Path:
        raise ValueError(f"Expected `str`, got `{type(value).__name__}`")
    raise NotImplementedError(kind)
