"""What can be said of a recipe without Ansible: is it YAML, what does it include, which variables does it read."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from im_client.radl.model import Document, Recipe
from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code

__all__ = ["Looked", "look", "look_at_all", "with_included"]

_MOST_EVENTS: Final = 200_000
_MOST_DEPTH: Final = 60
_INCLUDING: Final = frozenset({"include", "include_tasks", "import_tasks", "import_playbook"})
_OURS: Final = re.compile(r"\bIM_[A-Z0-9_]+\b")
_FILE: Final = re.compile(r"([^\W\d][\w.\-]*)\.ya?ml")
_AT_END: Final = re.compile(r"^[ \t]*@end\b", re.MULTILINE)


@dataclass(slots=True)
class Looked:
    """What was found in a recipe."""

    includes: dict[str, Place] = field(default_factory=dict)
    """Names of other recipes that it includes as `NAME.yml`."""
    variables: frozenset[str] = frozenset()
    """Words that begin with `IM_`."""


def look_at_all(document: Document, findings: Findings) -> dict[str, Looked]:
    """Look at every recipe, and at what they include: others that are there, and not in a circle."""
    found = {r.name: look(r, findings) for r in document.recipes if not r.is_reference}
    for name, looked in found.items():
        for other, place in looked.includes.items():
            if other not in found:
                hint = meant(other, found)
                said = f'the recipe "{name}" includes {other}.yml, and there is no recipe "{other}"'
                findings.add(Code.UNKNOWN_NODE, place, said, hint)
    for circle in _circles(found):
        place = found[circle[0]].includes[circle[1 % len(circle)]]
        way = " -> ".join((*circle, circle[0]))
        findings.add(Code.CYCLIC_DEPENDENCY, place, f"recipes include one another in a circle: {way}")
    return found


def with_included(name: str, found: Mapping[str, Looked]) -> list[str]:
    """Return a recipe and all that it includes, directly or not, in order of discovery."""
    names = {name: None}
    queue = [name]
    for one in queue:
        if one in found:
            fresh = [other for other in found[one].includes if other not in names and other in found]
            names |= dict.fromkeys(fresh)
            queue += fresh
    return queue


def look(recipe: Recipe, findings: Findings) -> Looked:
    """Read a recipe's YAML; what Ansible cannot run is recorded."""
    looked = Looked(variables=frozenset(_OURS.findall(recipe.text)))
    if recipe.text.startswith("$ANSIBLE_VAULT"):
        said = f'the recipe "{recipe.name}" is encrypted with ansible-vault, which is not read here'
        findings.add(Code.BAD_RECIPE, recipe.text_at, said, "write it in clear, with secrets as @input.NAME@")
        return looked
    if _AT_END.search(recipe.text):
        said = f'a line of the recipe "{recipe.name}" begins with @end, which ends a recipe in RADL text'
        findings.add(Code.BAD_RECIPE, recipe.text_at, said)
        return looked
    try:
        for seen in _walk(recipe, findings):
            if not _see(recipe, looked, seen, findings):
                break
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        reason = getattr(error, "problem", None) or "it holds a character that YAML does not allow"
        said = f'the recipe "{recipe.name}" is not YAML: {reason}'
        findings.add(Code.YAML_SYNTAX, _place(recipe, line, column), said + _of_line(recipe, line))
    return looked


def _of_line(recipe: Recipe, line: int) -> str:
    return f" (its line {line + 1})" if recipe.is_folded else ""


def _place(recipe: Recipe, line: int, column: int) -> Place:
    if recipe.is_folded:
        return recipe.text_at
    source, first, _ = recipe.text_at
    return Place(source, first + line, column + 1)


class _Seen(NamedTuple):
    """A value in a recipe: how deep, under which key, and what."""

    depth: int
    key: str | None
    event: Event


def _walk(recipe: Recipe, findings: Findings) -> Iterator[_Seen]:
    """Yield each value. The parser's events do not recurse."""
    stack: list[list[str | None]] = []
    """One entry an open container: [] for a list, [key or None] for a mapping."""
    documents = 0
    for number, event in enumerate(yaml.parse(recipe.text, Loader=yaml.CSafeLoader)):
        if number > _MOST_EVENTS or len(stack) > _MOST_DEPTH:
            said = f'the recipe "{recipe.name}" is larger or nests deeper than any real one'
            findings.add(Code.TOO_LARGE, recipe.text_at, said)
            return
        if isinstance(event, DocumentStartEvent):
            documents += 1
            if documents > 1:
                at = _place(recipe, *_mark(event))
                findings.add(Code.BAD_RECIPE, at, f'the recipe "{recipe.name}" has a second document', "remove the ---")
                return
        elif isinstance(event, MappingEndEvent | SequenceEndEvent):
            stack.pop()
        elif isinstance(event, ScalarEvent | AliasEvent | MappingStartEvent | SequenceStartEvent):
            top = stack[-1] if stack else None
            key: str | None = None
            if top and top[0] is None:
                top[0] = event.value if isinstance(event, ScalarEvent) else "?"
                if isinstance(event, ScalarEvent | AliasEvent):
                    continue
            elif top:
                key, top[0] = top[0], None
            yield _Seen(len(stack), key, event)
            if isinstance(event, MappingStartEvent):
                stack.append([None])
            elif isinstance(event, SequenceStartEvent):
                stack.append([])


def _mark(event: Event) -> tuple[int, int]:
    mark = event.start_mark
    return (mark.line, mark.column) if mark is not None else (0, 0)


def _see(recipe: Recipe, looked: Looked, seen: _Seen, findings: Findings) -> bool:
    """Look at one value; False where the rest means nothing."""
    depth, key, event = seen
    line, column = _mark(event)
    at = _place(recipe, line, column)
    if depth == 0 and not isinstance(event, SequenceStartEvent):
        if isinstance(event, ScalarEvent) and not event.value:
            return True
        said = f'the recipe "{recipe.name}" is no list of plays or tasks'
        findings.add(Code.BAD_RECIPE, at, said, "write: - tasks: [ ... ]; cloud-init is not run here")
        return False
    if depth == 1 and not isinstance(event, MappingStartEvent):
        said = f'the recipe "{recipe.name}" has something in its list that is no play and no task'
        findings.add(Code.BAD_RECIPE, at, said + _of_line(recipe, line))
    elif key is not None and key.rsplit(".", 1)[-1] in _INCLUDING and isinstance(event, ScalarEvent):
        if key == "include":
            said = f'the recipe "{recipe.name}" uses "include", which Ansible has no more'
            hint = "use import_tasks for tasks, import_playbook for plays"
            findings.warn(Code.BAD_RECIPE, at, said + _of_line(recipe, line), hint)
        named = _FILE.fullmatch(event.value.strip())
        if named is not None:
            looked.includes.setdefault(named[1], at)
    return True


def _circles(found: Mapping[str, Looked]) -> list[list[str]]:
    """Return one circle for each recipe that is first met in one."""
    done: set[str] = set()
    circles: list[list[str]] = []
    for start in found:
        path: dict[str, None] = {}
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                del path[name]
                done.add(name)
            elif name in path:
                names = list(path)
                circles.append(names[names.index(name) :])
            elif name not in done and name in found:
                path[name] = None
                stack.append((name, True))
                stack += [(other, False) for other in reversed(found[name].includes)]
    return circles
