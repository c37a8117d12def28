"""Keystone behind what Apache's mod_auth_openidc does there at sites of EGI, in its mode `AuthType oauth20`.

On the paths of a federated login the bearer's token is checked by the issuer's key, and its claims become variables of
the request, under the names that EGI's mappings use. Nowhere else are such variables let in.
"""

import json
import os
import re
from pathlib import Path

import jwt
from keystone.server.wsgi import initialize_public_application

_LOGIN = re.compile(r"/v3/(auth/)?OS-FEDERATION/identity_providers/[^/]+/protocols/[^/]+/(auth|websso)")
_ISSUER = os.environ["RIG_ISSUER"]
_KEY = Path(os.environ["RIG_ISSUER_KEY"]).read_text()
_keystone = initialize_public_application()


def application(environ, start_response):
    for name in [name for name in environ if name.startswith("HTTP_OIDC_")]:
        del environ[name]
    if _LOGIN.match(environ.get("PATH_INFO", "")):
        kind, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        try:
            if kind.lower() != "bearer":
                raise jwt.InvalidTokenError("no bearer token")
            options = {"verify_aud": False}
            claims = jwt.decode(token, _KEY, algorithms=["RS256"], options=options, issuer=_ISSUER)
        except jwt.InvalidTokenError as error:
            return _refuse(start_response, str(error))
        for name, value in claims.items():
            text = ";".join(value) if isinstance(value, list) else str(value)
            environ["HTTP_OIDC_" + name.upper().replace("-", "_")] = text
        environ["REMOTE_USER"] = f"{claims['sub']}@{claims['iss']}"
    return _keystone(environ, start_response)


def _refuse(start_response, why):
    body = json.dumps({"error": {"code": 401, "title": "Unauthorized", "message": why}}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    start_response("401 Unauthorized", [*headers, ("WWW-Authenticate", 'Bearer error="invalid_token"')])
    return [body]
