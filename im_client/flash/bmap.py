"""Which parts of an image hold something: bmap-tools' files, or the holes of a sparse file.

Formats 1.2 to 2.0 as bmap-tools writes them (its `bmaptools/BmapCreate.py` and `BmapCopy.py` describe them).
"""

import errno
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from xml.parsers import expat  # a document type, and with it any entity, is refused

from im_client.flash.model import BadImage
from infracore.errors import NotFound

__all__ = ["BlockMap", "Range", "map_file", "parse_bmap", "read_bmap"]

_MOST_BYTES: Final = 64 << 20
_STEP: Final = 4096
_MOST_SIZE: Final = 1 << 50
_HASHES: Final = frozenset({"sha1", "sha256", "sha384", "sha512"})
_ONE: Final = frozenset({"ImageSize", "BlockSize", "BlocksCount", "MappedBlocksCount", "ChecksumType"})
_OF_FILE: Final = ("BmapFileChecksum", "BmapFileSHA1")


@dataclass(frozen=True, slots=True)
class Range:
    """Bytes that are mapped; `digest` is hexadecimal, of the map's `algorithm`."""

    start: int
    length: int
    digest: str = ""

    @property
    def end(self) -> int:
        """The first byte behind it."""
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class BlockMap:
    """The mapped ranges of an image, in their order."""

    size: int
    """Bytes of the raw image."""
    ranges: tuple[Range, ...]
    algorithm: str = ""
    holes_are_zero: bool = False
    """Whether what is not mapped must read as zeros; else the image's maker says that nobody reads it."""

    @property
    def mapped(self) -> int:
        """Bytes that are mapped."""
        return sum(part.length for part in self.ranges)


def read_bmap(path: Path) -> BlockMap:
    """Read a bmap file. Raises BadImage, NotFound."""
    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise NotFound(f"the block map {path} cannot be read: {error.strerror}") from error
    return parse_bmap(text, str(path))


def parse_bmap(text: bytes, where: str) -> BlockMap:
    """Parse a bmap file's content; `where` begins messages. Raises BadImage: it is none, or contradicts itself."""
    if len(text) > _MOST_BYTES:
        raise BadImage(f"{where}: larger than {_MOST_BYTES >> 20} MiB, no block map is")
    found = _Elements()
    try:
        found.read(text)
    except expat.ExpatError as error:
        raise BadImage(f"{where}: no block map: {error}", "it is XML, made by `bmaptool create`") from error
    except (ValueError, LookupError) as error:  # LookupError: an encoding that is none
        raise BadImage(f"{where}: no block map: {error}", "it is XML, made by `bmaptool create`") from error
    try:
        return _map(found, text)
    except ValueError as error:
        raise BadImage(f"{where}: {error}", "make it anew: bmaptool create IMAGE") from error


class _Elements:
    """What stands in the file, as text."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        self.ranges: list[tuple[str, str]] = []
        self._path: list[str] = []
        self._digest = ""
        self._text: list[str] = []

    def read(self, text: bytes) -> None:
        parser = expat.ParserCreate()
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text.append
        parser.Parse(text, True)

    def _doctype(self, *_: object) -> None:
        raise ValueError("it holds a document type")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path:
            if name != "bmap":
                raise ValueError(f"its root is <{name[:40]}>")
            self.values["version"] = attributes.get("version", "")
        self._path.append(name)
        self._digest = attributes.get("chksum") or attributes.get("sha1") or ""
        self._text.clear()

    def _end(self, name: str) -> None:
        text = "".join(self._text).strip()
        self._text.clear()
        if self._path == ["bmap", "BlockMap", "Range"]:
            self.ranges.append((text, self._digest))
        elif len(self._path) == 2 and (name in _ONE or name in _OF_FILE):
            if name in self.values:
                raise ValueError(f"<{name}> stands twice")
            self.values[name] = text
        self._path.pop()


def _map(found: _Elements, text: bytes) -> BlockMap:
    if not re.fullmatch(r"1\.[0-9]{1,2}|2\.0", found.values["version"]):
        raise ValueError(f"version {found.values['version'][:20]!r} is not known, 1.x and 2.0 are")
    size, block, count = (_number(found, name) for name in ("ImageSize", "BlockSize", "BlocksCount"))
    if block % 512 or not 512 <= block <= 1 << 26 or size > _MOST_SIZE or count != -(-size // block) or not size:
        raise ValueError(f"{count} blocks of {block} bytes are no image of {size} bytes")
    algorithm = found.values.get("ChecksumType", "sha1").lower()
    if algorithm not in _HASHES:
        raise ValueError(f"the checksum {algorithm[:20]!r} is not known")
    _check_itself(found, text, algorithm)
    ranges = tuple(_ranges(found.ranges, block, count, size, hashlib.new(algorithm).digest_size * 2))
    if not ranges:
        raise ValueError("it maps nothing, so that nothing would be written")
    mapped = sum(-(-part.length // block) for part in ranges)
    if "MappedBlocksCount" in found.values and mapped != _number(found, "MappedBlocksCount"):
        raise ValueError(f"{mapped} blocks are mapped, {found.values['MappedBlocksCount'][:20]} should be")
    return BlockMap(size, ranges, algorithm)


def _number(found: _Elements, name: str) -> int:
    text = found.values.get(name, "")
    if not re.fullmatch("[0-9]{1,18}", text):
        raise ValueError(f"<{name}> is {text[:20]!r}, and no number")
    return int(text)


def _check_itself(found: _Elements, text: bytes, algorithm: str) -> None:
    """Check the file's own checksum, which is made with zeros in its place."""
    said = next((found.values[name] for name in _OF_FILE if name in found.values), "")
    if not said:
        return
    zeros = text.replace(said.encode(), b"0" * len(said.encode()), 1)
    if hashlib.new(algorithm, zeros).hexdigest() != said.lower():
        raise ValueError("its own checksum does not fit, it was changed or is not whole")


def _ranges(written: list[tuple[str, str]], block: int, count: int, size: int, digits: int) -> list[Range]:
    ranges: list[Range] = []
    behind = 0
    for text, digest in written:
        numbers = re.fullmatch("([0-9]{1,15})(?: *- *([0-9]{1,15}))?", text)
        if numbers is None:
            raise ValueError(f"{text[:40]!r} is no range of blocks")
        first = int(numbers[1])
        last = int(numbers[2] or first)
        if not behind <= first <= last < count:
            raise ValueError(f"the range {text[:40]} is out of order, or outside the image")
        if digest and not re.fullmatch(f"[0-9A-Fa-f]{{{digits}}}", digest):
            raise ValueError(f"{digest[:80]!r} of the range {text[:40]} is no checksum")
        behind = last + 1
        ranges.append(Range(first * block, min(behind * block, size) - first * block, digest.lower()))
    return ranges


def map_file(fd: int, size: int) -> BlockMap:
    """Make the map of a raw image from the holes of its file (lseek(2), SEEK_HOLE); without any, all is mapped.

    What is a hole reads as zeros, and somebody may count on that: a card's blocks there are zeroed too.
    """
    ranges: list[Range] = []
    at = 0
    try:
        while at < size:
            data = os.lseek(fd, at, os.SEEK_DATA)
            start = data // _STEP * _STEP  # direct I/O takes whole pages
            at = min(-(-os.lseek(fd, data, os.SEEK_HOLE) // _STEP) * _STEP, size)
            ranges.append(Range(start, at - start))
    except OSError as error:
        if error.errno == errno.EINVAL:  # the file system, or the device, knows no holes
            return BlockMap(size, (Range(0, size),), holes_are_zero=True)
        if error.errno != errno.ENXIO:  # ENXIO: from here to its end it is a hole
            raise
    return BlockMap(size, tuple(ranges), holes_are_zero=True)
