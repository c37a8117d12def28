"""Reading a line of the auth file."""

from collections.abc import Mapping

from im_client.providers.libcloud.descriptor import Login
from im_client.providers.libcloud.settings import LibcloudSettings
from infracore.errors import Misconfigured
from infracore.secrets import Secret

__all__ = ["by_token", "needed"]


def needed(fields: Mapping[str, Secret], title: str, *names: str) -> Secret:
    """Return the first of these fields that the line has.

    Raises:
        Misconfigured: it has none of them.
    """
    for name in names:
        if name in fields and fields[name].reveal():
            return fields[name]
    raise Misconfigured(
        f"the auth file's line for {title} has no `{names[0]}`", "docs/reference/clouds.md has the fields"
    )


def by_token(fields: Mapping[str, Secret], settings: LibcloudSettings) -> Login:
    """Log in with one token: `token`, or where the Infrastructure Manager's files have it: `username`, `password`."""
    del settings
    region = fields["region"].reveal() if "region" in fields else ""
    return Login(needed(fields, "this cloud", "token", "password", "username"), region=region)
