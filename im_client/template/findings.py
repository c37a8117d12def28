"""Collecting problems while a template is read: with the text of the line and words that were perhaps meant."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Final, NamedTuple

from im_client.template.problems import Code, Level, Problem

__all__ = ["Findings", "Place", "Placed", "Source", "meant"]

MAX_LINE: Final = 240
"""Characters of a line that a problem keeps."""

MAX_PROBLEMS: Final = 500
"""A broken generator can make a problem on every line; nobody reads more errors, or more warnings, than this."""

MAX_LOOKED_AT: Final = 300
"""Words among which a similar one is looked for: it takes some 10 microseconds a word, for each of 500 problems."""


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A file by its location, with its lines."""

    file: str
    lines: tuple[str, ...] = ()

    def line(self, number: int) -> str:
        """Return the text of a line counted from 1, "" where there is none."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


class Place(NamedTuple):
    """Where something is said; line and column count from 1."""

    source: Source
    line: int
    column: int


class Placed(NamedTuple):
    """A problem that has not been made out yet."""

    code: Code
    place: Place
    message: str
    hint: str
    level: Level


@dataclass(slots=True)
class Findings:
    """The problems found so far. One object serves one analysis."""

    _problems: dict[Placed, None] = field(default_factory=dict)
    _unknown_types: set[Place] = field(default_factory=set)
    _counts: Counter[Level] = field(default_factory=Counter)

    def add(self, code: Code, place: Place, message: str, hint: str = "", level: Level = Level.ERROR) -> None:
        """Record an error; the same one at the same place counts once, and so does a type that is not known."""
        if code is Code.UNKNOWN_TYPE:
            if place in self._unknown_types:
                return
            self._unknown_types.add(place)
        placed = Placed(code, place, message, hint, level)
        if self.takes(level) and placed not in self._problems:
            self._problems[placed] = None
            self._counts[level] += 1

    def warn(self, code: Code, place: Place, message: str, hint: str = "") -> None:
        """Record a warning."""
        self.add(code, place, message, hint, Level.WARNING)

    def takes(self, level: Level) -> bool:
        """Say whether more problems of a level are taken. Many warnings leave room for errors."""
        return self._counts[level] < MAX_PROBLEMS

    @property
    def has_errors(self) -> bool:
        """Whether anything found stops a deployment."""
        return self._counts[Level.ERROR] > 0

    def all(self) -> tuple[Problem, ...]:
        """Return everything in the order of files, lines and columns."""
        return tuple(sorted({_problem(placed): None for placed in self._problems}))

    def placed(self) -> tuple[Placed, ...]:
        """Return everything in the order in which it was found."""
        return tuple(self._problems)


def _problem(placed: Placed) -> Problem:
    code, (source, line, column), message, hint, level = placed
    return Problem(source.file, line, column, code, message, hint, level, source.line(line)[:MAX_LINE])


def meant(name: object, known: Iterable[str]) -> str:
    """Say which known word was probably meant, or which words there are when they are few."""
    known = set(known)
    if len(known) > MAX_LOOKED_AT:
        return ""
    options = sorted(known)
    close = get_close_matches(str(name)[:100], options, n=1, cutoff=0.6)
    if not close:
        tails = {option.rsplit(".", 1)[-1].lower(): option for option in options}
        tail = tails.get(str(name).rsplit(".", 1)[-1].lower())
        close = [tail] if tail else []
    if close:
        return f"did you mean {close[0]}?"
    if not options:
        return ""
    shown = ", ".join(options[:8])
    return f"known: {shown}" if len(options) <= 8 else f"known: {shown} and {len(options) - 8} more"
