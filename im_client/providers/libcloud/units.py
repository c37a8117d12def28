"""What these clouds' answers are made of."""

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

__all__ = ["GIB", "MIB", "is_private", "seconds", "tag_words"]

MIB: Final = 2**20
GIB: Final = 2**30


def seconds(text: object) -> float:
    """Return seconds since the epoch of a moment in ISO 8601, in UTC where it says nothing; 0 where it is none."""
    try:
        moment = datetime.fromisoformat(str(text or ""))
    except ValueError:
        return 0.0
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def is_private(address: str) -> bool:
    """Say whether an address is one that the Internet does not lead to."""
    return ip_address(address).is_private


def tag_words(tags: Mapping[str, str]) -> list[str]:
    """Return a template's tags as the words that they are where a tag has no value of its own."""
    return [f"{key}:{value}" if value else key for key, value in sorted(tags.items())]
