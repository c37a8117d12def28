"""EGI's services on loopback, one process, plain HTTP: Check-in, information service, dynamic DNS, a Keystone.

They answer as the originals' own code and documentation say (EGI-Federation/cloud-info-api, IISAS/nsupdate.info,
docs.egi.eu; Check-in is a Keycloak). Tokens are signed and checked. The Keystone knows federated login and projects;
what is behind it is the test's: a small cloud (`Egi.login`). At a real Keystone: tests/openstack.
"""

import base64
import copy
import functools
import json
import re
import secrets
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, unquote, urlsplit

import jwt

from tests.rigs.openstack.issuer import Issuer

__all__ = ["CLIENT", "PROJECT", "VO", "ZONE", "Egi", "egi"]

VO: Final = "vo.rig.example"
PROJECT: Final = "1" * 32
CLIENT: Final = "im-clues-rig"
ZONE: Final = "vm.rig.example"
REALM: Final = "/auth/realms/egi"
_IMAGE: Final = "06c8bfac-0f93-48da-b0eb-4fbad3356f73"
_LOGIN: Final = re.compile(r"/v3/OS-FEDERATION/identity_providers/egi\.eu/protocols/openid/auth")

_SUPPORTED: Final[Mapping[str, list[str]]] = {
    "grant_types_supported": ["authorization_code", "refresh_token"],
    "response_types_supported": ["code"],
    "scopes_supported": ["openid", "offline_access", "email", "profile", "eduperson_entitlement"],
    "code_challenge_methods_supported": ["S256"],
}
"""oidc-agent does not take an issuer without them."""


class Egi:
    """The services, and what they know. Tests change it as they like."""

    def __init__(self, base: str) -> None:
        self.base = base
        self.issuer = copy.copy(_issuer())
        self.issuer.url = f"{base}{REALM}"
        self.judge: Callable[[str], dict[str, Any] | None] = self.issuer.claims
        """Says whom a token is for; raises `jwt.InvalidTokenError`."""
        self.asked: list[str] = []
        """Paths of all requests, with their queries."""
        self.status: dict[str, int] = {}
        """Beginning of a path -> the status that is answered there."""
        self.refresh_tokens = {"first-refresh-token"}
        self.rotates = True
        """Whether a refresh token is good for one use."""
        self.token_life_s = 3600
        self.revoked: set[str] = set()
        """Tokens that count no more, though they have not expired: ended in the eyes of the services."""
        self.vos: tuple[str, ...] = (VO,)
        """Of fresh tokens."""
        self.knows_projects = True
        """Whether `include_projects` is understood."""
        self.sites = [
            self._site("RIG-ONE", "RIG", {VO: PROJECT, "vo.other.example": "f" * 32}),
            self._site("RIG-TWO", "RIG-TWO", {"vo.other.example": "e" * 32}, host="two.example"),
            self._site("RIG-THREE", "RIG-THREE", {VO: "d" * 32}, host="three.example"),
        ]
        self.images: list[dict[str, str]] = [
            self._image("ubuntu:22.04", "2025-09-04-4d7122d6", _IMAGE),
            self._image("ubuntu:22.04", "2025-10-01-aaaaaaaa", _IMAGE.replace("06c8", "17d9")),
            self._image("alma:9", "2025-09-04-4d7122d6", "141027e7-276b-462b-b03d-8843ef2e3d24"),
        ]
        self.hosts: dict[str, dict[str, Any]] = {}
        """Names of the dynamic DNS, with owner and secret."""
        self.unscoped: dict[str, tuple[str, ...]] = {}
        """Keystone's tokens for nothing yet -> VOs."""
        self.login: Callable[[], tuple[str, dict[str, Any]]] = lambda: (secrets.token_hex(16), {"token": {}})
        """Makes a token for a project, with a catalog of what is behind."""

    @property
    def keystone(self) -> str:
        return f"{self.base}/keystone/v3"

    def token(self, user: str = "alice@egi.eu", vos: tuple[str, ...] | None = None, life_s: int = 3600) -> str:
        return self.issuer.token(user, self.vos if vos is None else vos, life_s)

    def _site(self, name: str, gocdb: str, projects: Mapping[str, str], host: str = "") -> dict[str, Any]:
        url = f"{self.base}/nothing-there/v3" if host else self.keystone
        said = {"id": f"{len(name)}G0", "name": name, "site_name": gocdb, "url": url, "state": ""}
        return {**said, "hostname": host, "projects": [{"id": k, "name": vo} for vo, k in projects.items()]}

    def _image(self, name: str, version: str, glance: str) -> dict[str, str]:
        egi_id = f"egi_vm_images/{name}"
        mpuri = f"registry.egi.eu/{egi_id}-sha256:{secrets.token_hex(8)}"
        said = {"egi_id": egi_id, "id": glance, "endpoint": self.keystone, "mpuri": mpuri}
        return {**said, "name": f"registry.egi.eu {egi_id}", "version": version, "vo": VO}

    def claims(self, authorization: str) -> dict[str, Any] | None:
        """Return whom a bearer's token is for, None where it is not good."""
        kind, _, token = authorization.partition(" ")
        try:
            return self.judge(token) if kind.lower() == "bearer" and token not in self.revoked else None
        except jwt.InvalidTokenError:
            return None


@functools.cache
def _issuer() -> Issuer:
    """Make a key once a run; that takes a while."""
    with tempfile.TemporaryDirectory() as folder:
        return Issuer("", Path(folder) / "issuer.pem")


@contextmanager
def egi() -> Iterator[Egi]:
    """Run them in threads."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    made = Egi(f"http://127.0.0.1:{server.server_address[1]}")
    server.egi = made  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="egi", daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    @property
    def _egi(self) -> Egi:
        found: Egi = self.server.egi  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        self._answer("")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

    def _answer(self, text: str) -> None:
        made, parts = self._egi, urlsplit(self.path)
        made.asked.append(self.path)
        for beginning, status in made.status.items():
            if parts.path.startswith(beginning):
                self._send({"detail": "the rig was told to"}, status)
                return
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        places: Mapping[str, Callable[[str, dict[str, str], str], None]] = {
            REALM: self._checkin,
            "/is": self._information,
            "/nic": self._dns,
            "/keystone": self._keystone,
        }
        for beginning, place in places.items():
            if parts.path.startswith(beginning):
                place(parts.path.removeprefix(beginning), query, text)
                return
        self._send({"detail": "Not Found"}, 404)

    def _checkin(self, path: str, query: dict[str, str], text: str) -> None:
        made = self._egi
        connect = f"{made.issuer.url}/protocol/openid-connect"
        if path == "/.well-known/openid-configuration":
            places = {"token_endpoint": f"{connect}/token", "userinfo_endpoint": f"{connect}/userinfo"}
            places |= {"authorization_endpoint": f"{connect}/auth", "jwks_uri": f"{connect}/certs"}
            self._send({"issuer": made.issuer.url, **places, **_SUPPORTED})
        elif path.endswith("/certs"):
            self._send(made.issuer.keys)
        elif path.endswith("/userinfo"):
            claims = made.claims(self.headers.get("Authorization", ""))
            self._send(claims or {"error": "invalid_token"}, 200 if claims else 401)
        elif path.endswith("/token"):
            form = {name: values[0] for name, values in parse_qs(text).items()}
            token = form.get("refresh_token", "")
            if CLIENT not in {form.get("client_id"), self._basic()[0]}:
                self._send({"error": "invalid_client", "error_description": "Invalid client"}, 401)
            elif form.get("grant_type") != "refresh_token" or token not in made.refresh_tokens:
                self._send({"error": "invalid_grant", "error_description": "Invalid refresh token"}, 400)
            else:
                if made.rotates:
                    made.refresh_tokens = {secrets.token_hex(8)}
                    token = next(iter(made.refresh_tokens))
                access = made.token(life_s=made.token_life_s)
                self._send({"access_token": access, "refresh_token": token, "token_type": "Bearer"})
        else:
            self._send({"error": "Not Found"}, 404)

    def _information(self, path: str, query: dict[str, str], text: str) -> None:
        made = self._egi
        with_projects = made.knows_projects and query.get("include_projects") == "true"
        words = [unquote(word) for word in path.strip("/").split("/")]
        site = next((one for one in made.sites if len(words) > 1 and one["name"] == words[1]), None)
        if words == ["sites"]:
            self._send([one if with_projects else {**one, "projects": None} for one in made.sites])
        elif site is None:
            self._send({"detail": f"Site {words[-1]} not found"}, 404)
        elif words[2:] == ["projects"]:
            self._send(site["projects"])
        elif words[3:] == ["images"]:
            vos = {project["name"] for project in site["projects"]}
            if words[2] in vos:
                self._send([one for one in made.images if one["vo"] == words[2]])
            else:
                self._send({"detail": f"VO {words[2]} not supported by Site {words[1]}"}, 404)
        else:
            self._send({"detail": "Not Found"}, 404)

    def _dns(self, path: str, query: dict[str, str], text: str) -> None:
        claims = self._egi.claims(self.headers.get("Authorization", ""))
        if path == "/update":
            self._update(query, claims)
            return
        if claims is None:
            self._send({"status": "error", "message": "badauth"}, 401)
            return
        user, hosts, fqdn = claims["sub"], self._egi.hosts, query.get("fqdn", "")
        if path == "/domains":
            self._send({"status": "ok", "private": [], "public": [{"name": ZONE, "public": True, "available": True}]})
        elif path == "/hosts":
            mine = [
                {k: v for k, v in host.items() if k not in {"owner", "secret"}}
                for host in hosts.values()
                if host["owner"] == user
            ]
            self._send({"status": "ok", "hosts": mine})
        elif path == "/register" and (fqdn in hosts or not fqdn.endswith(f".{ZONE}")):
            self._send({"status": "error", "message": "formerr" if fqdn in hosts else "nxdomain"}, 400)
        elif path == "/register":
            hosts[fqdn] = {
                "fqdn": fqdn,
                "comment": query.get("comment"),
                "wildcard": query.get("wildcard") == "true",
                "ipv4": query.get("ip", "127.0.0.1"),
                "ipv6": None,
                "owner": user,
                "secret": secrets.token_hex(5),
            }
            self._send({"status": "ok", "host": {"fqdn": fqdn, "update_secret": hosts[fqdn]["secret"]}})
        elif path == "/unregister" and fqdn not in hosts:
            self._send({"status": "error", "message": "nohost"}, 404)
        elif path == "/unregister" and hosts[fqdn]["owner"] != user:
            self._send({"status": "error", "message": "badauth"}, 401)
        elif path == "/unregister":
            del hosts[fqdn]
            self._send({"status": "ok", "message": "Host unregistered."})
        else:
            self._send({"detail": "Not Found"}, 404)

    def _update(self, query: dict[str, str], claims: dict[str, Any] | None) -> None:
        name, hosts = query.get("hostname", ""), self._egi.hosts
        host = hosts.get(name)
        kind = self.headers.get("Authorization", "").partition(" ")[0]
        if kind == "Basic":
            user, secret = self._basic()
            if host is None or user != name or secret != host["secret"]:
                self._text("badauth", 401)
                return
        elif claims is None:
            self._text("badauth", 401)
            return
        elif host is None or host["owner"] != claims["sub"]:
            self._text("nohost")
            return
        same = host["ipv4"] == query["myip"]
        host["ipv4"] = query["myip"]
        self._text(f"{'nochg' if same else 'good'} {query['myip']}")

    def _basic(self) -> tuple[str, str]:
        """Return user and password of a request."""
        kind, _, text = self.headers.get("Authorization", "").partition(" ")
        user, _, password = base64.b64decode(text).decode().partition(":") if kind == "Basic" else ("", "", "")
        return user, password

    def _keystone(self, path: str, query: dict[str, str], text: str) -> None:
        made = self._egi
        if _LOGIN.fullmatch(path):
            claims = made.claims(self.headers.get("Authorization", ""))
            if claims is None:
                self._send({"error": {"code": 401, "title": "Unauthorized", "message": "invalid token"}}, 401)
                return
            vos = [text.split(":")[4] for text in claims["eduperson_entitlement"]]
            self._keystone_token(tuple(vos), None)
        elif path == "/v3/auth/tokens":
            auth = json.loads(text)["auth"]
            held = made.unscoped.get(auth["identity"]["token"]["id"], ())
            project = auth["scope"]["project"]["id"]
            has = {one["id"] for one in made.sites[0]["projects"] if one["name"] in held}
            if project in has:
                self._keystone_token(held, project)
            else:
                self._send({"error": {"code": 401, "title": "Unauthorized", "message": "not of this project"}}, 401)
        else:
            self._send({"error": {"code": 404, "message": "Not Found"}}, 404)

    def _keystone_token(self, vos: tuple[str, ...], project: str | None) -> None:
        token = secrets.token_hex(16)
        self._egi.unscoped[token] = vos
        said: dict[str, Any] = {
            "methods": ["openid"],
            "user": {"id": "u", "name": "alice", "domain": {"id": "Federated", "name": "Federated"}},
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
        }
        if project:
            token, answer = self._egi.login()
            said |= answer["token"] | {"project": {"id": project, "name": "p", "domain": {"id": "d", "name": "d"}}}
        self._send({"token": said}, 201, {"X-Subject-Token": token})

    def _text(self, text: str, status: int = 200) -> None:
        self._write(text.encode(), status, {"Content-Type": "text/plain"})

    def _send(self, answer: object, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self._write(json.dumps(answer).encode(), status, {"Content-Type": "application/json", **(headers or {})})

    def _write(self, body: bytes, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
