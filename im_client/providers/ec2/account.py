"""Who asks, and where: the line of the auth file with the settings.

Fields of a line, as the Infrastructure Manager has them: `username` (access key), `password` (secret key); beside them
`token` (of temporary keys), `region` and `host` (an endpoint).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from im_client.auth.credentials import Credential
from im_client.providers.cloud.lent import Lent
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
    lent: Lent | None = None
    """Of a caller's line: nothing of AWS's configuration and environment is used."""

    is_of_line: bool = False
    """Whether the endpoint is the line's word, and not the settings' or Amazon's."""

    @property
    def place(self) -> str:
        """For people."""
        region = f"region {self.region}" if self.region else "the profile's region"
        return f"{region} of {self.endpoint or 'EC2'}"


def account_of(
    settings: Ec2Settings,
    credential: Credential | None,
    environ: Mapping[str, str] = os.environ,
    lent: Lent | None = None,
) -> Account:
    """Put settings, line and environment together.

    Raises:
        Unauthorised: the line lacks a key, or a lent one's host is not allowed.
        Misconfigured: the endpoint is no address.
    """
    fields = credential.fields if credential is not None else {}

    def said(name: str) -> str:
        return fields[name].reveal() if name in fields else ""

    if lent is not None:
        environ = {}
    name = (credential.id if credential is not None else "") or "of EC2"
    if (credential is not None or lent is not None) and not (said("username") and said("password")):
        raise Unauthorised(
            f"the line {name} of the auth file lacks username or password",
            "id = ec2; type = EC2; username = ACCESS_KEY; password = SECRET_KEY",
        )
    endpoint = settings.endpoint or said("host")
    if endpoint and "://" not in endpoint:
        endpoint = f"https://{endpoint}"
    if endpoint and not endpoint.startswith(("https://", "http://")):
        raise Misconfigured(f"the endpoint {endpoint} of EC2 is no http address", "https://HOST[:PORT][/PATH]")
    if lent is not None and said("host") and not settings.endpoint:
        lent.check(endpoint)
    region = settings.region or said("region") or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "")
    return Account(
        region=region or ("us-east-1" if endpoint else ""),
        endpoint=endpoint.rstrip("/"),
        key=said("username"),
        secret=fields.get("password"),
        token=fields.get("token"),
        lent=lent,
        is_of_line=bool(said("host")) and not settings.endpoint,
    )
