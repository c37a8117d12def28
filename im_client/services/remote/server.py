"""The server: who it is, how to ask it, and what may be repeated."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

from im_client.auth.server import TOKEN_VARIABLE, credentials, safe_address
from im_client.services.remote.model import Kind
from im_client.settings import RemoteSettings, Settings
from infracore.clock import Clock, SystemClock
from infracore.errors import InfraError, Misconfigured, NotFound, TimedOut, Transient, Unauthorised
from infracore.http import Http, Unheard
from infracore.ids import new_token
from infracore.im_rest import Body, ImRest, Said
from infracore.retry import Backoff, retrying

__all__ = ["Server", "open_server"]

_AGAIN: Final[Mapping[type[InfraError], Backoff]] = {
    Transient: Backoff(attempts=4, first_s=0.5),
    TimedOut: Backoff(attempts=2, first_s=0.5),
}
_UNHEARD: Final[Mapping[type[InfraError], Backoff]] = {Unheard: Backoff(attempts=3, first_s=0.5)}


class Server:
    """One server and our credentials there. Safe under threads."""

    def __init__(self, rest: ImRest, settings: RemoteSettings, clock: Clock) -> None:
        self.rest = rest
        self.settings = settings
        self.auth_file = "" if settings.auth_file == Path() else str(settings.auth_file)
        """Empty: there is only a token."""
        self.clock = clock
        self.cancel = threading.Event()
        """Stops waiting between repetitions; set by who is interrupted."""

    @property
    def address(self) -> str:
        """Return where it is."""
        return str(self.rest.http.address)

    @cached_property
    def kind(self) -> Kind:
        """Whose server it is: ours tells its health, which the original does not."""
        try:
            said = self.get("/healthz")
        except (NotFound, Unauthorised, Misconfigured):
            return Kind.ORIGINAL
        return Kind.OURS if said.text.strip() == "ok" else Kind.ORIGINAL

    @cached_property
    def version(self) -> str:
        """Return what it says of itself."""
        return self.get("/version").member("version")

    def get(self, path: str) -> Said:
        """Look; repeated where that may help. Raises as `ImRest.ask`."""
        return self._retrying("GET", path, None, {}, _AGAIN)

    def change(self, method: str, path: str, body: Body | None = None, *, etag: str = "", has_key: bool = True) -> Said:
        """Change something, once: repeated only where it was not heard, or where ours knows it by its key.

        Not `has_key`: what ours looks at no key for.

        Raises:
            As `ImRest.ask`; Conflict where the infrastructure is another one than that of `etag`.
        """
        headers = {"If-Match": etag} if etag else {}
        if self.kind is Kind.OURS and has_key:
            return self._retrying(method, path, body, {**headers, "Idempotency-Key": new_token()}, _AGAIN)
        return self._retrying(method, path, body, headers, _UNHEARD)

    def _retrying(
        self,
        method: str,
        path: str,
        body: Body | None,
        headers: Mapping[str, str],
        rules: Mapping[type[InfraError], Backoff],
    ) -> Said:
        def ask() -> Said:
            return self.rest.ask(method, path, limit_s=self.settings.request_s, body=body, headers=headers)

        return retrying(ask, rules=rules, clock=self.clock, cancel=self.cancel)


@contextmanager
def open_server(settings: Settings, environ: Mapping[str, str], clock: Clock | None = None) -> Iterator[Server]:
    """Open the server of the settings; nothing is sent yet.

    Raises:
        Misconfigured: its address or a file. Unauthorised: there are no credentials.
    """
    remote = settings.remote
    address = safe_address(remote.server, "remote.server", insecure_http=remote.insecure_http)
    ca_file = None if remote.ca_file == Path() else remote.ca_file
    http = Http(address, ca_file=ca_file)
    auth_file = "" if remote.auth_file == Path() else str(remote.auth_file)
    token_file = "" if remote.token_file == Path() else str(remote.token_file)
    auth = credentials(auth_file, token_file, environ.get(TOKEN_VARIABLE, ""))
    try:
        yield Server(ImRest(http, auth), remote, clock or SystemClock())
    finally:
        http.close()
