"""Machines of Amazon EC2 and of whatever speaks its API, through boto3.

`client.py` sends, `errors.py` translates, the rest knows one thing each: sizes, images, networks, shared things,
servers. `cloud.py` puts them together as `cloud.base.Cloud`, `provider.py` makes the provider of it.
May import: providers' own modules, `auth`, `plan`, `infracore`; botocore late, in `client.py` and `errors.py`
only. Tests: `tests/im_client/providers/ec2/`, `tests/contracts/harness_ec2.py`, `tests/e2e/test_cloud_kill.py`.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from im_client.auth.credentials import Credential

if TYPE_CHECKING:
    from im_client.providers.cloud.lent import Lent
    from im_client.providers.ec2.provider import Ec2Provider

__all__ = ["open_provider"]


def open_provider(
    settings: Mapping[str, Any], credentials: Sequence[Credential] = (), lent: "Lent | None" = None
) -> "Ec2Provider":
    """Make the provider from its section of the settings and the lines of the auth file. Sends nothing.

    Raises:
        Misconfigured: an unknown setting, or one of the wrong type; no region is known. NotFound: no such line.
        ModuleNotFoundError: boto3 is not installed.
    """
    from im_client.providers.cloud.credentials import the_credential
    from im_client.providers.ec2.account import account_of
    from im_client.providers.ec2.cloud import Ec2
    from im_client.providers.ec2.provider import Ec2Provider
    from im_client.providers.ec2.settings import Ec2Settings
    from im_client.providers.registry import decode_settings

    if find_spec("boto3") is None:
        raise ModuleNotFoundError("boto3 is not installed", name="boto3")
    found = decode_settings("ec2", settings, Ec2Settings)
    account = account_of(found, the_credential(found.credential, credentials, "EC2"), lent=lent)
    return Ec2Provider(Ec2(found, account), found)
