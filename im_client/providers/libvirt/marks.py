"""Our mark in a domain's metadata: whose machine it is, and what must be known of it later. Holds no secret."""

import re
import uuid
from dataclasses import dataclass, replace
from typing import Final
from xml.etree import ElementTree as ET

from infracore.errors import CommandFailed, InvalidUsage

__all__ = ["DELETED", "MADE", "MAKING", "URI", "Card", "Mark", "checked", "parsed", "uuid_of", "volume_prefix"]

URI: Final = "urn:im-clues:machine:1"
MAKING: Final = "making"
MADE: Final = "made"
DELETED: Final = "deleted"
_SPACE: Final = uuid.UUID("6d1f6f0a-6b0c-5c3e-9c8e-0f3c7a6f9b11")
_WORD: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_BAD: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 cannot hold, escaped or not (section 2.2)."""


@dataclass(frozen=True, slots=True)
class Card:
    """A network card."""

    mac: str
    kind: str
    """`network` or `bridge`: what `source` names; or `user`: QEMU's own way out, with ssh forwarded from `port`."""
    source: str
    address: str = ""
    """Reserved for it; "": it is found out by looking."""
    is_public: bool = False
    lease: str = ""
    """Name of its reservation."""
    port: int = 0
    """Of the host's loopback, for a card of the kind `user`."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What stands in the metadata."""

    infrastructure: str
    name: str
    token: str
    state: str = MAKING
    user: str = "root"
    host_key: str = ""
    """Public half."""
    image: str = ""
    base: str = ""
    """Volume below its root disk."""
    stop_by: float = 0.0
    """Seconds since the epoch after which a machine that shuts down is powered off; 0: it shall run."""
    holds_secret: bool = False
    """Whether its seed still has the host key."""
    cards: tuple[Card, ...] = ()

    def element(self, space: str = f"{{{URI}}}") -> ET.Element:
        """Write it as an element; without namespace where virsh adds it."""
        root = ET.Element(f"{space}machine")
        for field in ("infrastructure", "name", "token", "state", "user", "host_key", "image", "base"):
            root.set(field, checked(getattr(self, field)))
        root.set("stop_by", repr(self.stop_by))
        root.set("holds_secret", "yes" if self.holds_secret else "no")
        for card in self.cards:
            words = {"mac": card.mac, "kind": card.kind, "source": checked(card.source), "address": card.address}
            words |= {"public": "yes" if card.is_public else "no", "lease": card.lease}
            words["port"] = str(card.port)
            ET.SubElement(root, f"{space}card", words)
        return root

    @classmethod
    def of(cls, root: ET.Element) -> "Mark":
        """Read it."""
        cards = tuple(
            Card(
                mac=one.get("mac", ""),
                kind=one.get("kind", ""),
                source=one.get("source", ""),
                address=one.get("address", ""),
                is_public=one.get("public") == "yes",
                lease=one.get("lease", ""),
                port=int(one.get("port", "0")),
            )
            for one in root.iterfind(f"{{{URI}}}card")
        )
        found = {
            field: root.get(field, "")
            for field in ("infrastructure", "name", "token", "state", "user", "host_key", "image", "base")
        }
        return cls(
            **found,
            stop_by=float(root.get("stop_by", "0")),
            holds_secret=root.get("holds_secret") == "yes",
            cards=cards,
        )

    def with_card(self, index: int, card: Card) -> "Mark":
        """Return it with another card in one place."""
        return replace(self, cards=(*self.cards[:index], card, *self.cards[index + 1 :]))


def uuid_of(token: str) -> str:
    """Return the UUID of a token's domain: two can never be defined."""
    return str(uuid.uuid5(_SPACE, token))


def volume_prefix(infrastructure: str, token: str) -> str:
    """Return how the names of a machine's volumes begin.

    Raises:
        InvalidUsage: one of the two cannot stand in a name.
    """
    for word in (infrastructure, token):
        if _WORD.fullmatch(word) is None:
            raise InvalidUsage(f"{word!r} cannot stand in a volume's name", "use letters, digits, - and _, 64 at most")
    return f"imc.{infrastructure}.{token}."


def checked(text: str) -> str:
    """Return a text that XML can hold.

    Raises:
        InvalidUsage: it has control characters.
    """
    if _BAD.search(text):
        raise InvalidUsage(f"{text[:80]!r} has characters that no machine's description can hold", "leave them out")
    return text


def parsed(text: str, what: str) -> ET.Element:
    """Read XML that the host wrote.

    Raises:
        CommandFailed: it is none.
    """
    try:
        return ET.fromstring(text)  # noqa: S314 - the host's libvirtd wrote it, whom our machines trust anyhow
    except ET.ParseError as error:
        raise CommandFailed(f"the description of {what} cannot be read: {error}") from error
