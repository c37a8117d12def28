"""How machines are marked where there are only tags, and how the mark is read. Pure.

One word says it all: infrastructure, token, name and account, joined by colons; it is cut where tags are short. Tags of
some clouds know no upper case, so that all but lower-case letters, digits and dashes is escaped: `_` and two digits.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from im_client.providers.cloud.base import MARK, NAME_MARK, TOKEN_MARK, USER_MARK
from im_client.providers.cloud.model import Order

__all__ = ["OURS", "Mark", "mark_of", "named_for", "owner_of", "read_tags", "read_text", "tags", "text", "unique"]

OURS: Final = "im-clues"
_PIECE: Final = re.compile(rf"{OURS}-(\d):(.*)", re.DOTALL)
_PLAIN: Final = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-")
_WORDS: Final = (MARK, TOKEN_MARK, NAME_MARK, USER_MARK)


@dataclass(frozen=True, slots=True)
class Mark:
    """What a machine's mark says; all "" where it carries none of ours."""

    infrastructure: str = ""
    token: str = ""
    name: str = ""
    user: str = ""


def mark_of(order: Order) -> Mark:
    """Return the mark of a machine to be made."""
    return Mark(order.infrastructure, order.token, order.name, order.user)


def tags(mark: Mark, most: int) -> list[str]:
    """Return the tags, each of `most` characters at the longest. Nine pieces are enough for all names there are."""
    word = ":".join(_escaped(part) for part in (mark.infrastructure, mark.token, mark.name, mark.user))
    room = most - len(f"{OURS}-0:")
    return [f"{OURS}-{n}:{word[at : at + room]}" for n, at in enumerate(range(0, len(word), room), 1)]


def read_tags(found: Iterable[str]) -> Mark:
    """Return the mark that is in a machine's tags."""
    pieces = sorted(piece.groups() for tag in found if (piece := _PIECE.fullmatch(tag)))
    parts = "".join(piece for _, piece in pieces).split(":")
    return Mark(*map(_plain, parts)) if len(parts) == 4 else Mark()


def text(mark: Mark) -> str:
    """Return the mark as words, for places that take any text: `im-clues-infrastructure=... im-clues-token=...`."""
    parts = (mark.infrastructure, mark.token, mark.name, mark.user)
    return " ".join(f"{word}={_escaped(part)}" for word, part in zip(_WORDS, parts, strict=True))


def read_text(found: str) -> Mark:
    """Return the mark that is in such words."""
    words = dict(word.partition("=")[::2] for word in found.split())
    return Mark(*(_plain(words.get(word, "")) for word in _WORDS))


def unique(name: str, token: str, most: int = 60) -> str:
    """Return a name for a machine that no other of the account has, a DNS label: `web-1-0a1b2c3d4e`."""
    end = f"-{token[:10]}"
    start = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[: most - len(end)].rstrip("-")
    if not start[:1].isalpha():
        start = f"m{start}"[: most - len(end)].rstrip("-")
    return f"{start}{end}"


def named_for(infrastructure: str, what: str) -> str:
    """Return the name of something that machines share: `im-clues-WHAT-INFRASTRUCTURE`."""
    return f"{OURS}-{what}-{_escaped(infrastructure)}"


def owner_of(name: str) -> str:
    """Return the infrastructure of a thing with such a name, "" where it is not ours."""
    words: Sequence[str] = name.removeprefix(f"{OURS}-").partition("-")
    return _plain(words[2]) if name.startswith(f"{OURS}-") else ""


def _escaped(part: str) -> str:
    return "".join(chr(byte) if byte in _PLAIN else f"_{byte:02x}" for byte in part.encode())


def _plain(part: str) -> str:
    raw = re.sub(rb"_([0-9a-f]{2})", lambda hit: bytes.fromhex(hit[1].decode()), part.encode())
    return raw.decode(errors="replace")
