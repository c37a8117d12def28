"""Our marks as EC2's tags."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from im_client.providers.cloud.base import MARK, NAME_MARK, TOKEN_MARK, USER_MARK
from im_client.providers.cloud.model import Order
from infracore.errors import Unsupported

__all__ = [
    "MACHINE_MARK",
    "check_tags",
    "machine_marks",
    "marked",
    "outdated",
    "shared_marks",
    "specifications",
    "tags_of",
]

MACHINE_MARK: Final = "im-clues-machine"
"""Id of the machine that an address was taken for."""
TAGS_MARK: Final = "im-clues-tags"
"""Which tags of a machine are the template's, as a row of short digests of their keys: others are somebody else's."""
_DIGEST: Final = 4
_MOST: Final = 44
"""Tags of a template: EC2 takes 50 in all."""


def shared_marks(infrastructure: str, name: str) -> dict[str, str]:
    """Return the tags of what the machines of an infrastructure share."""
    return {"Name": name, MARK: infrastructure}


def machine_marks(order: Order) -> dict[str, str]:
    """Return the tags of a machine and its disks: the template's, then ours.

    Raises:
        Unsupported: EC2 takes no such tag.
    """
    own = order.spec.tags
    check_tags(own)
    ours = {
        MARK: order.infrastructure,
        TOKEN_MARK: order.token,
        NAME_MARK: order.name,
        USER_MARK: order.user,
        TAGS_MARK: "".join(_digest(key) for key in sorted(own)),
    }
    return {"Name": order.name, **own, **ours}


def check_tags(own: Mapping[str, str]) -> None:
    """Look whether EC2 takes a template's tags. Raises `Unsupported`."""
    for key, value in own.items():
        if key.lower().startswith("aws:") or not 0 < len(key) <= 128 or len(value) > 256:
            raise Unsupported(f"EC2 takes no tag {key!r}", "128 letters, a value of 256, and not aws: in front")
    if len(own) > _MOST:
        raise Unsupported(f"EC2 takes {_MOST} tags of a template at most, not {len(own)}")


def outdated(there: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    """Return the keys of tags that the template had when they were set, and has no more."""
    row = there.get(TAGS_MARK, "")
    known = {row[at : at + _DIGEST] for at in range(0, len(row), _DIGEST)}
    return [key for key in there if key not in wanted and _digest(key) in known]


def _digest(key: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(key.encode()).digest())[:_DIGEST].decode()


def specifications(kinds: Iterable[str], tags: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return TagSpecifications: the tags of things that one request makes."""
    pairs = [{"Key": key, "Value": value} for key, value in tags.items()]
    return [{"ResourceType": kind, "Tags": pairs} for kind in kinds]


def tags_of(thing: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of anything that was described."""
    return {tag["Key"]: tag.get("Value", "") for tag in thing.get("Tags") or ()}


def marked(infrastructure: str | None, **further: Sequence[str]) -> list[dict[str, Any]]:
    """Return Filters for what carries the mark of one infrastructure, or any of ours."""
    mine: dict[str, Any] = (
        {"Name": "tag-key", "Values": [MARK]}
        if infrastructure is None
        else {"Name": f"tag:{MARK}", "Values": [infrastructure]}
    )
    return [mine, *({"Name": name.replace("_", "-"), "Values": list(values)} for name, values in further.items())]
