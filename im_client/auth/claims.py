"""What an access token says of itself. It is only read: whoever takes the token checks its signature."""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from infracore.errors import Misconfigured
from infracore.secrets import Secret

__all__ = ["Claims", "check_token", "read_claims", "vos_of"]

_ENTITLEMENTS: Final = ("eduperson_entitlement", "entitlements", "eduPersonEntitlement")
_VO: Final = re.compile(r"urn:[^#]*?:group:([^:#]+)(?::[^#]*)?(?:#.*)?")
"""AARC-G002 and AARC-G069: `urn:<namespace>:group:<VO>[:<group>][:role=<role>]#<authority>`."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What is of use here."""

    issuer: str = ""
    subject: str = ""
    expires_at: float | None = None
    """Seconds since the epoch; None: it does not say."""
    vos: tuple[str, ...] | None = None
    """The virtual organisations that it speaks of; None: it speaks of none, which says nothing."""


def read_claims(token: Secret) -> Claims:
    """Read a JWT (RFC 7519); a token that is none says nothing.

    Raises:
        Misconfigured: it looks like a JWT and is broken. The message quotes nothing of it.
    """
    parts = token.reveal().split(".")
    if len(parts) != 3:
        return Claims()
    try:
        body = base64.b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True)
        said = msgspec.json.decode(body, type=dict[str, Any])
    except (binascii.Error, ValueError, msgspec.MsgspecError):
        raise Misconfigured(
            "the access token is broken: its middle part is no JSON", "was it cut off when it was copied?"
        ) from None
    until = said.get("exp")
    is_time = isinstance(until, int | float) and not isinstance(until, bool)
    return Claims(
        issuer=_text(said.get("iss")),
        subject=_text(said.get("sub")),
        expires_at=float(until) if is_time else None,  # type: ignore[arg-type]  # a number, as was looked
        vos=vos_of(said),
    )


def vos_of(said: dict[str, Any]) -> tuple[str, ...] | None:
    """Return the virtual organisations of a token's or of userinfo's claims, None where they hold no entitlements."""
    held = [said[name] for name in _ENTITLEMENTS if name in said]
    if not held:
        return None
    texts = [text for one in held for text in (one if isinstance(one, list) else [one]) if isinstance(text, str)]
    return tuple(sorted({found[1] for text in texts if (found := _VO.fullmatch(text))}))


def check_token(text: str, what: str) -> Secret:
    """Return a token without the blanks around it.

    Raises:
        Misconfigured: it is empty, or holds what no token has and no header may hold.
    """
    text = text.strip()
    if not text:
        raise Misconfigured(f"{what} is empty")
    if any(not 32 < ord(letter) < 127 for letter in text):
        raise Misconfigured(f"{what} holds a blank or a character that no token has", "one token, in one line")
    return Secret(text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
