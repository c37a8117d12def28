"""Who asks, and where: the line of the auth file with the settings.

Fields of a line, as the Infrastructure Manager has them: `username` (access key), `password` (secret key); beside them
`token` (of temporary keys), `region` and `host` (an endpoint).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from im_client.auth.credentials import Credential
from im_client.providers.ec2.settings import Ec2Settings
from infracore.errors import Misconfigured, Unauthorised
from infracore.secrets import Secret

__all__ = ["Account", "account_of"]


@dataclass(frozen=True, slots=True)
class Account:
    """One account in one region. Without keys AWS's own chain is asked: environment, profile, the machine's role."""

    region: str
    """"": as AWS's configuration file says."""
    endpoint: str
    key: str = ""
    secret: Secret | None = None
    token: Secret | None = None

    @property
    def place(self) -> str:
        """For people."""
        region = f"region {self.region}" if self.region else "the profile's region"
        return f"{region} of {self.endpoint or 'EC2'}"


def account_of(
    settings: Ec2Settings, credential: Credential | None, environ: Mapping[str, str] = os.environ
) -> Account:
    """Put settings, line and environment together.

    Raises:
        Unauthorised: the line lacks a key. Misconfigured: the endpoint is no address.
    """
    fields = credential.fields if credential is not None else {}

    def said(name: str) -> str:
        return fields[name].reveal() if name in fields else ""

    if credential is not None and not (said("username") and said("password")):
        raise Unauthorised(
            f"the line {credential.id or 'of EC2'} of the auth file lacks username or password",
            "id = ec2; type = EC2; username = ACCESS_KEY; password = SECRET_KEY",
        )
    endpoint = settings.endpoint or said("host")
    if endpoint and "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    if endpoint and not endpoint.startswith(("https://", "http://")):
        raise Misconfigured(f"the endpoint {endpoint} of EC2 is no http address", "https://HOST[:PORT][/PATH]")
    region = settings.region or said("region") or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "")
    return Account(
        region=region or ("us-east-1" if endpoint else ""),
        endpoint=endpoint.rstrip("/"),
        key=said("username"),
        secret=fields.get("password"),
        token=fields.get("token"),
    )
