"""The server: who it is, how to ask it, and what may be repeated."""

import os
import stat
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Final

from im_client.auth.authfile import parse_auth
from im_client.services.remote.model import Kind
from im_client.settings import RemoteSettings, Settings
from infracore.clock import Clock, SystemClock
from infracore.errors import InfraError, InvalidUsage, Misconfigured, NotFound, TimedOut, Transient, Unauthorised
from infracore.http import Address, Http, Unheard, parse_address
from infracore.ids import new_token
from infracore.im_rest import Body, ImRest, Said, authorization
from infracore.retry import Backoff, retrying
from infracore.secrets import Secret

__all__ = ["Server", "credentials", "open_server", "safe_address"]

TOKEN_VARIABLE: Final = "IM_TOKEN"  # noqa: S105 - its name
_MOST_BYTES: Final = 256 * 1024
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

    def change(self, method: str, path: str, body: Body | None = None, *, etag: str = "") -> Said:
        """Change something, once: repeated only where it was not heard, or where ours knows it by its key.

        Raises:
            As `ImRest.ask`; Conflict where the infrastructure is another one than that of `etag`.
        """
        headers = {"If-Match": etag} if etag else {}
        if self.kind is Kind.OURS:
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


def safe_address(url: str, what: str, *, insecure_http: bool) -> Address:
    """Read the address of a server that credentials are sent to.

    Raises:
        Misconfigured: it is none, or without TLS and not of this computer, and that is not allowed.
    """
    address = parse_address(url, what)
    if not address.is_tls and not address.is_loopback and not insecure_http:
        raise Misconfigured(
            f"{address} has no TLS: anybody on the way could read your credentials",
            "use https; where the network is your own, --insecure-http allows it (setting insecure_http)",
        )
    return address


def credentials(auth_file: str, token_file: str, token: str) -> Secret:
    """Return the Authorization header: of an auth file, of a token, or of both.

    Raises:
        Unauthorised: there is neither. Misconfigured: a file is not usable; no message quotes it.
    """
    if token_file and not token:
        token = _private_text(token_file, "token file").strip()
        if not token:
            raise Misconfigured(f"the token file {token_file} is empty")
    if any(not 32 < ord(letter) < 127 for letter in token):
        raise Misconfigured("the token holds a blank or a character that no token has", "one token, in one line")
    if not auth_file:
        if not token:
            raise Unauthorised(
                "there are no credentials for the server",
                f"--auth-file FILE (lines of type InfrastructureManager and of clouds), --token-file FILE, or "
                f"{TOKEN_VARIABLE} in the environment",
            )
        return authorization(f"Bearer {token}")
    text = _private_text(auth_file, "auth file")
    found = parse_auth(text, auth_file)
    if not token:
        return authorization(text)
    if any(one.type == "InfrastructureManager" for one in found):
        raise InvalidUsage(
            f"{auth_file} has a line of type InfrastructureManager, and there is a token too", "leave one of them out"
        )
    if text.lstrip().startswith("["):
        raise Misconfigured(f"{auth_file} is a JSON list, to which no token is added", "write it in lines")
    return authorization(f"type = InfrastructureManager; token = {token}\n{text}")


def _private_text(name: str, what: str) -> str:
    path = Path(name).expanduser()
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if not stat.S_ISREG(mode):
                raise Misconfigured(f"the {what} {path} is not a regular file")
            if mode & 0o007:
                raise Misconfigured(f"the {what} {path} is open to every user", f"run: chmod 600 {path}")
            raw = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise Misconfigured(f"cannot read the {what} {path}: {error.strerror}") from error
    if len(raw) > _MOST_BYTES:
        raise Misconfigured(f"the {what} {path} is larger than {_MOST_BYTES >> 10} KiB")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise Misconfigured(f"the {what} {path} is not UTF-8") from None
