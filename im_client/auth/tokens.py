"""An access token that stays fresh: asked of its sources in order, ahead of its end and after it was refused."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from im_client.auth.authfile import GROUP_MAY, private_text
from im_client.auth.claims import Claims, check_token, read_claims
from im_client.auth.issuer import Issuer
from im_client.auth.oidc_agent import ask_agent
from infracore.clock import Clock
from infracore.errors import InfraError, Unauthorised
from infracore.secrets import Secret

__all__ = ["TOKEN_VARIABLES", "Agent", "Given", "InFile", "Refreshed", "Source", "Tokens", "from_environment"]

TOKEN_VARIABLES: Final = ("OIDC_ACCESS_TOKEN", "FEDCLOUD_OIDC_ACCESS_TOKEN", "ACCESS_TOKEN", "OS_ACCESS_TOKEN")
"""Where fedcloudclient and the OpenStack client look for one."""
_AHEAD_S: Final = 120.0
"""A token with less than this left is replaced, if a source has a better one."""
_SETTLED_S: Final = 10.0
"""Threads whose requests were refused together ask for one fresh token, not for one each."""


class Source(Protocol):
    """Where access tokens come from."""

    @property
    def what(self) -> str:
        """For people, without a secret: `the auth line's token`."""
        ...

    def ask(self, least_s: float) -> Secret:
        """Return a token that lives for `least_s` seconds, if it can choose.

        Raises:
            InfraError: it has none.
        """
        ...


@dataclass(frozen=True, slots=True)
class Given:
    """A token that somebody wrote down."""

    what: str
    token: Secret

    def ask(self, least_s: float) -> Secret:
        del least_s
        return check_token(self.token.reveal(), self.what)


@dataclass(frozen=True, slots=True)
class InFile:
    """A file that something else keeps fresh; read anew each time."""

    path: str
    what: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "what", f"the token file {self.path}")

    def ask(self, least_s: float) -> Secret:
        del least_s
        return check_token(private_text(self.path, "token file", barred=GROUP_MAY), self.what)


@dataclass(frozen=True, slots=True)
class Agent:
    """oidc-agent of the user."""

    socket: Path
    account: str
    issuer: str
    limit_s: float
    what: str = "oidc-agent"

    def ask(self, least_s: float) -> Secret:
        return ask_agent(
            str(self.socket), account=self.account, issuer=self.issuer, least_s=least_s, limit_s=self.limit_s
        )


class Refreshed:
    """The issuer, asked with a refresh token; a new refresh token takes the place of the old. Safe under threads."""

    what = "the refresh token"

    def __init__(self, issuer: Issuer, refresh_token: Secret, client_id: str, client_secret: Secret) -> None:
        self._issuer = issuer
        self._refresh_token = refresh_token
        self._client = client_id, client_secret
        self._lock = threading.Lock()

    def ask(self, least_s: float) -> Secret:
        del least_s  # the issuer decides
        with self._lock:
            token, self._refresh_token = self._issuer.refresh(self._refresh_token, *self._client)
            return token


def from_environment(environ: Mapping[str, str]) -> tuple[Given, ...]:
    """Return the tokens that stand in environment variables."""
    return tuple(Given(f"${name}", Secret(environ[name])) for name in TOKEN_VARIABLES if environ.get(name))


class Tokens:
    """The token of one account. Safe under threads."""

    def __init__(self, sources: Sequence[Source], clock: Clock, accept: Callable[[Claims], None] | None = None) -> None:
        """`accept` raises an InfraError where a token is of no use: the next source is asked then."""
        self._sources = tuple(sources)
        self._clock = clock
        self._accept = accept
        self._lock = threading.Lock()
        self._token: Secret | None = None
        self._claims = Claims()
        self._refused: set[Secret] = set()
        self._renewed_at = float("-inf")

    @property
    def claims(self) -> Claims:
        """What the token in use says. Raises as `get`."""
        self.get()
        return self._claims

    def get(self) -> Secret:
        """Return a token that has not expired; blocks where a source is to be asked.

        Raises:
            Unauthorised: no source has one; the message says of each why.
        """
        with self._lock:
            if self._token is not None and self._left(self._claims) >= _AHEAD_S:
                return self._token
            return self._take()

    def renew(self) -> bool:
        """Get another token in place of the one that was refused; False where no source has another."""
        with self._lock:
            if self._clock.monotonic() - self._renewed_at < _SETTLED_S:
                return True
            old, self._token = self._token, None
            if old is not None:
                self._refused.add(old)
            try:
                self._take()
            except Unauthorised:
                self._token = old
                return False
            self._renewed_at = self._clock.monotonic()
            return True

    def _take(self) -> Secret:
        """Take and return the first token that lives long, else the one that lives longest."""
        lacks: list[str] = []
        best: tuple[float, Secret, Claims] | None = None
        if self._token is not None and self._left(self._claims) > 0:
            best = self._left(self._claims), self._token, self._claims
        for source in self._sources:
            try:
                token = source.ask(_AHEAD_S)
                claims = read_claims(token)
                if self._accept is not None:
                    self._accept(claims)
            except InfraError as error:
                lacks.append(f"{source.what}: {error.message}")
                continue
            left = self._left(claims)
            if token in self._refused:
                lacks.append(f"{source.what} was refused")
            elif left <= 0:
                lacks.append(f"{source.what} expired {_ago(-left)} ago")
            elif best is None or left > best[0]:
                best = left, token, claims
                if left >= _AHEAD_S:
                    break
        if best is None:
            raise Unauthorised(
                f"there is no access token: {'; '.join(lacks) or 'none was given'}",
                "give one: in the auth line, by oidc-agent, token_file, OIDC_ACCESS_TOKEN or a refresh token",
            )
        _, self._token, self._claims = best
        return self._token

    def _left(self, claims: Claims) -> float:
        return float("inf") if claims.expires_at is None else claims.expires_at - self._clock.now()


def _ago(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
