"""Networks in the words of netplan, NetworkManager and wpa_supplicant."""

import ipaddress
import re
import uuid
from collections.abc import Sequence
from typing import Any, Final

import yaml

from im_client.flash.customise.hashing import wifi_key
from im_client.flash.node import Interface, Security, Wifi
from infracore.secrets import Secret

__all__ = ["UNBLOCK", "netplan", "netplan_file", "network_manager", "network_manager_wifi", "supplicant"]

UNBLOCK: Final = (
    'rfkill unblock wifi; for f in /var/lib/systemd/rfkill/*:wlan; do [ ! -e "$f" ] || echo 0 >"$f"; done; true'
)
"""Raspberry Pi OS keeps the radio off until somebody says in which country it is."""
_PLAIN: Final = re.compile(r"[A-Za-z0-9_.-]([A-Za-z0-9 _.-]*[A-Za-z0-9_.-])?")
_OURS: Final = uuid.UUID("5f1dd0a0-6c2f-4c41-9d2b-3f0f8f7f3a57")
"""Connections that we name get the same UUID each time."""


def netplan(
    interfaces: Sequence[Interface], wifi: Wifi | None, *, with_eth0: bool = False, with_country: bool = False
) -> dict[str, Any]:
    """Return networks as netplan and cloud-init's version 2 have them (netplan's YAML reference).

    `with_country` where netplan is 0.105 or newer: an older one takes nothing of a file with a key that it lacks.
    """
    wired = {one.name: _netplan_fixed(one) for one in interfaces if one.name != "wlan0"}
    if with_eth0 and "eth0" not in wired:
        wired["eth0"] = {"dhcp4": True, "optional": True}
    config: dict[str, Any] = {"version": 2}
    if wired:
        config["ethernets"] = wired
    if wifi:
        fixed = next((_netplan_fixed(one) for one in interfaces if one.name == "wlan0"), None)
        radio = fixed or {"dhcp4": True, "optional": True}
        if with_country:
            radio["regulatory-domain"] = wifi.country
        config["wifis"] = {"wlan0": radio | {"access-points": {wifi.ssid: _netplan_access(wifi)}}}
    return config


def netplan_file(interfaces: Sequence[Interface], wifi: Wifi | None, *, with_country: bool = False) -> str:
    """Return a file for /etc/netplan. With a passphrase in it root alone may read it, which netplan asks for too."""
    network = netplan(interfaces, wifi, with_country=with_country)
    text: str = yaml.safe_dump({"network": network}, sort_keys=False, allow_unicode=True, width=4096)
    return text


def _netplan_fixed(one: Interface) -> dict[str, Any]:
    fixed: dict[str, Any] = {"dhcp4": False, "addresses": [one.address], "optional": True}
    if one.gateway:
        fixed["routes"] = [{"to": "0.0.0.0/0" if _version(one) == 4 else "::/0", "via": one.gateway}]
    if one.dns:
        fixed["nameservers"] = {"addresses": list(one.dns)}
    return fixed


def _netplan_access(wifi: Wifi) -> dict[str, Any]:
    access: dict[str, Any] = {}
    if wifi.security == Security.WPA2:
        access["password"] = wifi_key(wifi.ssid, _passphrase(wifi))
    elif wifi.security == Security.WPA3:
        access["auth"] = {"key-management": "sae", "password": _passphrase(wifi).reveal()}
    if wifi.hidden:
        access["hidden"] = True
    return access


def network_manager(one: Interface) -> str:
    """Return a connection with a fixed address, for /etc/NetworkManager/system-connections (nm-settings-keyfile(5))."""
    parts = [_connection(f"im-{one.name}", "ethernet", one.name), *_addresses(one)]
    return "\n\n".join(parts) + "\n"


def network_manager_wifi(wifi: Wifi, fixed: Interface | None) -> str:
    """Return a connection to a wireless network; root alone may read it, or NetworkManager does not take it."""
    radio = [
        "[wifi]",
        "mode=infrastructure",
        f"ssid={_keyfile_ssid(wifi.ssid)}",
        *(["hidden=true"] if wifi.hidden else []),
    ]
    parts = [_connection("im-wifi", "wifi", "wlan0"), "\n".join(radio)]
    if wifi.security == Security.WPA2:
        parts.append(f"[wifi-security]\nkey-mgmt=wpa-psk\npsk={wifi_key(wifi.ssid, _passphrase(wifi))}")
    elif wifi.security == Security.WPA3:
        parts.append(f"[wifi-security]\nkey-mgmt=sae\npsk={_keyfile_text(_passphrase(wifi).reveal())}")
    parts += _addresses(fixed) if fixed else ["[ipv4]\nmethod=auto", "[ipv6]\nmethod=auto"]
    return "\n\n".join(parts) + "\n"


def _connection(name: str, kind: str, interface: str) -> str:
    lines = ("[connection]", f"id={name}", f"uuid={uuid.uuid5(_OURS, name)}", f"type={kind}")
    return "\n".join((*lines, f"interface-name={interface}", "autoconnect-priority=10"))


def _addresses(one: Interface) -> list[str]:
    gateway = f",{one.gateway}" if one.gateway else ""
    parts = []
    for family in (4, 6):
        fixed = family == _version(one)
        lines = [
            f"[ipv{family}]",
            *(["method=manual", f"address1={one.address}{gateway}"] if fixed else ["method=auto"]),
        ]
        servers = [server for server in one.dns if ipaddress.ip_address(server).version == family]
        parts.append("\n".join([*lines, *([f"dns={''.join(f'{server};' for server in servers)}"] if servers else [])]))
    return parts


def _keyfile_ssid(ssid: str) -> str:
    """Return an ssid in a keyfile's words: its bytes as numbers where a letter in it could mean something."""
    return ssid if _PLAIN.fullmatch(ssid) else "".join(f"{byte};" for byte in ssid.encode())


def _keyfile_text(text: str) -> str:
    return text.replace("\\", "\\\\").replace(" ", "\\s")


def supplicant(wifi: Wifi) -> str:
    """Return wpa_supplicant.conf for a WPA2 or open network (wpa_supplicant.conf(5)); its ssid in hexadecimal."""
    lines = [
        f"country={wifi.country}",
        "ctrl_interface=DIR=/var/run/wpa_supplicant GROUP=netdev",
        "update_config=1",
        "network={",
        f"\tssid={wifi.ssid.encode().hex()}",
        *(["\tscan_ssid=1"] if wifi.hidden else []),
    ]
    if wifi.security == Security.OPEN:
        lines.append("\tkey_mgmt=NONE")
    else:
        lines += ["\tkey_mgmt=WPA-PSK", f"\tpsk={wifi_key(wifi.ssid, _passphrase(wifi))}"]
    return "\n".join([*lines, "}", ""])


def _passphrase(wifi: Wifi) -> Secret:
    return wifi.passphrase or Secret("")


def _version(one: Interface) -> int:
    return ipaddress.ip_interface(one.address).version
