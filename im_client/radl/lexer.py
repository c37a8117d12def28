"""RADL text -> tokens with their places.

A string stands in ' or ". As in the Infrastructure Manager a backslash has a meaning only in front of a quote; here
the backslashes directly in front of a quote are read in pairs, each pair one backslash, so that every text can be
written. `@input.NAME@` is a parameter wherever it stands.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from im_client.template.findings import Findings, Place, Source
from im_client.template.problems import Code

__all__ = ["MAX_BYTES", "PARAMETER", "Kind", "Token", "decode", "substitute", "tokens"]

MAX_BYTES: Final = 4 * 2**20
MAX_TOKENS: Final = 300_000
MAX_DIGITS: Final = 40
"""Longer numbers mean nothing, and Python refuses to read those of thousands of digits."""

PARAMETER: Final = re.compile(r"@input\.([\w.-]+)@")
_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\f\v]+|\#[^\n]*)
    |(?P<line>\n)
    |(?P<body>@begin\b)
    |(?P<parameter>@input\.[\w.-]+@)
    |(?P<number>-?\d+(?:\.\d+)?)
    |(?P<word>[^\W\d][\w.\-]*)
    |(?P<quote>['"])
    |(?P<operator>>=|<=|=|>|<)
    |(?P<mark>[()\[\],])""",
    re.VERBOSE,
)
_END: Final = re.compile(r"^[ \t]*@end\b", re.MULTILINE)


class Kind(Enum):
    """What a token is."""

    WORD = auto()
    NUMBER = auto()
    TEXT = auto()
    PARAMETER = auto()
    """A parameter that has no value; the token's text is its name."""
    OPERATOR = auto()
    MARK = auto()
    BODY = auto()
    BAD = auto()
    """A character that no RADL has; it was reported, and stands where a value or name was meant."""
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A token. `first` says that nothing but space stands before it on its line."""

    kind: Kind
    text: str
    at: Place
    first: bool = False
    text_at: Place | None = None
    """Of a body: where its first line is."""


def decode(text: bytes, file: str, findings: Findings) -> Source | None:
    """Return the lines of a file; None with a problem recorded where it is too large or not UTF-8."""
    start = Place(Source(file), 1, 1)
    if len(text) > MAX_BYTES:
        findings.add(Code.TOO_LARGE, start, f"the file has {len(text)} bytes; {MAX_BYTES} is the most")
        return None
    try:
        said = text.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        column = error.start - text.rfind(b"\n", 0, error.start)
        said_byte = f"byte {text[error.start]:#04x} is not UTF-8 text"
        findings.add(Code.UNREADABLE, Place(Source(file), line, column), said_byte, "save the file as UTF-8")
        return None
    return Source(file, tuple(said.split("\n")))


def tokens(source: Source, inputs: Mapping[str, str], findings: Findings) -> tuple[list[Token], dict[str, Place]]:
    """Return the tokens, an END last, and the parameters by where they are first used."""
    reading = _Reading(source, inputs, findings)
    reading.run()
    return reading.found, reading.parameters


def substitute(text: str, inputs: Mapping[str, str]) -> str:
    """Put the values of parameters into a text; those without one stay."""
    return PARAMETER.sub(lambda match: inputs.get(match[1], match[0]), text)


class _Reading:
    def __init__(self, source: Source, inputs: Mapping[str, str], findings: Findings) -> None:
        self.found: list[Token] = []
        self.parameters: dict[str, Place] = {}
        self._source = source
        self._text = "\n".join(source.lines)
        self._inputs = inputs
        self._findings = findings
        self._line = 1
        self._start = 0
        """Offset of the line's first character."""
        self._first = True

    def run(self) -> None:
        text, position, bad_line = self._text, 0, 0
        while position < len(text):
            if len(self.found) > MAX_TOKENS:
                self._findings.add(Code.TOO_LARGE, self._at(position), f"more than {MAX_TOKENS} words")
                break
            match = _TOKEN.match(text, position)
            if match is None:
                if bad_line != self._line:  # one of a kind a line is enough
                    self._unexpected(position)
                    bad_line = self._line
                if not self.found or self.found[-1].kind is not Kind.BAD:
                    self._put(Kind.BAD, text[position], position)
                position += 1
                continue
            position = self._take(match)
        self._put(Kind.END, "", len(text))

    def _take(self, match: re.Match[str]) -> int:
        kind, text, position = match.lastgroup, match[0], match.start()
        if kind == "line":
            self._line, self._start, self._first = self._line + 1, match.end(), True
        elif kind == "body":
            return self._body(match)
        elif kind == "quote":
            return self._string(match)
        elif kind == "parameter":
            self._parameter(PARAMETER.fullmatch(text), position)
        elif kind != "space":
            self._put(Kind[str(kind).upper()], text, position)
        return match.end()

    def _at(self, position: int) -> Place:
        return Place(self._source, self._line, position - self._start + 1)

    def _put(self, kind: Kind, text: str, position: int, text_at: Place | None = None) -> None:
        self.found.append(Token(kind, text, self._at(position), self._first, text_at))
        self._first = False

    def _unexpected(self, position: int) -> None:
        char = self._text[position]
        shown = char if char.isprintable() else f"character {ord(char):#04x}"
        hint = {
            "@": "a recipe stands between @begin and @end, a parameter is written @input.NAME@",
            "{": "features stand in ( )",
            "}": "features stand in ( )",
            ";": "features are joined by: and",
            "&": "features are joined by: and",
            "\u201c": "quotes are ' or \"",
            "\u2019": "quotes are ' or \"",
        }.get(char, "")
        self._findings.add(Code.RADL_SYNTAX, self._at(position), f"{shown} means nothing here", hint)

    def _parameter(self, match: re.Match[str] | None, position: int) -> None:
        if match is None:
            return
        self.parameters.setdefault(match[1], self._at(position))
        value = self._inputs.get(match[1])
        if value is None:
            self._put(Kind.PARAMETER, match[1], position)
        elif re.fullmatch(r"\d+(?:\.\d+)?", value):
            self._put(Kind.NUMBER, value, position)
        else:
            self._number_with_unit(value, position)

    def _number_with_unit(self, value: str, position: int) -> None:
        amount = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]+)", value)
        if amount is not None:
            self._put(Kind.NUMBER, amount[1], position)
            self._put(Kind.WORD, amount[2], position)
        elif re.fullmatch(r"[^\W\d][\w.\-]*", value):
            self._put(Kind.WORD, value, position)
        else:
            quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "'\""
            self._put(Kind.TEXT, value[1:-1] if quoted else value, position)

    def _string(self, match: re.Match[str]) -> int:
        text, quote, begin = self._text, match[0], match.start()
        parts: list[str] = []
        position = kept = match.end()
        while True:
            close = text.find(quote, position)
            if close < 0:
                hint = f"end it with {quote}"
                self._findings.add(Code.RADL_SYNTAX, self._at(begin), "this quote is never closed", hint)
                self._put(Kind.BAD, "", begin)
                end_of_line = text.find("\n", begin)
                return end_of_line if end_of_line >= 0 else len(text)
            run = close - len(text[kept:close].rstrip("\\")) - kept
            parts += (text[kept : close - run], "\\" * (run // 2))
            if run % 2 == 0:
                break
            parts.append(quote)
            position = kept = close + 1
        value = "".join(parts)
        self._parameters_in(match.end(), close)
        self._put(Kind.TEXT, substitute(value, self._inputs), begin)
        self._advance(begin, close + 1)
        return close + 1

    def _body(self, match: re.Match[str]) -> int:
        text, begin = self._text, match.start()
        at = self._at(begin)
        end = _END.search(text, match.end())
        if end is None:
            hint = "end the recipe with a line: @end"
            self._findings.add(Code.RADL_SYNTAX, at, "this @begin has no @end", hint)
            self._put(Kind.BAD, "", begin)
            return len(text)
        body = text[match.end() : end.start()]
        lead = len(body) - len(body.lstrip("\n \t\r"))
        blank = body[:lead].rfind("\n") + 1  # indentation of the first line is kept
        first = Place(self._source, self._line + body[:blank].count("\n"), 1)
        self._parameters_in(match.end(), end.start())
        self._put(Kind.BODY, substitute(body[blank:], self._inputs), begin, first)
        self._advance(begin, end.end())
        return end.end()

    def _parameters_in(self, begin: int, end: int) -> None:
        text, line, counted = self._text, self._line, begin
        for match in PARAMETER.finditer(text, begin, end):
            line += text.count("\n", counted, match.start())
            counted = match.start()
            if match[1] not in self.parameters:
                column = counted - text.rfind("\n", 0, counted)
                self.parameters[match[1]] = Place(self._source, line, column)

    def _advance(self, begin: int, end: int) -> None:
        newlines = self._text.count("\n", begin, end)
        if newlines:
            self._line += newlines
            self._start = self._text.rfind("\n", begin, end) + 1
