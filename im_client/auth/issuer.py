"""The issuer of OpenID tokens (EGI Check-in): where its endpoints are, a fresh token for a refresh token, userinfo.

OpenID Connect Discovery 1.0, section 4; RFC 6749, section 6; OpenID Connect Core 1.0, section 5.3.
"""

from pathlib import Path
from typing import Any

import msgspec

from im_client.auth.asking import Service, safe_url
from im_client.auth.claims import check_token
from infracore.errors import CommandFailed, Misconfigured, Unauthorised
from infracore.http import Http
from infracore.secrets import Secret

__all__ = ["Issuer"]


class _Places(msgspec.Struct):
    issuer: str
    token_endpoint: str
    userinfo_endpoint: str = ""


class _Grant(msgspec.Struct):
    access_token: str
    refresh_token: str = ""


class Issuer:
    """One issuer. Safe under threads; each call asks anew."""

    def __init__(self, url: str, *, ca_file: Path | None = None, limit_s: float = 30.0) -> None:
        """Raises Misconfigured: the address is none, or has no TLS."""
        self.url = url.rstrip("/")
        self._ca_file = ca_file
        self._limit_s = limit_s
        self._service(self.url)

    def refresh(self, refresh_token: Secret, client_id: str, client_secret: Secret) -> tuple[Secret, Secret]:
        """Return a fresh access token, and the refresh token for the next time.

        Raises:
            Unauthorised: the issuer does not take the refresh token. Transient, Misconfigured: see `Service.get`.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token.reveal(), "client_id": client_id}
        if client_secret:
            form["client_secret"] = client_secret.reveal()
        try:
            grant = self._service(self._places().token_endpoint).post_form("", form, _Grant)
        except CommandFailed as error:  # RFC 6749, section 5.2: 400 with invalid_grant
            raise Unauthorised(error.message, "get another refresh token; the old one has expired") from error
        fresh = check_token(grant.access_token, f"the token of {self.url}")
        return fresh, Secret(grant.refresh_token) if grant.refresh_token else refresh_token

    def userinfo(self, token: Secret) -> dict[str, Any]:
        """Return what the issuer says of whom the token is for. Raises Unauthorised: it has expired."""
        place = self._places().userinfo_endpoint
        if not place:
            return {}
        return self._service(place).get("", dict[str, Any], authorization=Secret(f"Bearer {token.reveal()}"))

    def _places(self) -> _Places:
        places = self._service(self.url).get("/.well-known/openid-configuration", _Places)
        if places.issuer.rstrip("/") != self.url:
            raise Misconfigured(
                f"{self.url} says that it is the issuer {places.issuer[:200]!r}", "set the issuer's very own address"
            )
        return places

    def _service(self, url: str) -> Service:
        address = safe_url(url, "the issuer of tokens")
        return Service(Http(address, ca_file=self._ca_file, most_bytes=2**20), "the issuer of tokens", self._limit_s)
