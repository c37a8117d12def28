"""The files of a configuration folder of CLUES 2, read: which option stands where, and with which value."""

import configparser
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from infracore.errors import Misconfigured, NotFound

__all__ = ["Imported", "Options", "Stated", "read_options", "text_of"]

_MOST_BYTES: Final = 4 << 20
_SECTION: Final = re.compile(r"\[(.+)\]")
_OPTION: Final = re.compile(r"([^\s#;=:][^=:]*?)\s*[=:]")


@dataclass(slots=True)
class Imported:
    """Our settings as they go into clues.yaml, and what was and was not taken over, a sentence each."""

    settings: dict[str, Any] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """What can be no setting, each with its file and line."""
    origins: dict[str, str] = field(default_factory=dict)
    """Setting, or `machine NAME`, to the file and line of CLUES's that it comes from."""


@dataclass(frozen=True, slots=True)
class Stated:
    """One option as it stands in a file. Names of options and sections are in capitals."""

    section: str
    name: str
    text: str
    """Its value without quotes."""
    path: Path
    line: int

    @property
    def place(self) -> str:
        """Return where it stands, as messages begin."""
        return f"{self.path}:{self.line}"


@dataclass(slots=True)
class Options:
    """All options of all files, in their order; the last one of a name wins."""

    stated: list[Stated] = field(default_factory=list)
    used: set[str] = field(default_factory=set)

    def find(self, name: str, section: str = "") -> Stated | None:
        """Return the option that counts, and remember that it was asked for; one of `section` goes before others."""
        self.used.add(name)
        found = [item for item in self.stated if item.name == name and item.text]
        own = [item for item in found if item.section == section]
        counts = own or found
        return counts[-1] if counts else None

    def take(self, name: str) -> str:
        """Return the value; "" where there is none."""
        found = self.find(name)
        return found.text if found is not None else ""

    def rest(self) -> Iterator[str]:
        """Return the names of options that have a value and that nothing asked for."""
        yield from sorted({item.name for item in self.stated if item.text} - self.used)


def read_options(folder: Path) -> Options:
    """Read clues2.cfg and the folder of further files.

    Raises:
        NotFound: there is no clues2.cfg. Misconfigured: a file cannot be read.
    """
    first = folder / "clues2.cfg"
    if not first.is_file():
        raise NotFound(f"there is no {first}", "name the configuration folder of CLUES: clues import /etc/clues2")
    options = Options()
    options.stated += _read_file(first)
    more = folder / (options.take("CONFIG_DIR") or "conf.d")
    for path in sorted(more.glob("*.cfg")) if more.is_dir() else ():
        options.stated += _read_file(path)
    return options


def text_of(path: Path) -> str:
    """Return what a file holds. Raises Misconfigured where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{path} cannot be read: {error}") from error


def _read_file(path: Path) -> Iterator[Stated]:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str.upper  # type: ignore[assignment,method-assign]
    text = text_of(path)
    try:
        parser.read_string(text, str(path))
    except configparser.Error as error:
        raise Misconfigured(f"{path} cannot be read: {str(error).splitlines()[0]}") from error
    lines = _lines(text)
    for section in parser.sections():
        for name, value in parser.items(section):
            line = lines.get((section.upper(), name)) or lines.get(("DEFAULT", name), 1)
            yield Stated(section.upper(), name, _bare(value or ""), path, line)


def _lines(text: str) -> dict[tuple[str, str], int]:
    """Return the line of each section's options, counted from 1: the parser does not keep it."""
    found: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if head := _SECTION.match(line):
            section = head[1].upper()
        elif option := _OPTION.match(line):
            found[section, option[1].upper()] = number
    return found


def _bare(text: str) -> str:
    text = text.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\"" and text[0] not in text[1:-1]
    return text[1:-1] if quoted else text
