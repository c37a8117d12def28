"""Who calls, read from the Authorization header, before anything else of a request is looked at.

Forms: the Infrastructure Manager's auth file in one line (lines joined by the two characters backslash and n) or as a
JSON list; `Bearer TOKEN` with a token of ours or of the OpenID provider; `Basic`, for people with curl.
"""

import base64
import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from im_client.auth.authfile import parse_auth
from im_client.auth.credentials import Credential, of_type
from im_client.services.server.accounts import TOKEN_PREFIX, Accounts, Grant
from im_client.state.server import Role
from infracore.errors import InfraError, Misconfigured, Unauthorised
from infracore.secrets import Secret

if TYPE_CHECKING:
    from im_client.services.server.oidc import Oidc

__all__ = ["Caller", "Callers"]

_MOST_CHARACTERS: Final = 32 * 1024
_JOINED: Final = re.compile(r"(?<!\\)\\n")
_SELF: Final = "InfrastructureManager"


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was recognised, with the credentials of clouds that came along, which nothing keeps."""

    name: str
    is_admin: bool
    most: Role = Role.OWNER
    infrastructure: str | None = None
    """The only infrastructure that may be touched; None: all of the caller's."""
    credentials: tuple[Credential, ...] = ()
    bearer: Secret | None = None
    """The token, for a vault that wants to see it."""
    is_own: bool = False
    """Whether it is the infrastructure itself: its token stands for no account, and needs no role of one."""


class Callers:
    """Recognises callers. Safe under threads."""

    def __init__(self, accounts: Accounts, oidc: "Oidc | None") -> None:
        self._accounts = accounts
        self._oidc = oidc

    def recognise(self, header: str | None) -> Caller:
        """Return who calls.

        Raises:
            Unauthorised: nobody that this server knows; the message does not say which half was wrong.
            Transient: too many wrong passwords, or the OpenID provider's keys cannot be had now.
        """
        if not header:
            raise Unauthorised("no Authorization header", "send an auth line of type InfrastructureManager, or a token")
        if len(header) > _MOST_CHARACTERS:
            raise Unauthorised("the Authorization header is too long")
        scheme, _, rest = header.partition(" ")
        if scheme.lower() == "bearer":
            token = Secret(rest.strip())
            return _caller(self._by_token(token), (), token)
        if scheme.lower() == "basic":
            name, password = _basic(rest)
            return _caller(self._accounts.check(name, password), ())
        credentials = _credentials(header)
        lines = of_type(credentials, _SELF)
        if len(lines) != 1:
            raise Unauthorised(
                f"the Authorization header has {len(lines)} lines of type {_SELF}", "send exactly one such line"
            )
        fields = lines[0].fields
        others = tuple(c for c in credentials if c is not lines[0])
        if "token" in fields:
            return _caller(self._by_token(fields["token"]), others, fields["token"])
        if "username" in fields and "password" in fields:
            return _caller(self._accounts.check(fields["username"].reveal(), fields["password"]), others)
        raise Unauthorised(f"the line of type {_SELF} has neither username and password nor a token")

    def _by_token(self, token: Secret) -> Grant | None:
        if token.reveal().startswith(TOKEN_PREFIX):
            return self._accounts.check_token(token)
        subject = self._oidc.check(token) if self._oidc is not None else None
        if subject is None or self._oidc is None:
            return None
        return Grant(subject.name, self._oidc.is_admin(subject))


def _caller(grant: Grant | None, credentials: Sequence[Credential], bearer: Secret | None = None) -> Caller:
    if grant is None:
        raise Unauthorised("the credentials for this server are wrong, unknown or expired")
    return Caller(
        grant.account, grant.is_admin, grant.most, grant.infrastructure, tuple(credentials), bearer, grant.is_own
    )


def _credentials(header: str) -> tuple[Credential, ...]:
    text = header if header.lstrip().startswith("[") else _JOINED.sub("\n", header)
    with contextlib.suppress(UnicodeEncodeError, UnicodeDecodeError):
        text = text.encode("latin-1").decode("utf-8")  # clients send UTF-8, servers hand it over as Latin-1
    try:
        return parse_auth(text, "Authorization header")
    except (Misconfigured, RecursionError) as error:
        said = error.message if isinstance(error, InfraError) else "it nests too deep"
        raise Unauthorised(f"the Authorization header is not understood: {said}") from None


def _basic(text: str) -> tuple[str, Secret]:
    try:
        name, colon, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except ValueError as error:  # no base64, no ASCII, no UTF-8 in it
        raise Unauthorised("the Authorization header is not understood") from error
    if not colon:
        raise Unauthorised("the Authorization header is not understood")
    return name, Secret(password)
