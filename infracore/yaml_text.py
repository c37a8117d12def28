"""YAML of somebody else, read without harm: nothing of it is built before its nesting and its aliases are known.

libyaml's composer calls itself for each level (PyYAML 6: about 60,000 opening brackets end the process by SIGSEGV),
and aliases or merge keys written out grow by a power with each line. The events that are looked at here do neither.
"""

from typing import Any, Final

import yaml

__all__ = ["MAX_DEPTH", "load_yaml", "yaml_problem"]

MAX_DEPTH: Final = 60
"""Levels of nesting, as for templates."""


def load_yaml(text: str, *, aliases: bool = False, once: bool = False) -> Any:
    """Return what a document says, in Python's own types.

    With `aliases` they are allowed: for documents whose author may be trusted not to make them grow. With `once` a key
    that stands twice in a mapping is refused; YAML would keep the last and say nothing.

    Raises:
        yaml.YAMLError: it is no YAML. ValueError: nested too deep, an alias, a key that stands twice, or a date or
            number that is none.
    """
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"nested deeper than {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        elif isinstance(event, yaml.AliasEvent) and not aliases:
            raise ValueError(f"an alias (*{event.anchor}) stands in it; write it out")
    if once and (node := yaml.compose(text, Loader=yaml.CSafeLoader)) is not None:
        _refuse_twice(node, set())
    return yaml.load(text, Loader=yaml.CSafeLoader)


def yaml_problem(error: yaml.YAMLError | ValueError) -> str:
    """Return what is wrong and where, without the lines themselves: there may be a password on them."""
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or getattr(error, "reason", None) or error
    place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
    return f"{place}{said}"


def _refuse_twice(node: yaml.Node, told: set[int]) -> None:
    if id(node) in told:  # an alias, perhaps of what it stands in
        return
    told.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_twice(item, told)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise ValueError(f"line {key.start_mark.line + 1}: {key.value} stands twice in one mapping")
            seen.add(str(key.value))
            _refuse_twice(value, told)
