"""How what we make is marked, and how the mark is read.

Machines carry metadata and tags; whatever else has a description carries the same words there, for that can be set in
the call that makes it, which Neutron's tags cannot. Key pairs and server groups only have a name.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from im_client.providers.cloud.base import MARK, NAME_MARK, TOKEN_MARK

__all__ = [
    "IMAGE_MARK",
    "OURS",
    "POOL_MARK",
    "Mark",
    "described",
    "digest",
    "name_of",
    "named_for",
    "read",
    "tags",
]

OURS: Final = "im-clues"
"""The tag of every machine of ours, and how names of what has no description begin."""
POOL_MARK: Final = "im-clues-pool"
"""On a machine that is to have a floating IP: the external network that it is from."""
SERVER_MARK: Final = "im-clues-server"
"""On a floating IP: the id of the machine that it is for."""
IMAGE_MARK: Final = "im-clues-image"
"""On a machine that started from a golden image: its id."""


@dataclass(frozen=True, slots=True)
class Mark:
    """What a description says."""

    infrastructure: str
    token: str = ""
    name: str = ""
    server: str = ""


def described(infrastructure: str, token: str = "", name: str = "", server: str = "") -> str:
    """Return the description of something that is ours."""
    words = {MARK: infrastructure, TOKEN_MARK: token, NAME_MARK: name, SERVER_MARK: server}
    return " ".join(f"{key}={value}" for key, value in words.items() if value)


def read(thing: Mapping[str, Any]) -> Mark | None:
    """Return the mark of something that has a description; None: it is not ours."""
    words = dict(word.partition("=")[::2] for word in str(thing.get("description") or "").split())
    infrastructure = words.get(MARK, "")
    rest = (words.get(key, "") for key in (TOKEN_MARK, NAME_MARK, SERVER_MARK))
    return Mark(infrastructure, *rest) if infrastructure else None


def named_for(infrastructure: str, what: str) -> str:
    """Return the name of something that machines share: `im-clues_INFRASTRUCTURE_WHAT`; Nova allows no other sign."""
    return f"{OURS}_{infrastructure}_{what}"


def name_of(name: str) -> str:
    """Return the infrastructure of a thing with such a name, "" where it is not ours."""
    words = name.split("_", 2)
    return words[1] if len(words) == 3 and words[0] == OURS else ""


def tags(infrastructure: str) -> list[str]:
    """Return the tags of a machine, by which people find it; Nova's have 60 characters at most, no slash or comma."""
    word = f"{OURS}:{infrastructure}"
    return [OURS, *([word] if len(word) <= 60 and not set(word) & set("/,") else [])]


def digest(words: Iterable[str]) -> str:
    """Return twelve letters that stand for some words."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:12]
