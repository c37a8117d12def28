"""YAML of somebody else, read without harm: nothing of it is built before its nesting and its aliases are known.

libyaml's composer calls itself for each level (PyYAML 6: about 60,000 opening brackets end the process by SIGSEGV),
and aliases or merge keys written out grow by a power with each line. The events that are looked at here do neither.
"""

from typing import Any, Final

import yaml

__all__ = ["MAX_DEPTH", "load_yaml"]

MAX_DEPTH: Final = 60
"""Levels of nesting, as for templates."""


def load_yaml(text: str, *, aliases: bool = False) -> Any:
    """Return what a document says, in Python's own types.

    With `aliases` they are allowed: for documents whose author may be trusted not to make them grow.

    Raises:
        yaml.YAMLError: it is no YAML. ValueError: nested too deep, an alias, or a date or number that is none.
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
    return yaml.load(text, Loader=yaml.CSafeLoader)
