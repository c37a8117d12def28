"""The accounts of one of our servers, worked on by an administrator from elsewhere."""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from im_client.services.remote.model import Kind
from im_client.services.remote.server import Server
from infracore.errors import Transient, Unsupported
from infracore.im_rest import Body
from infracore.secrets import Secret

__all__ = ["add", "listing", "remove", "token"]

_JSON: Final = "application/json"


def listing(server: Server) -> list[tuple[str, bool, int]]:
    """Return name, whether it is an administrator's, and the number of tokens of each account."""
    _require_ours(server)
    said = server.get("/users").data.get("accounts")
    found = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
    return [(str(one.get("name", "")), one.get("admin") is True, int(one.get("tokens") or 0)) for one in found]


def add(server: Server, name: str, password: Secret, *, is_admin: bool) -> None:
    """Make an account, or give one a new password."""
    _require_ours(server)
    server.change("PUT", _path(name), _body({"password": password.reveal(), "admin": is_admin}), has_key=False)


def remove(server: Server, name: str) -> None:
    """Remove an account with its tokens."""
    _require_ours(server)
    server.change("DELETE", _path(name), has_key=False)


def token(server: Server, name: str, *, role: str, infra: str | None, days: float | None) -> Secret:
    """Make a token; it is shown this once.

    Raises:
        Transient: the answer holds none.
    """
    _require_ours(server)
    asked = {"role": role, "infrastructure": infra, "days": days}
    made = server.change("POST", f"{_path(name)}/tokens", _body(asked), has_key=False).member("token")
    if not made:
        raise Transient(f"{server.address} answered without a token")
    return Secret(made)


def _require_ours(server: Server) -> None:
    if server.kind is not Kind.OURS:
        raise Unsupported(
            f"{server.address} runs the {server.kind}, which keeps no accounts: any name and password is a user there",
            "whoever should use it writes a line of type InfrastructureManager of their own",
        )


def _path(name: str) -> str:
    return f"/users/{quote(name, safe='')}"


def _body(asked: Mapping[str, Any]) -> Body:
    return Body(json.dumps(asked), _JSON)
