"""One question to a web service, its answer as a value, and its refusals as our errors. No trying again here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec

from infracore.errors import CommandFailed, Conflict, InfraError, Misconfigured, NotFound, Transient, Unauthorised
from infracore.http import Address, Answer, Http, parse_address
from infracore.secrets import Secret

__all__ = ["Service", "safe_url"]

_T = TypeVar("_T")
_LONGEST_WAIT_S: Final = 300.0
_KINDS: Final[Mapping[int, type[InfraError]]] = {
    401: Unauthorised,
    403: Unauthorised,
    404: NotFound,
    408: Transient,
    409: Conflict,
    429: Transient,
}


def safe_url(url: str, what: str) -> Address:
    """Read the address of a service to which a token or secret goes.

    Raises:
        Misconfigured: it is none, or has no TLS and is not of this computer.
    """
    address = parse_address(url, what)
    if not address.is_tls and not address.is_loopback:
        raise Misconfigured(f"{what}: {address} has no TLS: anybody on the way could read the token", "use https")
    return address


@dataclass(frozen=True, slots=True)
class Service:
    """A service of JSON. Safe under threads."""

    http: Http
    what: str
    """For people: `the information service`."""
    limit_s: float

    def get(
        self, path: str, kind: type[_T], *, query: Mapping[str, str] | None = None, authorization: Secret | None = None
    ) -> _T:
        """Ask for something; what the answer holds beside what `kind` wants is left out.

        Raises:
            Unauthorised: 401, 403. NotFound: 404. Conflict: 409. Transient: 408, 429, 5xx, no connection.
            Misconfigured: the answer is not of the kind. CommandFailed: any other refusal.
        """
        return self.decode(self.ask("GET", path, query=query, authorization=authorization), kind)

    def post_form(self, path: str, form: Mapping[str, str], kind: type[_T]) -> _T:
        """Send a form. Raises as `get`."""
        return self.decode(self.ask("POST", path, body=urlencode(form).encode()), kind)

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        authorization: Secret | None = None,
        body: bytes | None = None,
    ) -> Answer:
        """Send a request and return the answer of a 2xx. Raises as `get`."""
        headers = {"Accept": "application/json"}
        if authorization is not None:
            headers["Authorization"] = authorization.reveal()
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        answer = self.http.send(
            method, f"{path}?{urlencode(query)}" if query else path, headers=headers, body=body, limit_s=self.limit_s
        )
        if answer.status // 100 != 2:
            raise self._refusal(path, answer)
        return answer

    def decode(self, answer: Answer, kind: type[_T]) -> _T:
        """Return the value of an answer. Raises Misconfigured: it is not of the kind."""
        try:
            return msgspec.json.decode(answer.body, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise Misconfigured(
                f"{self.what} at {self.http.address} answers what is none of its JSON: {error}", "is the address right?"
            ) from error

    def _refusal(self, path: str, answer: Answer) -> InfraError:
        text = f"{self.what} at {self.http.address} refuses {path}: HTTP {answer.status}{_reason(answer.body)}"
        kind = _KINDS.get(answer.status) or (Transient if answer.status >= 500 else CommandFailed)
        if kind is Transient:
            wait = answer.headers.get("retry-after", "")
            return Transient(text, retry_after_s=min(float(wait), _LONGEST_WAIT_S) if wait.isdecimal() else None)
        return kind(text)


def _reason(body: bytes) -> str:
    """Return what a refusal says of itself: OAuth's, FastAPI's and nsupdate's ways, or a short text."""
    try:
        said: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        text = body.decode(errors="replace").strip()
        said = text if 0 < len(text) < 200 and not text.startswith("<") else ""
    if isinstance(said, dict):
        names = ("error", "error_description", "detail", "message")
        said = ": ".join(value for name in names if isinstance(value := said.get(name), str) and value)
    if not isinstance(said, str) or not said:
        return ""
    return f" ({re.sub(r'[^ -~]+', ' ', said)[:300]})"
