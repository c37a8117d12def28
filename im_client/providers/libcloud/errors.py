"""What these clouds refuse, as our errors: by status, then by the word that they name, last by their sentences."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from im_client.providers.cloud.pauses import retry_after_s
from infracore.errors import (
    Conflict,
    InfraError,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    Transient,
    Unauthorised,
    Unsupported,
)

__all__ = ["BUSY", "refusal", "refusal_of_words"]

BUSY: Final = "the cloud is busy or broken, or the way to it is: try again later"
_MOST_WORDS: Final = 400
_QUOTA: Final = re.compile(
    r"(?i)quota|(droplet|instance|server|resource|account|maximum)\b.{0,40}\blimit|limit.{0,20}(exceeded|reached)"
)
_NO_ROOM: Final = re.compile(
    r"(?i)RESOURCE_POOL_EXHAUSTED|insufficient.{0,20}(capacity|resources)|not enough (available )?(resources|capacity)"
    r"|sufficient capacity|capacity restrictions|allocation failed"
    r"|sold out|out of stock|no capacity|plan is not available"
    r"|(size|region) is (currently )?(not available|unavailable)"
)
_LOCKED: Final = re.compile(
    r"(?i)pending event|linode busy|currently (locked|busy)|not in succeeded state|another operation is in progress"
    r"|is locked|resourceNotReady|try again (later|shortly)"
)
_ABSENT: Final = re.compile(
    r"(?i)unable to find|does not exist|not found|entity does not exist|invalid parameter id value"
)
_THERE: Final = re.compile(r"(?i)already (in use|exists?)|must be unique|has already been taken")
_SAYS: Final = ("message", "error_description", "errortext", "reason", "error")
"""Keys under which these clouds put a sentence."""


def refusal(status: int, headers: Mapping[str, str], body: str, what: str, place: str) -> InfraError:
    """Return the error for an answer of 300 and more."""
    words = _said(body)
    text = f"{what} at {place}: {words or 'no reason given'} ({status})"
    pause = retry_after_s(headers)
    if status in {408, 429} or (status == 403 and "ratelimitexceeded" in body.lower()):
        return Transient(text, "the cloud limits how often it is asked: try again later", pause)
    found = refusal_of_words(words, text) if status not in {401, 404, 500, 502, 504} else None
    if isinstance(found, Transient):
        return Transient(text, BUSY, pause)
    if found is not None and status != 503:
        return found
    if status == 535:  # of CloudStack, as are 431 to 435 and 530 to 536
        return QuotaExceeded(text, "delete what is not needed, ask for more, or use another cloud")
    if status == 533:
        return NoCapacity(text, "use another size or zone, or another cloud")
    if status == 536:
        return Conflict(text, "something uses it")
    if status >= 500 and status != 501:
        return Transient(text, BUSY, pause)
    if status == 401:
        return Unauthorised(text, "the credentials are wrong or have expired")
    if status == 403:
        return Unauthorised(text, "the account or its token may not do this")
    if status in {404, 410} or (status == 431 and _ABSENT.search(words)):
        return NotFound(text)
    if status == 409 or _THERE.search(words):
        return Conflict(text, "look again: something changed it meanwhile, or uses it")
    if 300 <= status < 400:
        return Unsupported(text, "the address of the API leads elsewhere: look at `address`")
    return Unsupported(text, "the cloud cannot do this")


def refusal_of_words(words: str, text: str) -> InfraError | None:
    """Return the error that a cloud's sentence stands for, None where it says nothing that is known here."""
    if _LOCKED.search(words):
        return Transient(text, BUSY)
    if _NO_ROOM.search(words):
        return NoCapacity(text, "use another size or region, or another cloud")
    if _QUOTA.search(words):
        return QuotaExceeded(text, "delete what is not needed, ask for more, or use another cloud")
    return None


def _said(body: str) -> str:
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return _short(re.sub(r"<[^>]*>", " ", body[: 16 * _MOST_WORDS]))
    return _short("; ".join(dict.fromkeys(_sentences(answer))))


def _sentences(answer: object, depth: int = 0) -> Iterator[str]:
    if depth > 4:
        return
    if isinstance(answer, list):
        for one in answer[:5]:
            yield from _sentences(one, depth + 1)
    elif isinstance(answer, dict):
        for key, value in answer.items():
            if isinstance(value, str) and key in _SAYS:
                yield value
            elif isinstance(value, dict | list):
                yield from _sentences(value, depth + 1)


def _short(words: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())[:_MOST_WORDS]
