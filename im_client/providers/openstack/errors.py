"""What a service of OpenStack refuses, as our errors: by status, then by the type that it names, last by its words."""

import re
from collections.abc import Mapping
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

__all__ = ["is_no_room", "refusal"]

_MOST_WORDS: Final = 400
_QUOTA: Final = re.compile(r"(?i)quota|limit exceeded|maximum number of (ports|volumes|instances)")
_NO_ADDRESS: Final = frozenset({"IpAddressGenerationFailure", "ExternalIpAddressExhausted", "NoMoreFixedIps"})
_NO_ADDRESS_TEXT: Final = re.compile(r"(?i)no more (fixed |free )?(ip|address)|no fixed ip addresses available")
_NO_ROOM: Final = re.compile(
    r"(?i)no valid host|exhausted all hosts|insufficient (compute )?resources|no weighed backends"
)
"""Nova says why a machine failed only in words (compute API, `server.fault`)."""
_ABSENT: Final = re.compile(r"(?i)can not find requested image|(image|network|keypair|flavor)\b.*could not be found")


def refusal(status: int, headers: Mapping[str, str], body: bytes, what: str, place: str) -> InfraError:
    """Return the error for an answer of 400 and more. `what` says what was asked: `POST compute /servers`."""
    kind, words = _said(body)
    text = f"{what} at {place}: {words or 'no reason given'} ({status})"
    if status in {408, 429} or (status >= 500 and status != 501):
        return Transient(text, "the cloud is busy or broken: try again later", retry_after_s(headers))
    if kind in _NO_ADDRESS or (status in {400, 404, 409} and _NO_ADDRESS_TEXT.search(words)):
        return NoCapacity(text, "release addresses, or use another network or pool")
    if status in {403, 409, 413} and (kind == "OverQuota" or _QUOTA.search(words)):
        return QuotaExceeded(text, "delete what is not needed, ask for more quota, or use another cloud")
    if status == 413:
        return Transient(text, "the cloud limits how often it is asked: try again later", retry_after_s(headers))
    if status == 401:
        return Unauthorised(text, "the credentials are wrong or have expired")
    if status == 403:
        return Unauthorised(text, "the account may not do this: ask for the role, or use another project")
    if status == 404 or (status == 400 and _ABSENT.search(words)):
        return NotFound(text)
    if status == 409:
        return Conflict(text, "look again: something changed it meanwhile, or uses it")
    if status == 406:
        return Unsupported(text, "the cloud is older than OpenStack Stein (2019)")
    return Unsupported(text, "the cloud cannot do this")


def is_no_room(words: str) -> bool:
    """Say whether a machine's fault is that no host has room for it, or that others took its quota meanwhile."""
    return _NO_ROOM.search(words) is not None or _QUOTA.search(words) is not None


def _said(body: bytes) -> tuple[str, str]:
    """Return the type and the words of an error: `{"NeutronError": {"type": ..., "message": ...}}` and its like."""
    try:
        answer: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return "", _short(re.sub(r"<[^>]*>", " ", body[: 16 * _MOST_WORDS].decode(errors="replace")))
    inner = next((v for v in answer.values() if isinstance(v, dict)), answer) if isinstance(answer, dict) else {}
    kind, words = inner.get("type", ""), inner.get("message", "")
    return (kind if isinstance(kind, str) else ""), _short(words if isinstance(words, str) else "")


def _short(words: str) -> str:
    return " ".join("".join(c if c.isprintable() else " " for c in words).split())[:_MOST_WORDS]
