"""How Azure is logged in to: a service principal's secret, exchanged for a token that lasts an hour.

libcloud logs in when a driver is opened, once a driver, at a host that cannot be set, and without a look at the status
of the answer (3.9.1): a wrong secret is a KeyError. Here the login is that of all drivers and made when it is needed.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

from libcloud.common.azure_arm import AzureResourceManagementConnection
from libcloud.common.base import ConnectionUserAndKey

from im_client.providers.libcloud.descriptor import Login
from im_client.providers.libcloud.drivers import Target, Wire
from im_client.providers.libcloud.login import needed
from im_client.providers.libcloud.settings import LibcloudSettings
from im_client.providers.libcloud.tokens import Token
from infracore.clock import Clock
from infracore.errors import Misconfigured
from infracore.secrets import Secret

__all__ = ["LateLogin", "login"]

_SCOPE: Final = "https://management.azure.com/.default"
_TITLE: Final = "Azure"
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,120}")
"""Subscriptions and tenants are UUIDs, tenants domains too: they go into paths."""


class LateLogin(AzureResourceManagementConnection):
    """A connection that logs in with its first request. `token` is its class's."""

    token: Token

    def connect(self, *args: Any, **kwargs: Any) -> None:
        ConnectionUserAndKey.connect(self, *args, **kwargs)  # type: ignore[no-untyped-call]

    def add_default_headers(self, headers: dict[str, str]) -> dict[str, str]:
        return {**headers, "Content-Type": "application/json", "Authorization": f"Bearer {self.token.access_token}"}

    def request(self, action: str, *args: Any, **kwargs: Any) -> Any:
        return ConnectionUserAndKey.request(self, action, *args, **kwargs)  # type: ignore[no-untyped-call]

    def encode_data(self, data: object) -> str:
        return json.dumps(data)


class _LoginWire(Wire, ConnectionUserAndKey):
    """A connection to the login."""

    host = "login.microsoftonline.com"


def _token(tenant: str, client: str, secret: Secret, target: Target, clock: Clock) -> Token:
    cls = type("Login", (_LoginWire,), {"target": target})

    def opened() -> Any:
        wire = cls(client, "")
        wire.connect()
        return wire

    def ask(wire: Any) -> Mapping[str, Any]:
        words = {"grant_type": "client_credentials", "client_id": client, "scope": _SCOPE}
        body = urlencode({**words, "client_secret": secret.reveal()})
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        path = f"/{quote(tenant, safe='')}/oauth2/v2.0/token"
        answer: Mapping[str, Any] = wire.request(path, method="POST", data=body, headers=headers).object
        return answer

    return Token(opened, ask, clock)


def login(fields: Mapping[str, Secret], settings: LibcloudSettings) -> Login:
    """Read `subscription_id`, `tenant`, `client_id` (or `username`), `secret` (or `password`), perhaps `region`.

    Raises:
        Misconfigured: one lacks, or is none.
    """
    subscription = needed(fields, _TITLE, "subscription_id").reveal()
    tenant = needed(fields, _TITLE, "tenant", "tenant_id").reveal()
    client = needed(fields, _TITLE, "client_id", "username").reveal()
    secret = needed(fields, _TITLE, "secret", "password")
    for name, word in (("subscription_id", subscription), ("tenant", tenant)):
        if _ID.fullmatch(word) is None:
            raise Misconfigured(f"the {name} of Azure's line is none", "docs/reference/clouds.md has the fields")
    region = settings.region or (fields["region"].reveal() if "region" in fields else "")
    return Login(
        key=Secret(tenant),
        secret=Secret(subscription),
        options={"key": client, "secret": "", "region": region},
        region=region,
        account=f"subscription {subscription}",
        wire=lambda target, clock: {"token": _token(tenant, client, secret, target, clock)},
    )
