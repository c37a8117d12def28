"""The files by which Raspberry Pi OS is configured up to bookworm: custom.toml, firstrun.sh, userconf.txt.

Raspberry Pi's documentation ("Configuration"), and what its packages raspberrypi-sys-mods and userconf-pi read.
"""

import json
from collections.abc import Sequence
from shlex import quote
from typing import Final

from im_client.flash.customise.hashing import wifi_key
from im_client.flash.customise.networks import UNBLOCK
from im_client.flash.node import Node, Security

__all__ = ["NO_PASSWORD", "custom_toml", "firstrun", "firstrun_options", "userconf"]

NO_PASSWORD: Final = "!"  # noqa: S105 - shadow(5): a hash that no password has
_GROUPS: Final = "adm audio cdrom dialout gpio i2c input netdev plugdev render spi sudo users video"


def custom_toml(node: Node, password_hash: str) -> str:
    """Return custom.toml, for a node of which `image.is_said_in_toml` is true."""
    parts: list[tuple[str, dict[str, object]]] = [("system", {"hostname": node.hostname})]
    if node.user:
        password = password_hash or NO_PASSWORD
        parts.append(("user", {"name": node.user, "password": password, "password_encrypted": True}))
    ssh: dict[str, object] = {"enabled": node.ssh}
    if node.user:
        ssh |= {"password_authentication": node.password_login, "authorized_keys": list(node.authorized_keys)}
    parts.append(("ssh", ssh))
    if node.wifi:
        wlan: dict[str, object] = {"ssid": node.wifi.ssid, "hidden": node.wifi.hidden, "country": node.wifi.country}
        if node.wifi.security == Security.WPA2 and node.wifi.passphrase:
            wlan |= {"password": wifi_key(node.wifi.ssid, node.wifi.passphrase), "password_encrypted": True}
        parts.append(("wlan", wlan))
    locale = {"keymap": node.keyboard, "timezone": node.timezone}
    if any(locale.values()):
        parts.append(("locale", {key: value for key, value in locale.items() if value}))
    text = "config_version = 1\n"
    for name, values in parts:
        text += f"\n[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())
    return text


def _toml(value: object) -> str:
    """Return a value in TOML. Text without control characters is quoted there as in JSON (TOML 1.0, "String")."""
    return json.dumps(value, ensure_ascii=False)


def firstrun_options(boot_folder: str) -> tuple[str, ...]:
    """Return what makes systemd run the script instead of the system, and start anew (kernel-command-line(7))."""
    return (
        f"systemd.run={boot_folder}/firstrun.sh",
        "systemd.run_success_action=reboot",
        "systemd.unit=kernel-command-line.target",
    )


def firstrun(node: Node, password_hash: str, boot_folder: str) -> str:
    """Return firstrun.sh. It ends well whatever happens, or the board would stop; what failed is in its log."""
    lines = [
        "#!/bin/sh",
        f"# Made by im flash for {node.hostname}: run once, by root, instead of the first boot.",
        "exec >>/var/log/im-firstrun.log 2>&1",
        "",
        f"echo {quote(node.hostname)} >/etc/hostname",
        "if grep -q '^127\\.0\\.1\\.1' /etc/hosts",
        f"then sed -i 's/^127\\.0\\.1\\.1.*/127.0.1.1\\t{node.hostname}/' /etc/hosts",
        f"else printf '127.0.1.1\\t%s\\n' {quote(node.hostname)} >>/etc/hosts",
        "fi",
    ]
    if node.user:
        lines += _account(node, password_hash)
    lines += ["", f"systemctl {'enable' if node.ssh else 'disable'} ssh"]
    if node.timezone:
        zone = quote(node.timezone)
        lines += ["", f"ln -sf /usr/share/zoneinfo/{zone} /etc/localtime", f"echo {zone} >/etc/timezone"]
    if node.locale:
        there = f"grep -q '^{node.locale} ' /etc/locale.gen || echo '{node.locale} UTF-8' >>/etc/locale.gen"
        other = f"{there}; locale-gen; update-locale LANG={quote(node.locale)}"
        lines += ["", *_with_raspi_config("do_change_locale", node.locale, other)]
    if node.keyboard:
        other = f"sed -i 's/^XKBLAYOUT=.*/XKBLAYOUT=\"{node.keyboard}\"/' /etc/default/keyboard"
        lines += ["", *_with_raspi_config("do_configure_keyboard", node.keyboard, other)]
    if node.wifi:
        lines += [
            "",
            *_with_raspi_config("do_wifi_country", node.wifi.country, f"iw reg set {node.wifi.country}"),
            UNBLOCK,
        ]
    lines += [  # last: a board that loses its power before begins again
        "",
        "sed -i -e 's/ systemd\\.run[^ ]*//g' -e 's/ systemd\\.unit=kernel-command-line\\.target//g' \\",
        f"    {boot_folder}/cmdline.txt",
        f"rm -f {boot_folder}/firstrun.sh",
        "sync",
        "exit 0",
    ]
    return "\n".join([*lines, ""])


def _account(node: Node, password_hash: str) -> list[str]:
    """Make, or rename, the account of number 1000. userconf also ends the question for a name on the console."""
    user, hashed = quote(node.user), quote(password_hash or NO_PASSWORD)
    return [
        "",
        "first=$(getent passwd 1000 | cut -d: -f1)",
        'if [ -z "$first" ]',
        f"then useradd --create-home --uid 1000 --shell /bin/bash {user}",
        "elif [ -x /usr/lib/userconf-pi/userconf ]",
        f"then /usr/lib/userconf-pi/userconf {user} {hashed}",
        f'elif [ "$first" != {user} ]',
        f'then usermod --login {user} "$first"; groupmod --new-name {user} "$first"',
        f"usermod --move-home --home /home/{user} {user}",
        "fi",
        f"usermod --password {hashed} {user}",
        f"for group in {_GROUPS}",
        f'do ! getent group "$group" >/dev/null || usermod --append --groups "$group" {user}',
        "done",
        f"echo {quote(f'{node.user} ALL=(ALL) NOPASSWD:ALL')} >/etc/sudoers.d/010_im-clues",
        "chmod 440 /etc/sudoers.d/010_im-clues",
        *_keys(user, node.authorized_keys),
    ]


def _keys(user: str, keys: Sequence[str]) -> list[str]:
    if not keys:
        return []
    return [
        f"home=$(getent passwd {user} | cut -d: -f6)",
        f'install -d -m 700 -o {user} -g "$(id -g {user})" "$home/.ssh"',
        f"printf '%s\\n' {' '.join(quote(key) for key in keys)} >\"$home/.ssh/authorized_keys\"",
        f'chown {user}:"$(id -g {user})" "$home/.ssh/authorized_keys"',
        'chmod 600 "$home/.ssh/authorized_keys"',
    ]


def _with_raspi_config(verb: str, value: str, other: str) -> list[str]:
    return ["if command -v raspi-config", f"then raspi-config nonint {verb} {quote(value)}", f"else {other}", "fi"]


def userconf(node: Node, password_hash: str) -> str:
    """Return userconf.txt: the name and the hash of the first account."""
    return f"{node.user}:{password_hash}\n"
