"""Which line of the auth file a cloud is opened with."""

from collections.abc import Sequence

from im_client.auth.credentials import Credential, by_id
from infracore.errors import Misconfigured

__all__ = ["the_credential"]


def the_credential(wanted: str, credentials: Sequence[Credential], cloud: str) -> Credential | None:
    """Return the line that the settings name, else the only one; None where there is none: the environment is asked.

    Raises:
        NotFound: there is none of this id. Misconfigured: there are several, and none is named.
    """
    if wanted:
        return by_id(credentials, wanted)
    if len(credentials) > 1:
        known = ", ".join(one.id or "(no id)" for one in credentials)
        raise Misconfigured(
            f"the auth file has {len(credentials)} lines for {cloud}: {known}",
            "use the id of one as the provider (--provider ID), or set `credential`",
        )
    return credentials[0] if credentials else None
