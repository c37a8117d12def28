"""Machines of a libvirt host: this computer's, or another's over ssh.

All is done by `virsh`, so that one code serves `qemu:///system`, `qemu:///session` and `qemu+ssh://`; files reach the
host by `vol-upload`, and no path of this computer means anything there. A machine is one domain. It is defined, with
our mark in its metadata, before anything else is made for it, and undefined after all else is gone: what a killed
process leaves is found by the domain, and volumes carry infrastructure and token in their names besides.

May import: what `im_client.providers` may. Never: other providers but `cloud`'s choosing; a shell.
Tests: `tests/im_client/providers/libvirt/`, `tests/contracts/` (marker `libvirt`).
"""

from collections.abc import Mapping
from typing import Any

from im_client.providers.base import Provider

__all__ = ["open_provider"]


def open_provider(settings: Mapping[str, Any]) -> Provider:
    """Open the provider; nothing is asked of the host yet.

    Raises:
        Misconfigured: a setting is unknown or wrong.
    """
    from im_client.providers.libvirt.provider import LibvirtProvider
    from im_client.providers.libvirt.settings import LibvirtSettings
    from im_client.providers.registry import decode_settings

    return LibvirtProvider(decode_settings("libvirt", settings, LibvirtSettings))
