"""Names of machines: `group-index` as a valid DNS label (RFC 1123, section 2.1; RFC 1035, section 2.3.4)."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable
from typing import Final

__all__ = ["node_name", "stems", "substitute_index"]

_LABEL_LIMIT: Final = 63
_INDEX_ROOM: Final = 7
"""A dash and six digits: a stem this much shorter than a label leaves room for any index."""
_NOT_ALLOWED: Final = re.compile(r"[^a-z0-9]+")


def stems(groups: Iterable[str]) -> dict[str, str]:
    """Give every group the first part of its machines' names; no two groups share one.

    A group's own spelling is kept where it is a label already. What must be cut, or would be equal to another
    group's stem, ends with a hash of the group's name, so that the answer does not depend on the order.
    """
    plain = {group: _plain(group) for group in groups}
    shared = Counter(plain.values())
    return {
        group: label if _fits(label) and (label == group or shared[label] == 1) else _hashed(label, group)
        for group, label in plain.items()
    }


def node_name(stem: str, index: int) -> str:
    """Return the name of a group's machine; `stem` comes from `stems`."""
    return f"{stem}-{index}"


def substitute_index(text: str, index: int) -> str:
    """Replace `#N#` by the machine's index."""
    return text.replace("#N#", str(index))


def _plain(group: str) -> str:
    return _NOT_ALLOWED.sub("-", group.lower()).strip("-") or "node"


def _fits(label: str) -> bool:
    return len(label) <= _LABEL_LIMIT - _INDEX_ROOM


def _hashed(label: str, group: str) -> str:
    mark = hashlib.sha256(group.encode()).hexdigest()[:6]
    kept = label[: _LABEL_LIMIT - _INDEX_ROOM - len(mark) - 1].rstrip("-")
    return f"{kept}-{mark}"
