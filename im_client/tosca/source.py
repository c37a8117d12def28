"""YAML text -> maps and lists that know where each of their parts was written.

Events of libyaml are built into values by a loop with a stack of our own: PyYAML's composer recurses in C and
crashes the process at some ten thousand open brackets. Scalars mean what PyYAML's safe loader makes of them
(YAML 1.1), but for timestamps, which stay text.
"""

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import yaml
from yaml.constructor import SafeConstructor
from yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from yaml.resolver import Resolver

from im_client.template.findings import Findings, Place, Source
from im_client.template.problems import Code

__all__ = ["Map", "Seq", "Yaml", "is_text", "key_place", "parse", "value_place"]

MAX_BYTES: Final = 4 * 2**20
MAX_VALUES: Final = 200_000
"""Values of a document with aliases written out; the largest catalogue file has 6,000."""
MAX_BITS: Final = 256
"""Longer integers stay text: Python refuses to write those of thousands of digits."""
MAX_DEPTH: Final = 60
"""Levels of nesting; real templates have below 20."""

Yaml: TypeAlias = "bool | int | float | str | Map | Seq | None"


class Map(dict[str, "Yaml"]):
    """A mapping with the places of itself, its keys and its values. Treated as immutable once read."""

    __slots__ = ("at", "keys_at", "values_at")

    def __init__(self, at: Place) -> None:
        super().__init__()
        self.at = at
        self.keys_at: dict[str, Place] = {}
        self.values_at: dict[str, Place] = {}

    def put(self, key: str, value: "Yaml", key_at: Place, value_at: Place) -> None:
        """Set a key with the places of both."""
        self[key] = value
        self.keys_at[key] = key_at
        self.values_at[key] = value_at

    def copy(self) -> "Map":
        """Return a shallow copy with places."""
        twin = Map(self.at)
        twin.update(self)
        twin.keys_at.update(self.keys_at)
        twin.values_at.update(self.values_at)
        return twin


class Seq(list["Yaml"]):
    """A list with the places of itself and its items. Treated as immutable once read."""

    __slots__ = ("at", "items_at")

    def __init__(self, at: Place) -> None:
        super().__init__()
        self.at = at
        self.items_at: list[Place] = []

    def put(self, value: "Yaml", at: Place) -> None:
        """Append an item with its place."""
        self.append(value)
        self.items_at.append(at)


def key_place(where: Map, key: str) -> Place:
    """Return the place of a key, or of the map where the key is not in it."""
    return where.keys_at.get(key, where.at)


def value_place(where: "Map | Seq", key: str | int) -> Place:
    """Return the place of a value, or of the container where it is not in it."""
    if isinstance(where, Map):
        return where.values_at.get(str(key), where.at)
    return where.items_at[key] if isinstance(key, int) and key < len(where.items_at) else where.at


def is_text(value: object) -> bool:
    """Say whether a value is text with something in it."""
    return isinstance(value, str) and bool(value.strip())


def parse(text: bytes, file: str, findings: Findings) -> Map | None:
    """Read one document whose top is a mapping; None with problems recorded where it is not one."""
    source = Source(file)
    start = Place(source, 1, 1)
    if len(text) > MAX_BYTES:
        findings.add(Code.TOO_LARGE, start, f"the file has {len(text)} bytes; {MAX_BYTES} is the most")
        return None
    try:
        lines = tuple(text.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n"))
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = error.start - text.rfind(b"\n", 0, error.start)
        findings.add(
            Code.UNREADABLE,
            Place(source, line, column),
            f"byte {text[error.start]:#04x} is not UTF-8 text",
            "save the file as UTF-8",
        )
        return None
    source = Source(file, lines)
    builder = _Builder(source, findings)
    try:
        top = builder.build(text)
    except _Stop:
        return None
    except yaml.YAMLError as error:
        _syntax(error, source, findings)
        return None
    if top is None:
        findings.add(Code.EMPTY, Place(source, 1, 1), "the file says nothing", "write a TOSCA template")
        return None
    if not isinstance(top, Map):
        kind = "a list" if isinstance(top, Seq) else "a single value"
        findings.add(Code.NOT_A_MAP, Place(source, 1, 1), f"a template is a mapping, and this is {kind}")
        return None
    return top


def _syntax(error: yaml.YAMLError, source: Source, findings: Findings) -> None:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
    said = str(getattr(error, "problem", None) or getattr(error, "reason", None) or error).strip()
    context = getattr(error, "context", None)
    hint = ""
    if source.line(line)[:column].strip(" ").startswith("\t") or "\t" in source.line(line)[: column + 1]:
        hint = "indent with spaces: YAML does not allow tabs there"
    elif "mapping values are not allowed" in said:
        hint = "check the indentation, and quote a text that holds ': '"
    elif "could not find expected ':'" in said or "did not find expected key" in said:
        hint = "check the indentation of this line and of the one before"
    message = f"not YAML: {said}" + (f" {context}" if context else "")
    findings.add(Code.YAML_SYNTAX, Place(source, max(line, 1), max(column, 1)), message, hint)


class _Stop(Exception):
    """Reading cannot go on; the problem is recorded."""


@dataclass(slots=True)
class _Frame:
    value: Map | Seq
    anchor: str | None
    size: int = 1
    depth: int = 1
    key: str | None = None
    key_at: Place | None = None
    merges: list[tuple["Yaml", Place]] = field(default_factory=list)
    skip_key: bool = False


_TAG: Final = "tag:yaml.org,2002:"
_MERGE: Final = object()
_CONSTRUCTOR: Final = SafeConstructor()
_PLAIN: Final[dict[str, Any]] = {
    f"{_TAG}int": _CONSTRUCTOR.construct_yaml_int,
    f"{_TAG}float": _CONSTRUCTOR.construct_yaml_float,
    f"{_TAG}bool": _CONSTRUCTOR.construct_yaml_bool,
    f"{_TAG}null": _CONSTRUCTOR.construct_yaml_null,
}
_IMPLICIT: Final[dict[str, list[tuple[str, Any]]]] = {
    str(first or ""): [(tag, regexp) for tag, regexp in pairs if tag in _PLAIN]
    for first, pairs in Resolver.yaml_implicit_resolvers.items()
}


def _plain(text: str) -> Any:
    """Give a plain scalar the meaning that PyYAML gives it."""
    for tag, regexp in _IMPLICIT.get(text[:1], ()):
        if regexp.match(text):
            return _typed(tag, text)
    return text


def _typed(tag: str, text: str) -> Any:
    try:
        value = _PLAIN[tag](yaml.ScalarNode(tag, text))
        if isinstance(value, int) and value.bit_length() > MAX_BITS:
            return text
        return value
    except (ValueError, KeyError, IndexError, OverflowError):  # an int of thousands of digits, `!!bool maybe`
        return text


class _Builder:
    """Builds values out of events. `anchors` hold finished values only, so that nothing can contain itself."""

    def __init__(self, source: Source, findings: Findings) -> None:
        self._source = source
        self._findings = findings
        self._anchors: dict[str, tuple[Any, int, int]] = {}
        self._total = 0

    def build(self, text: bytes) -> Any:
        parser = yaml.CSafeLoader(text)
        try:
            return self._run(parser)
        finally:
            parser.dispose()

    def _run(self, parser: Any) -> Any:
        stack: list[_Frame] = []
        top: Any = None
        documents = 0
        next_event = parser.get_event
        while (event := next_event()) is not None:
            kind = type(event)
            if kind is StreamEndEvent:
                break
            if kind is StreamStartEvent or kind is DocumentEndEvent:
                continue
            mark = event.start_mark
            place = Place(self._source, mark.line + 1, mark.column + 1)
            if kind is DocumentStartEvent:
                documents += 1
                if documents > 1:
                    self._stop(Code.YAML_SYNTAX, place, "the file holds more than one document", "split it at ---")
                continue
            size = depth = 1
            anchor = None
            if kind is ScalarEvent:
                value = self._scalar(event, place)
                anchor = event.anchor
            elif kind is AliasEvent:
                if event.anchor not in self._anchors:
                    self._stop(Code.YAML_SYNTAX, place, f"the alias *{event.anchor} has no anchor before it")
                value, size, depth = self._anchors[event.anchor]
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                if len(stack) >= MAX_DEPTH:
                    self._stop(Code.TOO_LARGE, place, f"nested deeper than {MAX_DEPTH} levels")
                fresh: Map | Seq = Map(place) if kind is MappingStartEvent else Seq(place)
                stack.append(_Frame(fresh, event.anchor))
                continue
            else:
                frame = stack.pop()
                self._finish(frame)
                value, size, depth, anchor = frame.value, frame.size, frame.depth, frame.anchor
                place = frame.value.at
            self._total += size if kind is AliasEvent else 1
            if self._total > MAX_VALUES:
                self._stop(Code.TOO_LARGE, place, f"more than {MAX_VALUES} values with all aliases written out")
            if anchor is not None:
                self._anchors[anchor] = (value, size, depth)
            if stack:
                self._into(stack[-1], value, place, size, depth)
            else:
                top = None if value is _MERGE else value
        return top

    def _into(self, frame: _Frame, value: Any, place: Place, size: int, depth: int) -> None:
        frame.size += size
        frame.depth = max(frame.depth, depth + 1)
        if frame.depth > MAX_DEPTH:
            self._stop(Code.TOO_LARGE, place, f"nested deeper than {MAX_DEPTH} levels")
        container = frame.value
        if isinstance(container, Seq):
            container.put("<<" if value is _MERGE else value, place)
        elif frame.key_at is None:
            self._key(frame, container, value, place)
        else:
            if frame.key is None:
                if not frame.skip_key:
                    frame.merges.append((value, place))
            else:
                container.put(frame.key, "<<" if value is _MERGE else value, frame.key_at, place)
            frame.key = frame.key_at = None
            frame.skip_key = False

    def _key(self, frame: _Frame, container: Map, value: Any, place: Place) -> None:
        frame.key_at = place
        if value is _MERGE:
            frame.key = None
        elif isinstance(value, Map | Seq):
            frame.skip_key = True
            self._findings.add(Code.YAML_SYNTAX, place, "a key is plain text, not a list or a mapping")
        else:
            key = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            if key in container:
                first = container.keys_at[key]
                self._findings.add(
                    Code.DUPLICATE_KEY,
                    place,
                    f'the key "{key}" is there twice; the first is on line {first.line}',
                    "keep one of the two",
                )
            frame.key = key

    def _scalar(self, event: Any, place: Place) -> Any:
        tag = event.tag
        if tag is None or tag == "!":
            if event.implicit[0]:
                return _MERGE if event.value == "<<" else _plain(event.value)
            return event.value
        if tag == f"{_TAG}str":
            return event.value
        if tag in _PLAIN:
            return _typed(tag, event.value)
        self._findings.add(Code.YAML_SYNTAX, place, f"the tag {tag} has no meaning in TOSCA", "leave the tag out")
        return event.value

    def _finish(self, frame: _Frame) -> None:
        """Put what `<<` brings in: said keys win, then earlier maps of the list."""
        if not isinstance(frame.value, Map):
            return
        for value, place in frame.merges:
            for part in value if isinstance(value, Seq) else (value,):
                if not isinstance(part, Map):
                    self._findings.add(Code.YAML_SYNTAX, place, "<< merges mappings only")
                    continue
                for key, item in part.items():
                    if key not in frame.value:
                        frame.value.put(key, item, part.keys_at[key], part.values_at[key])

    def _stop(self, code: Code, place: Place, message: str, hint: str = "") -> None:
        self._findings.add(code, place, message, hint)
        raise _Stop
