"""`--constraint` of Slurm jobs, pending reasons, and what both mean for power. Pure."""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final

__all__ = ["can_be_helped", "satisfies"]

_HELPED: Final = frozenset({"", "none", "resources", "priority", "nodedown", "reqnodenotavail", "waitingforscheduling"})
"""Pending reasons (squeue(1)) that more nodes can end; with `Nodes required for job are DOWN ...` in its spellings.

Every other one (dependency, held, begin time, licenses, limits of partition, QOS or association, reservation ...)
stays whatever is powered on.
"""
_TOKEN: Final = re.compile(r"[&|()\[\]]|[^&|()\[\]]+")


@lru_cache(maxsize=1024)
def can_be_helped(reason: str) -> bool:
    """Return whether more nodes can end this pending reason."""
    plain = reason.strip().strip("()").lower()
    if "maintenance" in plain or "reservation" in plain:
        return False
    word = re.sub(r"[^a-z]", "", re.split(r"[,:(]", plain, maxsplit=1)[0])
    return word in _HELPED or word.startswith("nodesrequiredforjobare")


def satisfies(constraint: str, features: Collection[str]) -> bool:
    """Return whether a node's features meet `--constraint` (`a&b|c`, parentheses, `[a|b]`, counts `a*2`).

    `&` binds before `|`. What cannot be read is met by no node.
    """
    tokens = _TOKEN.findall(constraint.replace(" ", "").replace(",", "&"))
    if not tokens:
        return True
    if len(tokens) > 1000:
        return False
    value, rest = _either(tokens, 0, frozenset(features), 0)
    return value is True and rest == len(tokens)


def _either(tokens: Sequence[str], at: int, features: frozenset[str], depth: int) -> tuple[bool | None, int]:
    value, at = _both(tokens, at, features, depth)
    while value is not None and at < len(tokens) and tokens[at] == "|":
        right, at = _both(tokens, at + 1, features, depth)
        value = None if right is None else value or right
    return value, at


def _both(tokens: Sequence[str], at: int, features: frozenset[str], depth: int) -> tuple[bool | None, int]:
    value, at = _one(tokens, at, features, depth)
    while value is not None and at < len(tokens) and tokens[at] == "&":
        right, at = _one(tokens, at + 1, features, depth)
        value = None if right is None else value and right
    return value, at


def _one(tokens: Sequence[str], at: int, features: frozenset[str], depth: int) -> tuple[bool | None, int]:
    if at >= len(tokens) or depth > 50:
        return None, at
    token = tokens[at]
    closing = {"(": ")", "[": "]"}.get(token)
    if closing is not None:
        value, at = _either(tokens, at + 1, features, depth + 1)
        if value is None or at >= len(tokens) or tokens[at] != closing:
            return None, at
        return value, at + 1
    return (None, at) if token[0] in "&|)]" else (token.partition("*")[0] in features, at + 1)
