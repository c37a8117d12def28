"""What this server gives a cluster that scales itself: its own address, and a token for this one infrastructure."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Final

from im_client.services.server.accounts import new_token
from im_client.settings import ServerSettings
from im_client.state.server import Role, ServerStore, TokenRecord
from im_client.state.store import Endpoint
from infracore.clock import Clock
from infracore.errors import Misconfigured

__all__ = ["OWN_TOKEN", "Endpoints", "open_endpoints"]

OWN_TOKEN: Final = "cluesd"  # noqa: S105 - the name of the token that a server gives
_MOST_BYTES: Final = 2**20


class Endpoints:
    """Makes them; what is made is recorded with the change that needs it. Safe under threads."""

    def __init__(self, url: str, authorities: str, records: ServerStore, clock: Clock) -> None:
        self._url = url
        self._authorities = authorities
        self._records = records
        self._clock = clock

    @property
    def are_given(self) -> bool:
        """Whether this server knows an address of its own."""
        return bool(self._url)

    def offer(self, infrastructure: str, before: Endpoint | None) -> tuple[Endpoint | None, TokenRecord | None]:
        """Return what an infrastructure is to have, and the record of its token where that is new.

        The token stays the same as long as it is good; the address is today's. Without an address of this server all
        stays as it is.
        """
        if not self._url:
            return before, None
        if before is not None and self._is_good(before, infrastructure):
            return dataclasses.replace(before, url=self._url, authorities=self._authorities), None
        record, text = new_token(
            None, self._clock.now(), role=Role.SCALER, infrastructure=infrastructure, name=OWN_TOKEN
        )
        return Endpoint(self._url, text, self._authorities), record

    def withdraw(self, infrastructure: str) -> None:
        """Revoke the token of an infrastructure that asks for none any more. Absent: succeeds."""
        for one in self._records.tokens_of(infrastructure):
            if one.account is None and one.name == OWN_TOKEN:
                self._records.remove_token(one.id)

    def _is_good(self, endpoint: Endpoint, infrastructure: str) -> bool:
        found = self._records.token(hashlib.sha256(endpoint.token.reveal().encode()).digest())
        return found is not None and found.infrastructure == infrastructure and found.account is None


def open_endpoints(settings: ServerSettings, records: ServerStore, clock: Clock) -> Endpoints:
    """Read what the settings name.

    Raises:
        Misconfigured: the certificates cannot be read, or are none.
    """
    path, authorities = settings.public_ca_file, ""
    if path != Path():
        authorities = _certificates(path)
    return Endpoints(settings.public_url, authorities, records, clock)


def _certificates(path: Path) -> str:
    import ssl  # late: a server that has none starts quicker

    try:
        with path.open("rb") as file:
            text = file.read(_MOST_BYTES).decode("ascii")
        ssl.create_default_context(cadata=text)
    except (OSError, ValueError) as error:  # ssl.SSLError is an OSError
        raise Misconfigured(
            f"cannot use server.public_ca_file {path}: {error}", "it holds certificates in PEM, and no keys"
        ) from error
    if "PRIVATE KEY" in text:
        raise Misconfigured(f"server.public_ca_file {path} holds a private key", "machines get what is in it")
    return text
