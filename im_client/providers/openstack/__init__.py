"""Machines of an OpenStack cloud: keystone, nova, neutron and glance, and cinder where there are volumes.

openstacksdk reads credentials, logs in and finds the services; requests and answers are JSON, so that each is one
request that can be counted. May import: what `providers` may, and openstacksdk late. Never: waits for a machine.
Tests: `tests/im_client/providers/openstack/`, the contract suite with `tests/contracts/harness_openstack.py`.
"""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from im_client.auth.credentials import Credential
from im_client.providers.base import Provider
from im_client.providers.cloud.credentials import the_credential
from im_client.providers.cloud.keeper import KeepingProvider
from im_client.providers.cloud.lent import Lent
from im_client.providers.openstack.cloud import OpenStackCloud
from im_client.providers.openstack.session import connect_by_line, connect_by_name
from im_client.providers.openstack.settings import OpenStackSettings
from im_client.providers.registry import decode_settings
from infracore.errors import Misconfigured, Unauthorised

__all__ = ["open_provider"]


def open_provider(settings: Mapping[str, Any], credentials: Sequence[Credential], lent: Lent | None = None) -> Provider:
    """Open the provider; no cloud is asked yet. Of a lent line neither `cloud` nor `token_file` is read.

    Raises:
        Misconfigured: a setting or a field of the auth file is wrong. Unauthorised: there are no credentials.
    """
    own = decode_settings("openstack", settings, OpenStackSettings)
    if lent is not None:
        own = msgspec.structs.replace(own, cloud="", token_file="")
    credential = None if own.cloud else the_credential(own.credential, credentials, "OpenStack")
    if own.cloud and own.credential:
        raise Misconfigured("`cloud` and `credential` both name a login to OpenStack", "set one of them")
    if credential is not None:
        connect, place = connect_by_line(credential, own, lent)
    elif lent is not None:
        raise Unauthorised("there are no credentials for OpenStack", "send a line of type OpenStack")
    else:
        connect, place = connect_by_name(own, os.environ)
    return KeepingProvider(OpenStackCloud(connect, own, place), own)
