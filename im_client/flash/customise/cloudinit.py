"""The files of cloud-init's NoCloud on the boot partition (docs.cloud-init.io: NoCloud, modules, network config v2)."""

from typing import Any, Final

import yaml

from im_client.flash.customise.networks import UNBLOCK, netplan
from im_client.flash.node import Node, Security

__all__ = ["meta_data", "network_config", "user_data"]

_GROUPS: Final = ("adm", "audio", "cdrom", "dialout", "netdev", "plugdev", "sudo", "users", "video")
_GROUPS_RPI: Final = ("gpio", "i2c", "input", "render", "spi")
_UNDATED: Final = {"preserve_sources_list": True, "conf": 'Acquire { Check-Date "false"; };\n'}
"""apt does not look at the date of its lists, as with cards of rpi-imager: the board has no clock, and cloud-init does
not wait for the time."""


def user_data(node: Node, password_hash: str, *, is_rpi: bool, with_packages: bool) -> str:
    """Return user-data. What `commands` say is not in it: that may be secret, and this file is read by all.

    `with_packages` where the root partition has no place for a script that installs them.
    """
    config: dict[str, Any] = {
        "hostname": node.hostname,
        "preserve_hostname": False,
        "manage_etc_hosts": True,
    }
    if node.user:
        person: dict[str, Any] = {
            "name": node.user,
            "groups": sorted({*_GROUPS, *(_GROUPS_RPI if is_rpi else ())}),
            "shell": "/bin/bash",
            "sudo": "ALL=(ALL) NOPASSWD:ALL",
            "lock_passwd": not password_hash,
        }
        if password_hash:
            person["passwd"] = password_hash
        if node.authorized_keys:
            person["ssh_authorized_keys"] = list(node.authorized_keys)
        config |= {"users": [person], "ssh_pwauth": node.password_login}
    if node.timezone:
        config["timezone"] = node.timezone
    if node.locale:
        config["locale"] = node.locale
    if node.keyboard:
        config["keyboard"] = {"model": "pc105", "layout": node.keyboard}
    if node.packages and with_packages:
        config |= {"apt": dict(_UNDATED), "package_update": True, "packages": list(node.packages)}
    if node.wifi:  # before packages are fetched over it
        config["bootcmd"] = [["cloud-init-per", "once", "im-clues-radio", "sh", "-c", UNBLOCK]]
    if is_rpi and node.ssh:
        config["enable_ssh"] = True  # Raspberry Pi's own; systems that do not know it find the file `ssh`
    if not node.ssh:
        config["runcmd"] = [["sh", "-c", "systemctl disable --now ssh.service ssh.socket || true"]]
    return "#cloud-config\n" + _yaml(config)


def network_config(node: Node, *, is_rpi: bool) -> str:
    """Return network-config: eth0 by DHCP unless it has an address, and no network whose passphrase stays clear."""
    wifi = node.wifi if node.wifi and node.wifi.security != Security.WPA3 else None
    return _yaml({"network": netplan(node.interfaces, wifi, with_eth0=True, with_country=is_rpi)})


def meta_data(node: Node, instance: str) -> str:
    """Return meta-data. With another instance id cloud-init does its work anew, also on a system that ran before.

    Raspberry Pi OS and Ubuntu spell the key of their own files with an underscore; NoCloud's is with a dash.
    """
    return _yaml({"dsmode": "local", "instance-id": instance, "local-hostname": node.hostname})


def _yaml(value: Any) -> str:
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False, width=4096)
    return text
