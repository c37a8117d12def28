"""How Google's API is logged in to: a service account's key, exchanged for a token that lasts an hour.

libcloud logs in when a driver is opened, once a driver, keeps the token in the home folder, and takes a password that
is a path for a file to read (3.9.1). Here the key is the text itself, the login is that of all drivers and made when it
is needed, and nothing is written.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from libcloud.common.base import ConnectionUserAndKey
from libcloud.common.google import GoogleServiceAcctAuthConnection
from libcloud.compute.drivers.gce import GCEConnection

from im_client.providers.libcloud.descriptor import Login
from im_client.providers.libcloud.drivers import Target, Wire
from im_client.providers.libcloud.login import needed
from im_client.providers.libcloud.settings import LibcloudSettings
from im_client.providers.libcloud.tokens import Token
from infracore.clock import Clock
from infracore.errors import Misconfigured
from infracore.secrets import Secret

__all__ = ["LateLogin", "login"]

_SCOPE: Final = "https://www.googleapis.com/auth/compute"
_NO_FILE: Final = "/dev/null"


class LateLogin(GCEConnection):
    """A connection that logs in with its first request. `oauth2_credential` is its class's."""

    def __init__(self, user_id: str, key: str, secure: bool, *, project: str, **options: Any) -> None:
        ConnectionUserAndKey.__init__(self, user_id, key, secure=secure, timeout=options.get("timeout"))  # type: ignore[no-untyped-call]
        self.request_path = f"/compute/v1/projects/{project}"
        self.gce_params = None

    def encode_data(self, data: object) -> str:
        return json.dumps(data)


def _token(user: str, key: Secret, target: Target, clock: Clock) -> Token:
    cls = type("Login", (Wire, GoogleServiceAcctAuthConnection), {"target": target, "what": "the login"})
    return Token(lambda: cls(user, key.reveal(), [_SCOPE]), lambda wire: dict(wire.get_new_token()), clock)


def login(fields: Mapping[str, Secret], settings: LibcloudSettings) -> Login:
    """Read `username` (the service account's address), `password` (its key: PEM or the JSON file's text), `project`.

    Of the JSON file's text alone account and project are known too.

    Raises:
        Misconfigured: one lacks, or the key is none.
    """
    del settings
    text = needed(fields, "GCE", "password").reveal().replace("\\n", "\n").strip()
    told: Mapping[str, Any] = {}
    if text.startswith("{"):
        try:
            told = json.loads(needed(fields, "GCE", "password").reveal())
        except ValueError as error:
            raise Misconfigured("the password of GCE's line is no JSON of a service account") from error
        text = str(told.get("private_key") or "")
    if not text.startswith("-----BEGIN"):
        raise Misconfigured(
            "the password of GCE's line is no private key", "put the text of the key there, PEM or JSON, not its path"
        )
    user = fields["username"].reveal() if "username" in fields else str(told.get("client_email") or "")
    project = fields["project"].reveal() if "project" in fields else str(told.get("project_id") or "")
    if not user or not project:
        raise Misconfigured("GCE's line needs `username` and `project`", "docs/reference/clouds.md has the fields")
    key = Secret(text)
    return Login(
        key=Secret(user),
        secret=key,
        options={"project": project, "auth_type": "SA", "credential_file": _NO_FILE},
        region=fields["zone"].reveal() if "zone" in fields else "",
        account=f"project {project}",
        wire=lambda target, clock: {"oauth2_credential": _token(user, key, target, clock)},
    )
