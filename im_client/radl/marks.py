"""JSON -> values that know where they stand: Python's own reader tells a place of an error only."""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from im_client.template.findings import Findings, Place, Source
from im_client.template.problems import Code

__all__ = ["Node", "Value", "parse"]

MAX_DEPTH: Final = 20
"""RADL nests five deep."""
MAX_VALUES: Final = 200_000
MAX_DIGITS: Final = 40

_SPACE: Final = re.compile(r"[ \t\n]*")
_STRING: Final = re.compile(r'"((?:[^"\\\x00-\x1f]|\\.)*)"')
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WORDS: Final = {"true": True, "false": False, "null": None}
_WORD: Final = re.compile(r"[A-Za-z_]+")

Value: TypeAlias = "str | int | float | bool | tuple[Node, ...] | Mapping[str, Node] | None"


@dataclass(frozen=True, slots=True)
class Node:
    """A value, where it is, and where its key is if it has one."""

    value: Value
    at: Place
    key_at: Place | None = None


class _Broken(Exception):
    """Reading stops: the problem is recorded."""


def parse(source: Source, findings: Findings) -> Node | None:
    """Read one document; None with the problem recorded where it is no JSON."""
    reading = _Reading(source, findings)
    try:
        return reading.document()
    except _Broken:
        return None


@dataclass(slots=True)
class _Reading:
    source: Source
    findings: Findings
    text: str = ""
    position: int = 0
    count: int = 0
    starts: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.text = "\n".join(self.source.lines)
        self.starts = [0]
        for line in self.source.lines:
            self.starts.append(self.starts[-1] + len(line) + 1)

    def document(self) -> Node:
        node = self.value(0)
        self.skip()
        if self.position < len(self.text):
            raise self.broken("the document is complete, and something follows")
        return node

    def at(self, position: int | None = None) -> Place:
        position = self.position if position is None else position
        line = min(bisect_right(self.starts, position), len(self.source.lines))
        return Place(self.source, line, position - self.starts[line - 1] + 1)

    def broken(self, message: str, hint: str = "", code: Code = Code.JSON_SYNTAX) -> _Broken:
        self.findings.add(code, self.at(), message, hint)
        return _Broken()

    def skip(self) -> None:
        match = _SPACE.match(self.text, self.position)
        self.position = match.end() if match else self.position

    def peek(self) -> str:
        self.skip()
        return self.text[self.position : self.position + 1]

    def value(self, depth: int) -> Node:
        first = self.peek()
        at = self.at()
        self.count += 1
        if depth > MAX_DEPTH:
            raise self.broken(f"more than {MAX_DEPTH} levels of nesting", code=Code.TOO_LARGE)
        if self.count > MAX_VALUES:
            raise self.broken(f"more than {MAX_VALUES} values", code=Code.TOO_LARGE)
        match first:
            case "[":
                return Node(self.array(depth), at)
            case "{":
                return Node(self.object(depth), at)
            case '"':
                return Node(self.string(), at)
            case "":
                raise self.broken("the file ends in the middle", "close every [ and {")
            case "'":
                raise self.broken("text stands in double quotes", 'write "..."')
        number = _NUMBER.match(self.text, self.position)
        if number is not None:
            return Node(self.number(number), at)
        word = _WORD.match(self.text, self.position)
        if word is not None and word[0] in _WORDS:
            self.position = word.end()
            return Node(_WORDS[word[0]], at)
        said = word[0][:40] if word else first if first.isprintable() else f"character {ord(first):#04x}"
        raise self.broken(f"a value is expected, and there is {said}", "text stands in double quotes")

    def number(self, match: re.Match[str]) -> int | float:
        if len(match[0]) > MAX_DIGITS:
            raise self.broken(f"a number of {len(match[0])} digits is beyond all use", code=Code.TOO_LARGE)
        self.position = match.end()
        return float(match[0]) if any(mark in match[0] for mark in ".eE") else int(match[0])

    def string(self) -> str:
        match = _STRING.match(self.text, self.position)
        if match is None:
            raise self.broken("this text is never closed, or holds a line break", 'end it with "; a line break is \\n')
        try:
            said = str(json.loads(match[0]))
        except ValueError:
            raise self.broken("this text has a \\ that JSON does not know", "a backslash is written \\\\") from None
        if any("\ud800" <= char <= "\udfff" for char in said):
            raise self.broken("this text has half of a surrogate pair")
        self.position = match.end()
        return said

    def array(self, depth: int) -> tuple[Node, ...]:
        self.position += 1
        found: list[Node] = []
        if self.peek() == "]":
            self.position += 1
            return ()
        while True:
            found.append(self.value(depth + 1))
            if self.closed("]"):
                return tuple(found)

    def closed(self, bracket: str) -> bool:
        mark = self.peek()
        if mark == bracket:
            self.position += 1
            return True
        if mark != ",":
            raise self.broken(f", or {bracket} is expected", "close every [ and {" if not mark else "")
        self.position += 1
        if self.peek() == bracket:
            raise self.broken(f"a comma stands in front of {bracket}", "remove the comma")
        return False

    def object(self, depth: int) -> Mapping[str, Node]:
        self.position += 1
        found: dict[str, Node] = {}
        if self.peek() == "}":
            self.position += 1
            return found
        while True:
            if self.peek() != '"':
                raise self.broken("a key in double quotes is expected", 'write "key": value')
            key_at = self.at()
            key = self.string()
            if self.peek() != ":":
                raise self.broken("a colon is expected behind a key")
            self.position += 1
            node = self.value(depth + 1)
            if key in found:
                first = found[key].key_at
                line = first.line if first else 1
                said = f'the key "{key[:40]}" is there twice; the first is on line {line}'
                self.findings.add(Code.DUPLICATE_KEY, key_at, said)
            else:
                found[key] = Node(node.value, node.at, key_at)
            if self.closed("}"):
                return found
