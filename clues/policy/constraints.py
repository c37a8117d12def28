"""`--constraint` of Slurm jobs, pending reasons, and what both mean for power. Pure."""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final

__all__ = ["can_be_helped", "counted_terms", "satisfies"]

_HELPED: Final = frozenset({"", "none", "resources", "priority", "nodedown", "reqnodenotavail", "waitingforscheduling"})
"""Pending reasons (squeue(1)) that more nodes can end; with `Nodes required for job are DOWN ...` in its spellings.

Every other one (dependency, held, begin time, licenses, limits of partition, QOS or association, reservation ...)
stays whatever is powered on.
"""
_COUNTED: Final = re.compile(r"(.*)\*([0-9]{1,6})", re.DOTALL)
_TOKEN: Final = re.compile(r"[&|()\[\]]|[^&|()\[\]]+")


@lru_cache(maxsize=1024)
def can_be_helped(reason: str) -> bool:
    """Return whether more nodes can end this pending reason."""
    plain = reason.strip().strip("()").lower()
    if "maintenance" in plain or "reservation" in plain:
        return False
    word = re.sub(r"[^a-z]", "", re.split(r"[,:(]", plain, maxsplit=1)[0])
    return word in _HELPED or word.startswith("nodesrequiredforjobare")


def counted_terms(constraint: str, nodes: int) -> tuple[tuple[str, int], ...]:
    """Return how many of a job's nodes need which constraint, `[rack1*2&rack2*4]`; () where it has no counts.

    Nodes beyond the counts need nothing (`--nodes=16 --constraint=gpu*4`, sbatch(1)). What has counts that are more
    than the job's nodes, or stand elsewhere than at the parts of an `&`, is left to `satisfies` as it is.
    """
    text = constraint.replace(" ", "")
    if "*" not in text:
        return ()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    terms: list[tuple[str, int]] = []
    for part in _parts(text):
        found = _COUNTED.fullmatch(part)
        expression, count = (found[1], int(found[2])) if found is not None else (part, 1)
        if not expression or count < 1 or "*" in expression:
            return ()
        terms.append((expression, count))
    left = nodes - sum(count for _, count in terms)
    if left < 0:
        return ()
    return (*terms, ("", left)) if left else tuple(terms)


def _parts(text: str) -> list[str]:
    """Split at each `&` that stands in no parentheses."""
    parts, depth, start = [], 0, 0
    for at, letter in enumerate(text):
        depth += (letter in "([") - (letter in ")]")
        if letter == "&" and depth == 0:
            parts.append(text[start:at])
            start = at + 1
    return [*parts, text[start:]]


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
