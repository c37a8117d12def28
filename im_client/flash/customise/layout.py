"""Which files a node's configuration becomes on an image, and what this image cannot be told."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from im_client.flash.customise import cloudinit, networks, rootfiles, rpios, sysconf
from im_client.flash.customise.bootfiles import K3S, edit_cmdline, edit_config, instance_of, with_instance
from im_client.flash.customise.image import NETWORK_MANAGER, RADIO, SUPPLICANT, Image, Way
from im_client.flash.node import Node, Security
from infracore.errors import InfraError, Several, Unsupported

__all__ = ["CONNECTIONS", "Layout", "RootFile", "lay_out"]

_BARE: Final = (Way.OLDER, Way.SYSCONF, Way.NONE)
"""Ways that have no words for most of it, and leave it to the root partition."""
_CLOUDINIT: Final = (Way.CLOUDINIT, Way.CLOUDINIT_RPI)
_FIRSTRUN: Final = ("systemd.run=", "systemd.run_success_action=", "systemd.unit=kernel-command-line.target")
_REGDOM: Final = "cfg80211.ieee80211_regdom="
_OTHERS: Final = ("custom.toml", "firstrun.sh", "userconf", "userconf.txt", "wpa_supplicant.conf", "ssh", "ssh.txt")
"""Files of other ways, which the system would read too."""
_USERCONF_NAME: Final = re.compile(r"[a-z][a-z0-9-]*")
"""What userconf-service of userconf-pi takes; it leaves a file with another name aside, and makes no account.
custom.toml and firstrun.sh call the program behind it, which takes any name."""
CONNECTIONS: Final = "/etc/NetworkManager/system-connections"


@dataclass(frozen=True, slots=True)
class RootFile:
    """A file of the root partition, which is root's; a link where `target` is given."""

    path: str
    text: str = ""
    mode: int = 0o644
    target: str = ""


@dataclass(frozen=True, slots=True)
class Layout:
    """What is written."""

    boot: dict[str, str]
    """Path on the boot partition -> text. Everybody may read it."""
    removed: tuple[str, ...]
    """Names on the boot partition."""
    root: tuple[RootFile, ...]
    root_removed: tuple[str, ...] = ()


def lay_out(node: Node, image: Image, way: Way, *, password_hash: str, instance: str) -> Layout:
    """Return the files. `instance` is cloud-init's instance id.

    Raises:
        Unsupported, Several: the image cannot be told some of it; each is named with why.
    """
    refused: list[InfraError] = [
        Unsupported(f"{node.hostname}: {key} cannot be set on this image ({way}): {why}", hint)
        for key, why, hint in _refusals(node, image, way)
    ]
    if refused:
        raise refused[0] if len(refused) == 1 else Several(refused)
    boot: dict[str, str] = {}
    is_rpi = way == Way.CLOUDINIT_RPI
    if way in _CLOUDINIT:
        has_root = image.root is not None
        wifi = None if _wifi_by_root(node, image, way) else node.wifi
        boot["user-data"] = cloudinit.user_data(node, password_hash, is_rpi=is_rpi, has_root=has_root)
        boot["network-config"] = cloudinit.network_config(node, wifi, is_rpi=is_rpi)
        boot["meta-data"] = cloudinit.meta_data(node, instance)
    elif way == Way.TOML:
        boot["custom.toml"] = rpios.custom_toml(node, password_hash)
    elif way == Way.FIRSTRUN:
        boot["firstrun.sh"] = rpios.firstrun(node, password_hash, image.boot_folder)
    elif way == Way.OLDER:
        if node.user:
            boot["userconf.txt"] = rpios.userconf(node, password_hash)
        if node.wifi:
            boot["wpa_supplicant.conf"] = networks.supplicant(node.wifi)
    elif way == Way.SYSCONF:
        boot["sysconf.txt"] = sysconf.sysconf(node)
    if node.ssh and way in {Way.CLOUDINIT_RPI, Way.OLDER}:
        boot["ssh"] = ""
    cmdline = _cmdline(node, image, way, instance)
    if cmdline != image.cmdline:
        boot[image.cmdline_path] = cmdline
    config = edit_config(image.config, node.config)
    if config != image.config:
        boot["config.txt"] = config
    removed = tuple(name for name in _OTHERS if name in image.boot and name not in boot)
    root = tuple(_root(node, image, way, password_hash))
    return Layout(boot, removed, root, tuple(sorted(image.ours - {file.path for file in root})))


def _cmdline(node: Node, image: Image, way: Way, instance: str) -> str:
    if not image.cmdline:
        return ""
    add = _options(node)
    drop: list[str] = ["cgroup_disable=memory"] if node.k3s_cgroups else []
    if node.wifi:
        add.append(f"{_REGDOM}{node.wifi.country}")
    if way == Way.FIRSTRUN:
        add += rpios.firstrun_options(image.boot_folder)
    elif any(word.startswith("systemd.run=") and word.endswith("/firstrun.sh") for word in image.cmdline.split()):
        drop += _FIRSTRUN
    told = instance_of(image.cmdline)
    if way in _CLOUDINIT and told:
        drop.append(told)
        add.append(with_instance(told, instance))
    return edit_cmdline(image.cmdline, add, drop, (_REGDOM, *_FIRSTRUN))


def _options(node: Node) -> list[str]:
    return [*node.cmdline, *(K3S if node.k3s_cgroups else ())]


def _root(node: Node, image: Image, way: Way, password_hash: str) -> Iterator[RootFile]:
    if node.host_key and node.host_key.private:
        yield RootFile(rootfiles.HOST_KEY, node.host_key.private.reveal(), 0o600)
        yield RootFile(f"{rootfiles.HOST_KEY}.pub", f"{node.host_key.public}\n")
    part = rootfiles.sshd_part(node, with_password_login=way not in _CLOUDINIT)
    if part and image.sshd_config:
        if any(
            line.split()[:1] == ["Include"] and rootfiles.INCLUDE in line for line in image.sshd_config.splitlines()
        ):
            yield RootFile(rootfiles.SSHD_PART, part)
        else:
            yield RootFile("/etc/ssh/sshd_config", rootfiles.edit_sshd_config(image.sshd_config, part))
    if way in _BARE:
        if way != Way.SYSCONF:
            yield RootFile("/etc/hostname", f"{node.hostname}\n")
        yield RootFile("/etc/hosts", rootfiles.edit_hosts(image.hosts, node.hostname))
        if node.timezone:
            yield RootFile("/etc/timezone", f"{node.timezone}\n")
            yield RootFile("/etc/localtime", target=f"/usr/share/zoneinfo/{node.timezone}")
    if way == Way.SYSCONF:
        cmdline = edit_cmdline(image.extra_cmdline, _options(node))
        if cmdline != image.extra_cmdline:
            yield RootFile(sysconf.EXTRA_CMDLINE, cmdline)
        config = edit_config(image.firmware_custom, node.config)
        if config != image.firmware_custom:
            yield RootFile(sysconf.FIRMWARE_CUSTOM, config)
    yield from _networks(node, image, way)
    if image.root is None:
        return
    if way in _CLOUDINIT and node.user and password_hash:
        text = cloudinit.account_part(node, password_hash, is_rpi=way == Way.CLOUDINIT_RPI)
        yield RootFile(rootfiles.CLOUD_PART, text, 0o600)
    if not (node.packages or node.commands):
        return
    if way in _CLOUDINIT:
        yield RootFile(rootfiles.PER_BOOT, rootfiles.first_boot_script(node, by_cloudinit=True), 0o700)
    else:
        yield RootFile(rootfiles.FIRST_BOOT, rootfiles.first_boot_script(node, by_cloudinit=False), 0o700)
        yield RootFile(rootfiles.UNIT, rootfiles.first_boot_unit())
        yield RootFile(rootfiles.WANTED, target=rootfiles.UNIT)


def _networks(node: Node, image: Image, way: Way) -> Iterator[RootFile]:
    """Return the networks that no file of the boot partition has."""
    by_root = _wifi_by_root(node, image, way)
    wifi = node.wifi if by_root else None
    interfaces = () if way in _CLOUDINIT else node.interfaces
    fixed = next((one for one in node.interfaces if one.name == RADIO), None)
    if not interfaces and not wifi:
        return
    if image.has_netplan(for_wpa3=wifi is not None and wifi.security == Security.WPA3):
        seen = interfaces or tuple(one for one in node.interfaces if one.name == RADIO)
        with_country = image.has_netplan(for_wpa3=True)
        yield RootFile(rootfiles.NETPLAN_FILE, networks.netplan_file(seen, wifi, with_country=with_country), 0o600)
        return
    if image.has(NETWORK_MANAGER):
        for one in interfaces:
            if one.name != RADIO:
                yield RootFile(f"{CONNECTIONS}/im-{one.name}.nmconnection", networks.network_manager(one), 0o600)
        if wifi:
            text = networks.network_manager_wifi(wifi, fixed)
            yield RootFile(f"{CONNECTIONS}/im-wifi.nmconnection", text, 0o600)
    elif wifi:
        yield RootFile(f"{SUPPLICANT}/wpa_supplicant.conf", networks.supplicant(wifi), 0o600)


def _wifi_by_root(node: Node, image: Image, way: Way) -> bool:
    """Whether the wireless network is written into the root partition: with cloud-init one that has a secret.

    cloud-init leaves its files on the boot partition, where every user of the board reads them; the other ways' are
    deleted at the first boot by what reads them.
    """
    if not node.wifi or way not in _CLOUDINIT:
        return node.wifi is not None and way == Way.FIRSTRUN
    manages = image.has_netplan() or image.has(NETWORK_MANAGER)
    return node.wifi.security == Security.WPA3 or (node.wifi.security == Security.WPA2 and manages)


def _refusals(node: Node, image: Image, way: Way) -> Iterator[tuple[str, str, str]]:
    """Return what cannot be done as (key, why, hint)."""
    other = "take an image that cloud-init configures, such as Raspberry Pi OS from trixie on"
    unable = {
        Way.NONE: ("user", "password", "password_hash", "authorized_keys", "wifi", "locale", "keyboard"),
        Way.OLDER: ("authorized_keys", "locale", "keyboard"),
        Way.SYSCONF: ("wifi", "locale", "keyboard"),
    }
    for key in unable.get(way, ()):
        if getattr(node, key):
            yield key, "nothing on it reads that at its first boot", other
    if way == Way.SYSCONF:
        yield from sysconf.refusals(node)
    elif node.user == "root" and way != Way.NONE:
        yield "user", "root is an account of the system", "name one of your own; it becomes root by sudo"
    if way == Way.OLDER and any(one.name == RADIO for one in node.interfaces):
        yield "interfaces", f"nothing on it gives {RADIO} a fixed address", other
    if way == Way.OLDER and node.user and not _USERCONF_NAME.fullmatch(node.user):
        yield "user", "userconf.txt takes small letters, digits and dashes, a letter first", "take another name"
    if way == Way.OLDER and node.user and not (node.password or node.password_hash):
        yield "user", "userconf.txt makes no account without a password", "give password_hash"
    if (node.cmdline or node.k3s_cgroups) and not image.cmdline:
        yield "cmdline", "there is no cmdline.txt on its boot partition", "set the options in its own boot loader"
    if node.config and "config.txt" not in image.boot:
        yield "config", "there is no config.txt on its boot partition", "it is no image for a Raspberry Pi"
    for key, is_asked, is_met, why in _needs(node, image, way):
        if is_asked and image.root is None:
            yield key, "it has no ext4 root partition", other
        elif is_asked and not is_met():
            yield key, why, other


def _needs(node: Node, image: Image, way: Way) -> Iterator[tuple[str, bool, Callable[[], bool], str]]:
    """Return what is asked of the root partition: key, whether it is asked, whether it can be met, why not."""
    is_cloudinit = way in _CLOUDINIT
    manages = image.has_netplan() or image.has(NETWORK_MANAGER)
    unmanaged = "it has neither NetworkManager nor netplan"
    has_key = node.host_key is not None and node.host_key.private is not None
    yield "host_key", has_key, lambda: bool(image.sshd_config), "it has no sshd"
    yield "commands", bool(node.commands), lambda: is_cloudinit or image.has_systemd, "it has no systemd"
    yield "packages", bool(node.packages) and not is_cloudinit, lambda: image.has_systemd, "it has no systemd"
    yield "interfaces", bool(node.interfaces) and not is_cloudinit, lambda: manages, unmanaged
    if node.wifi and way not in {Way.SYSCONF, Way.NONE}:
        is_wpa3 = node.wifi.security == Security.WPA3
        if is_wpa3 and way == Way.OLDER:
            yield "wifi", True, lambda: False, "wpa_supplicant.conf on its boot partition would hold the passphrase"
        elif _wifi_by_root(node, image, way):
            knows = image.has_netplan(for_wpa3=is_wpa3) or image.has(NETWORK_MANAGER)
            why = f"{unmanaged} that knows WPA3 (1.0 or newer)" if is_wpa3 else unmanaged
            yield "wifi", True, lambda: knows or (not is_wpa3 and image.has(SUPPLICANT)), why
    yield "hostname", way in _BARE, lambda: True, ""
