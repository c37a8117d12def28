"""A place in a list of tokens, and how to go on after an error."""

from dataclasses import dataclass
from typing import Final

from im_client.radl.lexer import Kind, Token
from im_client.template.findings import Findings
from im_client.template.problems import Code

__all__ = ["SECTIONS", "Cursor", "shown"]

SECTIONS: Final = ("network", "system", "configure", "contextualize", "deploy", "ansible", "description")


def shown(token: Token) -> str:
    """Name a token in a message."""
    match token.kind:
        case Kind.END:
            return "the file ends"
        case Kind.BODY:
            return "there is @begin"
        case Kind.TEXT:
            return f"there is the text '{token.text[:40]}'"
        case _:
            return f'there is "{token.text[:40]}"'


@dataclass(slots=True)
class Cursor:
    """Reads tokens one by one."""

    found: list[Token]
    findings: Findings
    position: int = 0

    @property
    def here(self) -> Token:
        """The token that comes next."""
        return self.found[self.position]

    @property
    def after(self) -> Token:
        """The one behind it."""
        return self.found[min(self.position + 1, len(self.found) - 1)]

    def take(self) -> Token:
        """Return the next token and go on; the end stays."""
        token = self.here
        if token.kind is not Kind.END:
            self.position += 1
        return token

    def is_mark(self, text: str) -> bool:
        """Say whether a bracket or comma comes next."""
        return self.here.kind is Kind.MARK and self.here.text == text

    def is_word(self, *words: str) -> bool:
        """Say whether one of some words comes next; keywords are written small, other spellings mean them too."""
        return self.here.kind is Kind.WORD and self.here.text.lower() in words

    def is_operator(self) -> bool:
        """Say whether an operator comes next."""
        return self.here.kind is Kind.OPERATOR

    def accept(self, text: str) -> bool:
        """Go past a bracket or comma if it comes next."""
        if self.is_mark(text):
            self.position += 1
            return True
        return False

    def at_section(self) -> bool:
        """Say whether a new section begins here, or the file ends: one of its words, first on its line."""
        token = self.here
        if token.kind is Kind.END:
            return True
        if not (token.first and self.is_word(*SECTIONS)):
            return False
        follows = self.after
        if token.text.lower() == "contextualize":
            return follows.kind in {Kind.MARK, Kind.NUMBER}
        return follows.kind in {Kind.WORD, Kind.TEXT, Kind.NUMBER}

    def expected(self, what: str, hint: str = "") -> None:
        """Record that something else was expected at the next token; what is no RADL at all was reported already."""
        if self.here.kind is not Kind.BAD:
            self.findings.add(Code.RADL_SYNTAX, self.here.at, f"{what} is expected, and {shown(self.here)}", hint)

    def skip_section(self) -> None:
        """Go to the next section."""
        while not self.at_section():
            self.position += 1
