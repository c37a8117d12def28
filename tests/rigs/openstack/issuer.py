"""An OpenID Connect issuer on loopback, shaped like EGI Check-in: it signs whatever is asked of it, for anybody.

`POST .../token` takes `username`, `vo` (several by commas) and `expires_in`, and answers with an access token; the user
name is the refresh token. `.../userinfo`, `.../token/introspect` and `.../certs` are as in Check-in's Keycloak.
"""

import json
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = ["PATH", "VOS", "Issuer", "issuer"]

PATH = "/auth/realms/egi"
VOS = ("vo.rig.example", "vo.other.example")
_SCOPE = "openid email profile offline_access eduperson_entitlement"


class Issuer:
    """A key and the address that vouches for it."""

    def __init__(self, url: str, key_file: Path) -> None:
        self.url = url
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        public = self._key.public_key()
        encoding, kind = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        key_file.write_bytes(public.public_bytes(encoding, kind))
        self.keys = {"keys": [{**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(public)), "kid": "rig", "use": "sig"}]}

    def token(self, user: str = "alice@egi.eu", vos: tuple[str, ...] = VOS[:1], life_s: int = 3600) -> str:
        """Sign an access token; one with a negative life has expired already."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "sub": user,
            "aud": "rig",
            "azp": "rig",
            "jti": str(uuid.uuid4()),
            "typ": "Bearer",
            "iat": now - 7200,
            "exp": now + life_s,
            "scope": _SCOPE,
            "email": f"{user.partition('@')[0]}@example.org",
            "email_verified": True,
            "eduperson_entitlement": [
                f"urn:mace:egi.eu:group:{vo}:role={role}#aai.egi.eu" for vo in vos for role in ("member", "vm_operator")
            ],
        }
        return jwt.encode(claims, self._key, "RS256", {"kid": "rig"})

    def claims(self, token: str) -> dict[str, Any]:
        """Return what a token says.

        Raises:
            jwt.InvalidTokenError: it is not ours, or has expired.
        """
        return dict(jwt.decode(token, self._key.public_key(), ["RS256"], audience="rig", issuer=self.url))


@contextmanager
def issuer(port: int, key_file: Path) -> Iterator[Issuer]:
    """Run one in a thread; its public key is in the file."""
    made = Issuer(f"http://127.0.0.1:{port}{PATH}", key_file)
    server = ThreadingHTTPServer(("127.0.0.1", port), _Handler)
    server.daemon_threads = True
    server.issuer = made  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="issuer", daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    @property
    def _issuer(self) -> Issuer:
        found: Issuer = self.server.issuer  # type: ignore[attr-defined]
        return found

    def do_GET(self) -> None:
        path, made = urlsplit(self.path).path.removeprefix(PATH), self._issuer
        connect = f"{made.url}/protocol/openid-connect"
        if path == "/.well-known/openid-configuration":
            names = {"token": "token", "userinfo": "userinfo", "introspection": "token/introspect"}
            ends = {f"{name}_endpoint": f"{connect}/{place}" for name, place in names.items()}
            self._send({"issuer": made.url, "jwks_uri": f"{connect}/certs", **ends})
        elif path.endswith("/certs"):
            self._send(made.keys)
        elif path.endswith("/userinfo"):
            try:
                self._send(made.claims(self.headers.get("Authorization", "").rpartition(" ")[2]))
            except jwt.InvalidTokenError as error:
                self._send({"error": "invalid_token", "error_description": str(error)}, 401)
        else:
            self._send({"error": "not_found"}, 404)

    def do_POST(self) -> None:
        text = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        asked = {name: values[0] for name, values in parse_qs(text).items()}
        path, made = urlsplit(self.path).path, self._issuer
        if path.endswith("/introspect"):
            try:
                claims = made.claims(asked.get("token", ""))
                self._send({**claims, "active": True, "token_type": "Bearer", "username": claims["sub"]})
            except jwt.InvalidTokenError:
                self._send({"active": False})
        elif path.endswith("/token"):
            user = asked.get("username") or asked.get("refresh_token") or "alice@egi.eu"
            life_s = int(asked.get("expires_in", 3600))
            token = made.token(user, tuple(asked.get("vo", VOS[0]).split(",")), life_s)
            answer = {"access_token": token, "token_type": "Bearer", "expires_in": life_s, "scope": _SCOPE}
            self._send({**answer, "refresh_token": user, "id_token": token})
        else:
            self._send({"error": "not_found"}, 404)

    def _send(self, answer: object, status: int = 200) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
