"""Bearer tokens of an OpenID provider: signature, issuer, audience, times and groups are checked.

The token is a JWT (RFC 7519); its key comes from the issuer's JWKS (RFC 7517), kept for five minutes. Only
asymmetric algorithms are taken: with HMAC the public key would do as a secret (RFC 8725, section 3.1).
"""

import json
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jwt

from im_client.settings import OidcSettings
from infracore.errors import Misconfigured, Transient
from infracore.secrets import Secret

__all__ = ["Oidc", "Subject"]

from dataclasses import dataclass

_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_KEPT_S: Final = 300.0
_LEAST_BETWEEN_S: Final = 10.0
"""A token with an unknown key makes the keys be asked for anew, but not more often."""
_FETCH_S: Final = 10.0
_MOST_BYTES: Final = 2**20
_LEEWAY_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a token speaks of: `sub@issuer`, which nobody else has."""

    name: str
    sub: str
    groups: tuple[str, ...]


class Oidc:
    """Checks tokens of one issuer. Safe under threads."""

    def __init__(
        self, settings: OidcSettings, monotonic: Callable[[], float], fetch: Callable[[str], bytes] | None = None
    ) -> None:
        if not settings.audience:
            raise Misconfigured(
                "server.oidc.issuer is set, server.oidc.audience is not: tokens for any service would be taken",
                "set the client id of this server as the audience",
            )
        self._settings = settings
        self._monotonic = monotonic
        self._fetch = fetch or _fetch
        self._lock = threading.Lock()
        self._keys: dict[str, jwt.PyJWK] = {}
        self._at = float("-inf")

    def check(self, token: Secret) -> Subject | None:
        """Return whom the token speaks of, None where it does not count here.

        Raises:
            Transient, Misconfigured: the issuer's keys cannot be had.
        """
        text = token.reveal()
        try:
            header = jwt.get_unverified_header(text)
            key = self._key(str(header.get("kid", "")))
            if key is None:
                return None
            claims: dict[str, Any] = jwt.decode(
                text,
                key,
                algorithms=list(_ALGORITHMS),
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=_LEEWAY_S,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except (jwt.InvalidTokenError, ValueError):
            return None
        said = claims.get(self._settings.groups_claim, ())
        groups = tuple(str(group) for group in said) if isinstance(said, list) else ()
        if self._settings.groups and not {*self._settings.groups, *self._settings.admin_groups} & set(groups):
            return None
        sub = str(claims["sub"])
        return Subject(f"{sub}@{self._settings.issuer}", sub, groups)

    def is_admin(self, subject: Subject) -> bool:
        """Return whether one of the subject's groups administers this server."""
        return bool(set(self._settings.admin_groups) & set(subject.groups))

    def _key(self, kid: str) -> jwt.PyJWK | None:
        with self._lock:
            age = self._monotonic() - self._at
            if age > _KEPT_S or (kid not in self._keys and age > _LEAST_BETWEEN_S):
                self._keys = self._read()
                self._at = self._monotonic()
            if not kid and len(self._keys) == 1:
                return next(iter(self._keys.values()))
            return self._keys.get(kid)

    def _read(self) -> dict[str, jwt.PyJWK]:
        place = self._settings.jwks or self._discovered()
        try:
            text = self._fetch(place) if "://" in place else Path(place).read_bytes()
            found = jwt.PyJWKSet.from_dict(json.loads(text))
        except OSError as error:
            raise Misconfigured(f"cannot read the keys of the OpenID provider: {error}") from error
        except (ValueError, jwt.PyJWTError, AttributeError) as error:
            raise Transient(f"{place} is no set of keys (JWKS): {error}") from error
        return {key.key_id or "": key for key in found.keys if key.public_key_use in {None, "sig"}}

    def _discovered(self) -> str:
        """Ask the issuer where its keys are (OpenID Connect Discovery 1.0, section 4)."""
        try:
            said = json.loads(self._fetch(f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"))
            return str(said["jwks_uri"])
        except (ValueError, KeyError, TypeError) as error:
            raise Transient(f"the issuer {self._settings.issuer} does not say where its keys are") from error


def _fetch(url: str) -> bytes:
    if not url.startswith("https://"):
        raise Misconfigured(f"{url} is not https: whoever sits on the way could give us keys", "use https, or a file")
    try:
        with urllib.request.urlopen(url, timeout=_FETCH_S) as answer:  # noqa: S310 - https, from the settings
            text: bytes = answer.read(_MOST_BYTES)
    except (urllib.error.URLError, OSError) as error:
        raise Transient(f"cannot ask {url}: {error}") from error
    return text
