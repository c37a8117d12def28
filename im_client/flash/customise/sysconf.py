"""The files by which Debian's own images for Raspberry Pis are configured (raspi.debian.net, "Defaults and settings").

rpi-set-sysconf is a script of Debian's raspi-team/image-specs.
"""

from collections.abc import Iterator
from typing import Final

from im_client.flash.node import Node

__all__ = ["EXTRA_CMDLINE", "FIRMWARE_CUSTOM", "refusals", "sysconf"]

EXTRA_CMDLINE: Final = "/etc/default/raspi-extra-cmdline"
FIRMWARE_CUSTOM: Final = "/etc/default/raspi-firmware-custom"
"""Debian's package raspi-firmware writes cmdline.txt and config.txt anew, at the first boot and with every kernel, and
takes what stands in these two into them."""


def sysconf(node: Node) -> str:
    """Return sysconf.txt, which rpi-set-sysconf reads at the next boot and empties.

    What follows a # is no part of a line there, so a key goes without its comment.
    """
    lines = ["# Made by im flash", f"hostname={node.hostname}"]
    lines += [f"root_authorized_key={' '.join(key.split()[:2])}" for key in node.authorized_keys]
    return "\n".join([*lines, ""])


def refusals(node: Node) -> Iterator[tuple[str, str, str]]:
    """Return what sysconf.txt has no words for as (key, why, hint); wifi, locale and keyboard are not asked here."""
    if node.user and node.user != "root":
        yield "user", "sysconf.txt makes no account, and this image has none but root", "set user: root"
    if node.password or node.password_hash:
        yield "password", "sysconf.txt takes one in clear only, which all could read", "give authorized_keys"
    if len(node.authorized_keys) > 1:
        yield "authorized_keys", "sysconf.txt takes one", "give one; Ansible adds others"
