"""Smart plugs and relays in the house's own network, by HTTP; no cloud of a maker is asked.

- `shelly1`: `/relay/N?turn=on` (Shelly API, generation 1), a password by HTTP's basic scheme.
- `shelly2`: `/rpc/Switch.Set` and `Switch.GetStatus` (generations 2 to 4), a password by digest with SHA-256.
- `tasmota`: `/cm?cmnd=PowerN On` (Tasmota, Commands), a password in the query, as Tasmota wants it.

Plugs speak plain HTTP: the password of a `shelly1` and of a `tasmota` can be read in their network.
"""

import base64
import secrets
from collections.abc import Mapping
from typing import Any, Final, Literal
from urllib.parse import quote, urlencode

import msgspec

from infracore.deadline import Deadline
from infracore.errors import CommandFailed, Misconfigured, NotFound, Transient, Unauthorised
from infracore.http import Answer, Http, parse_address
from infracore.outlets.digest import digest_answer
from infracore.secret_source import SecretSource

__all__ = ["Plug", "PlugAccess"]

_MOST_BYTES: Final = 64 * 1024
_NO_SUCH_ID: Final = -105
"""Shelly's code for an argument that names nothing."""


class PlugAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How plugs of one kind are talked to."""

    kind: Literal["shelly1", "shelly2", "tasmota"]
    user: str = "admin"
    password: SecretSource = SecretSource()
    request_s: float = 5.0


class Plug:
    """One outlet of one plug. Safe under threads."""

    def __init__(self, access: PlugAccess, address: str, outlet: int = 1) -> None:
        """Take the plug's host, `host:port` or URL; outlets are counted from 1. Raises Misconfigured."""
        self._access = access
        self._address = parse_address(address if "://" in address else f"http://{address}", "the plug's address")
        self._outlet = outlet
        self.place = f"outlet {outlet} of {self._address}"
        """The same for the same outlet, however its plug's address is written."""
        if not 1 <= outlet <= 64:
            raise Misconfigured(f"plug {address}: {outlet} is no outlet", "outlets are counted from 1")

    def is_on(self, deadline: Deadline) -> bool:
        """Read whether it gives power.

        Raises:
            Transient, TimedOut: the plug does not answer. Unauthorised: the password is wrong or missing.
            NotFound: there is no such outlet, or it is a plug of another kind. CommandFailed: it answers otherwise.
        """
        key = "ison"
        match self._access.kind:
            case "shelly1":
                said = self._ask(f"/relay/{self._outlet - 1}", {}, deadline)
            case "shelly2":
                key = "output"
                said = self._ask("/rpc/Switch.GetStatus", {"id": str(self._outlet - 1)}, deadline)
            case "tasmota":
                said = self._ask("/cm", {"cmnd": f"Power{self._outlet}"}, deadline)
                is_on = said.get(f"POWER{self._outlet}", said.get("POWER") if self._outlet == 1 else None)
                said = {key: {"ON": True, "OFF": False}.get(str(is_on), is_on)}
        state = said.get(key)
        if not isinstance(state, bool):
            raise CommandFailed(f"plug {self._address}: whether outlet {self._outlet} is on is answered by {state!r}")
        return state

    def switch(self, on: bool, deadline: Deadline) -> None:
        """Set it, and read it back. Raises as `is_on`; CommandFailed where it is not so afterwards."""
        match self._access.kind:
            case "shelly1":
                self._ask(f"/relay/{self._outlet - 1}", {"turn": "on" if on else "off"}, deadline)
            case "shelly2":
                words = {"id": str(self._outlet - 1), "on": "true" if on else "false"}
                self._ask("/rpc/Switch.Set", words, deadline)
            case "tasmota":
                self._ask("/cm", {"cmnd": f"Power{self._outlet} {'On' if on else 'Off'}"}, deadline)
        if self.is_on(deadline) is not on:
            raise CommandFailed(f"plug {self._address} said yes, and outlet {self._outlet} is not switched")

    def _ask(self, path: str, words: Mapping[str, str], deadline: Deadline) -> Mapping[str, Any]:
        """Send one request, with the password as the kind wants it; return the answer's object."""
        access = self._access
        password = access.password.read("password") if access.password else None
        headers: dict[str, str] = {}
        query = dict(words)
        if password is not None and access.kind == "tasmota":
            query = {"user": access.user, "password": password.reveal(), **query}
        if password is not None and access.kind == "shelly1":
            pair = f"{access.user}:{password.reveal()}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        uri = f"{path}?{urlencode(query, quote_via=quote)}" if query else path
        answer = self._send(uri, headers, deadline)
        if answer.status == 401 and access.kind == "shelly2" and password is not None:
            challenge = answer.headers.get("www-authenticate", "")
            whole = f"{self._address.base}{uri}"
            told = digest_answer(challenge, "GET", whole, access.user, password, secrets.token_hex(16))
            answer = self._send(uri, {"Authorization": told}, deadline)
        return self._read(answer)

    def _send(self, uri: str, headers: Mapping[str, str], deadline: Deadline) -> Answer:
        limit_s = min(self._access.request_s, deadline.left())
        return Http(self._address, most_bytes=_MOST_BYTES).send("GET", uri, headers=headers, limit_s=limit_s)

    def _read(self, answer: Answer) -> Mapping[str, Any]:
        where = f"plug {self._address}"
        try:
            said = msgspec.json.decode(answer.body)
        except (msgspec.DecodeError, RecursionError):
            said = None
        words: Mapping[str, Any] = said if isinstance(said, dict) else {}
        if answer.status in {401, 403} or "Need user=" in str(words.get("WARNING", "")):
            raise Unauthorised(f"{where} refuses us: the password is wrong or missing", "see `user` and `password`")
        text = str(words.get("message") or words.get("Command") or "")[:200]
        if answer.status == 404 or words.get("code") == _NO_SUCH_ID or words.get("Command") == "Unknown":
            raise NotFound(
                f"{where} has no outlet {self._outlet}, or is no {self._access.kind}{f': {text}' if text else ''}",
                "outlets are counted from 1; the kind is shelly1, shelly2 or tasmota",
            )
        if answer.status >= 500 or answer.status == 429:
            raise Transient(f"{where} answers HTTP {answer.status}{f': {text}' if text else ''}")
        if answer.status != 200 or not isinstance(said, dict):
            raise CommandFailed(f"{where} answers HTTP {answer.status}, and not as a {self._access.kind} does")
        return words
