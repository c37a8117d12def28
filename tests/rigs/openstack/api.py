"""A few lines of HTTP to ask the services with: a rig is neither seeded nor judged by the client under test."""

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any

from tests.rigs.process import wait_until

__all__ = ["Api", "Refused", "call", "login"]

_POLL_S = 0.3  # to answer costs the services more than to wait


class Refused(Exception):
    """The service answered with an error."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status


def call(method: str, url: str, body: object = None, headers: Mapping[str, str] | None = None) -> tuple[Any, Any]:
    """Return the answer, read as JSON where it is, and its headers.

    Raises:
        Refused: the status is 400 or more.
    """
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    kind = "application/octet-stream" if isinstance(body, bytes) else "application/json"
    asked = urllib.request.Request(url, data, {"Content-Type": kind, **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=120) as answer:
            text = answer.read()
            is_json = "json" in answer.headers.get("Content-Type", "")
            return (json.loads(text) if text and is_json else text), answer.headers
    except urllib.error.HTTPError as error:
        raise Refused(error.code, error.read().decode(errors="replace")) from error


class Api:
    """One user in one project."""

    def __init__(self, token: str, catalog: list[dict[str, Any]], project_id: str) -> None:
        self.token = token
        self.project_id = project_id
        self.urls = {
            entry["type"]: next(end["url"] for end in entry["endpoints"] if end["interface"] == "public").rstrip("/")
            for entry in catalog
        }

    def do(self, method: str, service: str, path: str, body: object = None, /, **headers: str) -> Any:
        """Ask a service, such as `compute`; a keyword is a header."""
        url = f"{self.urls[service]}/{path.lstrip('/')}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return call(method, url, body, {"X-Auth-Token": self.token, **named})[0]

    def get(self, service: str, path: str) -> Any:
        return self.do("GET", service, path)

    def make(self, service: str, path: str, /, **body: Any) -> dict[str, Any]:
        """Make one thing, whose kind is the only keyword, and return it."""
        ((kind, _),) = body.items()
        return dict(self.do("POST", service, path, body)[kind])

    def delete(self, service: str, path: str) -> None:
        """Delete it, and wait until it is gone."""
        self.do("DELETE", service, path)
        wait_until(lambda: self.is_gone(service, path), f"{service} {path} is gone", 120, every_s=_POLL_S)

    def is_gone(self, service: str, path: str) -> bool:
        try:
            self.get(service, path)
        except Refused as error:
            if error.status != 404:
                raise
            return True
        return False

    def wait(self, service: str, path: str, status: str, within_s: float = 120) -> dict[str, Any]:
        """Wait until it has this status, and return it; an error ends the waiting."""
        (kind,) = (found := self.get(service, path))

        def reached() -> bool:
            nonlocal found
            found = self.get(service, path)
            now = found[kind]["status"].lower()
            assert now == status.lower() or not now.startswith("error"), found
            return bool(now == status.lower())

        wait_until(reached, f"{service} {path} is {status}", within_s, lambda: found, _POLL_S)
        return dict(found[kind])


def login(url: str, user: str, password: str, project: str) -> Api:
    """Log in by password, in the domain Default."""
    domain = {"name": "Default"}
    who = {"name": user, "domain": domain, "password": password}
    asked = {
        "identity": {"methods": ["password"], "password": {"user": who}},
        "scope": {"project": {"name": project, "domain": domain}},
    }
    answer, headers = call("POST", f"{url}/auth/tokens", {"auth": asked})
    token = answer["token"]
    return Api(headers["X-Subject-Token"], token["catalog"], token["project"]["id"])
