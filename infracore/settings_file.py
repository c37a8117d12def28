"""Settings files: YAML of people's own, read with its lines, up to what is no YAML mapping at all."""

import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from infracore.decoding import Steps
from infracore.errors import Misconfigured
from infracore.options import Given, Option, Problem, expanded, owner_of, unknown

__all__ = ["line_of", "values_of_file"]

_NOTHING: Final = "tag:yaml.org,2002:null"
_DEEPEST: Final = 100
"""Nesting of a file. libyaml's composer recurses in C: at 200,000 brackets the process dies of it."""
_MOST_VALUES: Final = 1_000_000
"""Values of a file with its aliases written out: nine lines of aliases of aliases stand for 9^9."""


def values_of_file(path: Path, known: Mapping[str, Option], wrong: list[Problem]) -> list[Given]:
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
) -> Iterator[Given]:
    """Yield what a mapping of a file says; a section with nothing in it says nothing."""
    if prefix and node.tag == _NOTHING:
        return
    if not isinstance(node, yaml.MappingNode):
        what = prefix.rstrip(".") or "the file"
        steps = tuple(prefix.rstrip(".").split(".")) if prefix else ()
        wrong.append(Problem(_place(path, node), f"{what} is not a mapping of settings", steps=steps))
        return
    seen: set[str] = set()
    for key, value in node.value:
        where, name = _place(path, key), f"{prefix}{key.value}"
        owner = owner_of(name, known) if isinstance(key, yaml.ScalarNode) else None
        if not isinstance(key, yaml.ScalarNode):
            wrong.append(Problem(where, "the name of a setting must be one word"))
        elif name in seen:
            wrong.append(Problem(where, f"{name} stands twice"))
        elif owner is not None and value.tag == _NOTHING and typing.get_origin(owner.type) in {tuple, list}:
            pass
        elif owner is not None and not (owner.free and (name == owner.name or isinstance(value, yaml.MappingNode))):
            try:
                yield Given(name, _constructed(value, owner, path), where, (path, value))
            except _Unreadable as error:
                wrong.append(Problem(_place(path, error.node), f"{owner.name}: {error}", steps=tuple(name.split("."))))
        elif owner is not None or any(option.startswith(f"{name}.") for option in known):
            yield from _said(value, f"{name}.", path, known, wrong)
        else:
            wrong.append(unknown(where, name, known))
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
        return path.parent / expanded(value) if option.type is Path and isinstance(value, str) else value
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


def line_of(path: Path, node: yaml.Node, steps: Steps) -> str:
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
