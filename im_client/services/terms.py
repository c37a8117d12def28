"""The terms of an infrastructure: how long it may live (its lease), and what it may cost (its budget)."""

import math
import re
from typing import Final

from im_client.services.model import DeployRequest
from im_client.state.store import Budget, Terms
from infracore.errors import InvalidUsage
from infracore.units import duration_s

__all__ = ["parse_budget", "parse_lease", "terms_of"]

_AMOUNT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]{3})?")
_LEAST_LEASE_S: Final = 60.0
_MOST_LEASE_S: Final = 100 * 365 * 86400.0


def parse_lease(word: str) -> float:
    """Read `8h` as seconds, `never` as infinite.

    Raises:
        InvalidUsage: it is neither, or less than a minute.
    """
    if word == "never":
        return math.inf
    try:
        seconds = duration_s(word)
    except ValueError as error:
        raise InvalidUsage(f"{word!r} is no time to live", "such as 90m, 8h, 7d or never") from error
    if not _LEAST_LEASE_S <= seconds <= _MOST_LEASE_S:
        raise InvalidUsage(f"{word!r} is no time to live", "a minute at the least, a hundred years at the most")
    return seconds


def parse_budget(word: str, *, allows_unknown: bool) -> Budget:
    """Read `0.50` or `0.50 EUR`, an hour; `none` is an infinite one.

    Raises:
        InvalidUsage: it is none of these.
    """
    if word == "none":
        return Budget(math.inf)
    found = _AMOUNT.fullmatch(word.strip())
    if found is None:
        raise InvalidUsage(f"{word!r} is no budget", "what all may cost in an hour: 0.50, '0.50 EUR', or none")
    return Budget(float(found[1]), (found[2] or "").upper(), allows_unknown)


def terms_of(before: Terms, request: DeployRequest, now: float) -> Terms:
    """Return the terms that are recorded, with what is asked for now."""
    ends, budget = before.expires_at, before.budget
    if request.lease_s is not None:
        ends = None if math.isinf(request.lease_s) else now + request.lease_s
    if request.budget is not None:
        budget = None if math.isinf(request.budget.per_hour) else request.budget
    return Terms(ends, budget)
