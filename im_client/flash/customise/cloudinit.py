"""The files of cloud-init's NoCloud on the boot partition (docs.cloud-init.io: NoCloud, modules, network config v2)."""

from typing import Any, Final

import yaml

from im_client.flash.customise.networks import UNBLOCK, netplan
from im_client.flash.node import Node, Wifi

__all__ = ["account_part", "meta_data", "network_config", "user_data"]

_GROUPS: Final = ("adm", "audio", "cdrom", "dialout", "netdev", "plugdev", "sudo", "users", "video")
_GROUPS_RPI: Final = ("gpio", "i2c", "input", "render", "spi")
_UNDATED: Final = {"preserve_sources_list": True, "conf": 'Acquire { Check-Date "false"; };\n'}
"""apt does not look at the date of its lists, as with cards of rpi-imager: the board has no clock, and cloud-init does
not wait for the time."""


def user_data(node: Node, password_hash: str, *, is_rpi: bool, has_root: bool) -> str:
    """Return user-data, which every user of the board can read. What `commands` say is never in it.

    `has_root` where files of the root partition have the account with its hash (`account_part`) and the packages.
    """
    config: dict[str, Any] = {
        "hostname": node.hostname,
        "preserve_hostname": False,
        "manage_etc_hosts": True,
    }
    bootcmd = []
    if node.user:
        if not (password_hash and has_root):
            config["users"] = [_person(node, password_hash, is_rpi=is_rpi)]
        config["ssh_pwauth"] = node.password_login
        bootcmd.append(_per_instance("im-clues-shell", f"! id {node.user} || usermod --shell /bin/bash {node.user}"))
    if node.timezone:
        config["timezone"] = node.timezone
    if node.locale:
        config["locale"] = node.locale
    if node.keyboard:
        config["keyboard"] = {"model": "pc105", "layout": node.keyboard}
    if node.packages and not has_root:
        config |= {"apt": dict(_UNDATED), "package_update": True, "packages": list(node.packages)}
    if node.wifi:  # before packages are fetched over it
        bootcmd.append(_per_instance("im-clues-radio", UNBLOCK))
    if bootcmd:
        config["bootcmd"] = bootcmd
    if is_rpi and node.ssh:
        config["enable_ssh"] = True  # Raspberry Pi's own; systems that do not know it find the file `ssh`
    if not node.ssh:
        config["runcmd"] = [["sh", "-c", "systemctl disable --now ssh.service ssh.socket || true"]]
    return "#cloud-config\n" + _yaml(config)


def account_part(node: Node, password_hash: str, *, is_rpi: bool) -> str:
    """Return a part of cloud-init's own configuration with the account: root alone may read it there.

    A list `users` of user-data would stand in place of this one.
    """
    return "#cloud-config\n" + _yaml({"users": [_person(node, password_hash, is_rpi=is_rpi)]})


def _person(node: Node, password_hash: str, *, is_rpi: bool) -> dict[str, Any]:
    person: dict[str, Any] = {
        "name": node.user,
        "groups": sorted({*_GROUPS, *(_GROUPS_RPI if is_rpi else ())}),
        "shell": "/bin/bash",
        "sudo": "ALL=(ALL) NOPASSWD:ALL",
        "lock_passwd": not password_hash,
    }
    if password_hash:  # `passwd` is for an account that is made, the other one also for one that the image has
        person |= {"passwd": password_hash, "hashed_passwd": password_hash}
    if node.authorized_keys:
        person["ssh_authorized_keys"] = list(node.authorized_keys)
    return person


def _per_instance(name: str, command: str) -> list[str]:
    """Return a command of `bootcmd`, which cloud-init runs before it makes accounts, that is run once for each."""
    return ["cloud-init-per", "instance", name, "sh", "-c", command]


def network_config(node: Node, wifi: Wifi | None, *, is_rpi: bool) -> str:
    """Return network-config: eth0 by DHCP unless it has an address. `wifi` is None where the root partition has it."""
    return _yaml({"network": netplan(node.interfaces, wifi, with_eth0=True, with_country=is_rpi)})


def meta_data(node: Node, instance: str) -> str:
    """Return meta-data. With another instance id cloud-init does its work anew, also on a system that ran before.

    Raspberry Pi OS and Ubuntu spell the key of their own files with an underscore; NoCloud's is with a dash.
    """
    return _yaml({"dsmode": "local", "instance-id": instance, "local-hostname": node.hostname})


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False, width=4096)
    return text
