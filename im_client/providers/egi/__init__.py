"""EGI's Federated Cloud: OpenStack sites, entered with a token of Check-in and found by the information service.

Adds to `openstack`: tokens that are renewed, sites and projects of a VO, images as the registry names them, and names
in the dynamic DNS. May import: what `providers` may, and `openstack`. Never: keeps a token or a secret anywhere.
Tests: `tests/im_client/providers/egi/`, against `tests/rigs/egi.py`; with a real OpenStack: `tests/openstack/`.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from im_client.auth.credentials import Credential
from im_client.providers.base import Provider
from im_client.providers.cloud.credentials import the_credential
from im_client.providers.cloud.lent import Lent
from im_client.providers.egi.account import Account, open_account, refuse_without_token
from im_client.providers.egi.cloud import EgiCloud
from im_client.providers.egi.provider import EgiProvider
from im_client.providers.egi.settings import EgiSettings
from im_client.providers.registry import decode_settings
from infracore.clock import Clock, SystemClock

__all__ = ["open_provider", "site_names"]


def open_provider(settings: Mapping[str, Any], credentials: Sequence[Credential], lent: Lent | None = None) -> Provider:
    """Open the provider at one site: of a line of type EGIIS, without the setting `site`, at the first. No I/O.

    Raises:
        Misconfigured: a setting or a field of the auth file is wrong. Unauthorised: there are no credentials.
    """
    clock = SystemClock()
    own, account, _ = _opened(settings, credentials, clock, lent)
    return EgiProvider(EgiCloud(account, own, clock, lent), own, clock)


def site_names(settings: Mapping[str, Any], credentials: Sequence[Credential]) -> tuple[str, ...]:
    """Return the sites that a line of type EGIIS stands for, in order; none for a line of one site. May ask for them.

    Raises:
        NotFound: no site supports the VO. Others: as the information service's.
    """
    own, account, credential = _opened(settings, credentials, SystemClock())
    if own.site or credential is None or credential.type.lower() != "egiis":
        return ()
    return tuple(place.site.name for place in account.information.places(account.vo))


def _opened(
    settings: Mapping[str, Any], credentials: Sequence[Credential], clock: Clock, lent: Lent | None = None
) -> tuple[EgiSettings, Account, Credential | None]:
    own = decode_settings("egi", settings, EgiSettings)
    credential = the_credential(own.credential, credentials, "EGI's Federated Cloud")
    if lent is not None:
        refuse_without_token(credential)
        own = msgspec.structs.replace(own, cloud="", token_file="", oidc_account="")
    return own, open_account(own, credential, {} if lent is not None else os.environ, clock), credential
