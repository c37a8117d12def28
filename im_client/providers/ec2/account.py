"""Who asks, and where: the line of the auth file with the settings.

Fields of a line, as the Infrastructure Manager has them: `username` (access key), `password` (secret key); beside them
`token` (of temporary keys), `region` and `host` (an endpoint).
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from im_client.auth.credentials import Credential
from im_client.providers.cloud.lent import Lent
from im_client.providers.ec2.settings import Ec2Settings
from infracore.errors import Misconfigured, Unauthorised
from infracore.secrets import Secret

__all__ = ["Account", "account_of"]

_KEY: Final = re.compile(r"[!-~]+")
_REGION: Final = re.compile(r"(?![0-9]+$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_HOST: Final = re.compile(r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]")


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
        Unauthorised: the line lacks a key or has one that is none, or a lent one's host is not allowed.
        Misconfigured: the endpoint is no address, or the region none.
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
    for field in ("username", "password", "token"):
        if said(field) and not _KEY.fullmatch(said(field)):
            raise Unauthorised(
                f"the {field} of the line {name} of the auth file has blanks or odd letters", "type it anew"
            )
    endpoint = _endpoint(settings.endpoint or said("host"))
    if lent is not None and said("host") and not settings.endpoint:
        lent.check(endpoint)
    region = settings.region or said("region") or environ.get("AWS_REGION", "") or environ.get("AWS_DEFAULT_REGION", "")
    if region and not _REGION.fullmatch(region):
        raise Misconfigured(f"{region[:80]!r} is no region of EC2", "letters, digits and hyphens: us-east-1")
    return Account(
        region=region or ("us-east-1" if endpoint else ""),
        endpoint=endpoint.rstrip("/"),
        key=said("username"),
        secret=fields.get("password"),
        token=fields.get("token"),
        lent=lent,
        is_of_line=bool(said("host")) and not settings.endpoint,
    )


def _endpoint(said: str) -> str:
    """Return an address of http, "" for none. Raises `Misconfigured`."""
    if not said:
        return ""
    endpoint = said if "://" in said else f"https://{said}"
    if "@" in endpoint:
        raise Misconfigured("the endpoint of EC2 holds a name or a password", "keys stand in the auth file only")
    try:
        parts = urlsplit(endpoint)
        host, _, _ = parts.netloc.rpartition(":") if re.search(r":[0-9]*$", parts.netloc) else (parts.netloc, "", "")
        is_one = bool(_HOST.fullmatch(host)) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or parts.scheme not in {"http", "https"} or not _KEY.fullmatch(endpoint) or "?" in endpoint:
        raise Misconfigured(f"the endpoint {said[:200]!r} of EC2 is no http address", "https://HOST[:PORT][/PATH]")
    return endpoint
