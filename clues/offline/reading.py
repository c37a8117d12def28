"""Reading files that nobody vouches for: YAML and JSON without duplicate keys, NaN, bombs or bottomless nesting."""

import gzip
import json
import sys
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from infracore.errors import Misconfigured, NotFound

__all__ = ["Unreadable", "documents", "json_line", "read_bytes"]

_MOST_BYTES: Final = 1 << 30
"""After decompression; a dump of 100,000 pods is about 400 MB."""
_MOST_YAML_BYTES: Final = 1 << 26
"""YAML takes fifty times as long as JSON: larger dumps are to be made with `-o json`."""
_DEEPEST: Final = 100
_MOST_BY_ALIASES: Final = 100_000
"""Values that aliases may stand for, beyond those that are written."""
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_GZIP: Final = b"\x1f\x8b"


def read_bytes(path: Path) -> bytes:
    """Return a file's content, decompressed where it is gzip; `-` is standard input.

    Raises:
        NotFound: it is not there.
        Misconfigured: it cannot be read, is damaged, or is larger than 1 GiB.
    """
    name = "standard input" if str(path) == "-" else str(path)
    try:
        if str(path) == "-":
            content = sys.stdin.buffer.read(_MOST_BYTES + 1)
        else:
            with path.open("rb") as file:
                content = file.read(_MOST_BYTES + 1)
        if content[:2] == _GZIP:
            content = _unzipped(content)
    except FileNotFoundError as error:
        raise NotFound(f"there is no file {name}") from error
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise Misconfigured(f"{name} is damaged: {error}") from error
    except OSError as error:
        raise Misconfigured(f"cannot read {name}: {error.strerror or error}") from error
    if len(content) > _MOST_BYTES:
        raise Misconfigured(f"{name} is larger than 1 GiB")
    return content


def _unzipped(content: bytes) -> bytes:
    import io

    with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
        return file.read(_MOST_BYTES + 1)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What stands in the place of a part that cannot be read."""

    error: Misconfigured
    fields: dict[str, str]
    """Its plain words that could be read, for a name."""


def documents(content: bytes, where: str, apart: str = "") -> Iterator[Any]:
    """Yield the documents of a YAML or JSON stream as plain values; empty documents are left out.

    With `apart`, documents, and the things of a list under that key of one, are read each for itself: in place of one
    that holds what is refused below stands an `Unreadable`.

    Raises:
        Misconfigured: it is neither, or holds a duplicate key, NaN, aliases for too much, or nesting deeper than 100.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Misconfigured(f"{where} is not UTF-8 text: byte {error.start} is {content[error.start]:#04x}") from error
    start = text.lstrip()[:1]
    if not start:
        return
    if start in "{[":
        try:
            yield from _json_documents(text, where)
        except (_NoJson, Misconfigured) as error:
            # flow style YAML looks alike; its own error is the better one unless it is large
            if isinstance(error, Misconfigured) and not apart:
                raise
            if len(content) > _MOST_YAML_BYTES:
                raise Misconfigured(f"{where}: {error}") from error
        else:
            return
    if len(content) > _MOST_YAML_BYTES:
        raise Misconfigured(f"{where} is larger than {_MOST_YAML_BYTES >> 20} MiB of YAML", "write it as JSON")
    yield from _yaml_documents(text, where, apart)


class _NoJson(Exception):
    """Never leaves this file."""


def json_line(line: bytes | str, where: str) -> Any:
    """Read one JSON value. Raises Misconfigured."""
    try:
        found = list(_json_documents(line.decode() if isinstance(line, bytes) else line, where))
    except (UnicodeDecodeError, _NoJson) as error:
        raise Misconfigured(f"{where} is no JSON: {error}") from error
    if len(found) != 1:
        raise Misconfigured(f"{where} is not one JSON value")
    return found[0]


def _json_documents(text: str, where: str) -> Iterator[Any]:
    decoder = json.JSONDecoder(
        object_pairs_hook=lambda pairs: _without_duplicates(pairs, where), parse_constant=_refuse_constant
    )
    at, found = 0, []
    try:
        while True:
            while at < len(text) and text[at].isspace():
                at += 1
            if at >= len(text):
                break
            value, at = decoder.raw_decode(text, at)
            found.append(value)
    except RecursionError as error:
        raise Misconfigured(f"{where} is nested too deeply") from error
    except ValueError as error:
        raise _NoJson(str(error)) from error
    yield from found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _without_duplicates(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise Misconfigured(f"{where}: the key {twice!r} stands twice in one object")
    return value


def _yaml_documents(text: str, where: str, apart: str) -> Iterator[Any]:
    try:
        written = _count_events(text, where)
        for node in yaml.compose_all(text, Loader=_LOADER):
            plain = _Plain(where, written + _MOST_BY_ALIASES, apart)
            value = plain.each(node, 0) if apart else plain.of(node, 0)
            if value is not None:
                yield value
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark is not None else ""
        raise Misconfigured(f"{where}{place}: not YAML: {getattr(error, 'problem', None) or error}") from error


def _count_events(text: str, where: str) -> int:
    """Count what is written, and refuse depth before anything is composed: that recurses."""
    depth = count = 0
    for event in yaml.parse(text, Loader=_LOADER):
        count += 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _DEEPEST:
                line = "" if event.start_mark is None else f":{event.start_mark.line + 1}"
                raise Misconfigured(f"{where}{line}: nested deeper than {_DEEPEST}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return count


class _Plain:
    """Turns nodes into plain values; aliases are written out, but only up to a number of values."""

    def __init__(self, where: str, most: int, apart: str) -> None:
        self._where = where
        self._left = most
        self._apart = apart

    def each(self, node: yaml.Node, depth: int) -> Any:
        """Return the value, or an `Unreadable` in its place."""
        try:
            return self.of(node, depth)
        except Misconfigured as error:
            pairs = node.value if isinstance(node, yaml.MappingNode) else ()
            fields = {k.value: v.value for k, v in pairs if isinstance(k.value, str) and isinstance(v.value, str)}
            return Unreadable(error, fields)

    def of(self, node: yaml.Node, depth: int) -> Any:
        place = f"{self._where}:{node.start_mark.line + 1}"
        self._left -= 1
        if self._left < 0:
            raise Misconfigured(f"{self._where}: its aliases stand for more than {_MOST_BY_ALIASES} values")
        if depth > _DEEPEST:
            raise Misconfigured(f"{place}: nested deeper than {_DEEPEST}, or an alias inside of itself")
        if isinstance(node, yaml.MappingNode) and node.tag.endswith(":map"):
            value: dict[str, Any] = {}
            for key_node, item in node.value:
                place = f"{self._where}:{key_node.start_mark.line + 1}"
                if not isinstance(key_node, yaml.ScalarNode):
                    raise Misconfigured(f"{place}: a key must be one word")
                if key_node.value in value:
                    raise Misconfigured(f"{place}: the key {key_node.value!r} stands twice in one mapping")
                is_apart = bool(self._apart) and depth == 0 and key_node.value == self._apart
                value[key_node.value] = self._items(item) if is_apart else self.of(item, depth + 1)
            return value
        if isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
            if self._apart and depth == 0:
                return [self.each(item, 1) for item in node.value]
            return [self.of(item, depth + 1) for item in node.value]
        if isinstance(node, yaml.ScalarNode):
            if node.tag.endswith((":int", ":float", ":bool", ":null")):
                return self._number(node, place)
            if node.tag.endswith((":str", ":timestamp", ":value", ":merge")):
                return node.value  # a time stays the text that it is in Kubernetes
        raise Misconfigured(f"{place}: the tag {node.tag} is not read here")

    def _items(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.SequenceNode) and node.tag.endswith(":seq"):
            return [self.each(item, 2) for item in node.value]
        return self.of(node, 1)

    @staticmethod
    def _number(node: yaml.ScalarNode, place: str) -> Any:
        try:
            read = yaml.SafeLoader("").construct_object(node)
        except (ValueError, yaml.YAMLError) as error:
            raise Misconfigured(f"{place}: {node.value[:60]!r} is no value") from error
        if isinstance(read, float) and not abs(read) < float("inf"):
            raise Misconfigured(f"{place}: {node.value[:60]!r} is not a finite number")
        return read
