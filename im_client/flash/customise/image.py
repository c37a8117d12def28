"""What an image can do at its first boot, by the files that it has, and which of its ways is taken."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from im_client.flash.model import InitFormat
from im_client.flash.node import Node, Security
from infracore.errors import Unsupported

__all__ = ["PROBES", "Image", "Way", "find_way"]


class Way(StrEnum):
    """How the configuration reaches the system."""

    CLOUDINIT = "cloud-init"
    CLOUDINIT_RPI = "cloud-init of Raspberry Pi OS"
    TOML = "custom.toml"
    FIRSTRUN = "firstrun.sh"
    OLDER = "userconf.txt"
    SYSCONF = "sysconf.txt"
    NONE = "none"


CLOUDINIT: Final = "/usr/bin/cloud-init"
RPI_ISSUE: Final = "/etc/rpi-issue"
INIT_CONFIG: Final = "/usr/lib/raspberrypi-sys-mods/init_config"
USERCONF: Final = "/usr/lib/userconf-pi/userconf-service"
SYSCONF: Final = "/usr/local/sbin/rpi-set-sysconf"
"""Of Debian's own images (raspi.debian.net). BeagleBoard's, which read a sysconf.txt too, have another."""
SYSTEMD: Final = "/usr/lib/systemd/systemd"
NETPLAN: Final = "/usr/sbin/netplan"
NETPLAN_1: Final = tuple(
    f"/usr/lib/{kind}/libnetplan.so.1" for kind in ("aarch64-linux-gnu", "arm-linux-gnueabihf", "x86_64-linux-gnu")
)
"""Of netplan 1.0 and newer. Before 0.107 `sae` (WPA3) is an error, for which the whole file is not taken."""
NETWORK_MANAGER: Final = "/usr/sbin/NetworkManager"
SUPPLICANT: Final = "/etc/wpa_supplicant"
RADIO: Final = "wlan0"
PROBES: Final = (
    *(CLOUDINIT, RPI_ISSUE, INIT_CONFIG, USERCONF, SYSCONF, SYSTEMD, "/lib/systemd/systemd"),
    *(NETPLAN, *NETPLAN_1, NETWORK_MANAGER, SUPPLICANT),
)
_FIRSTBOOT: Final = "init=/usr/lib/raspberrypi-sys-mods/firstboot"
_SIMPLE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ._-")


@dataclass(frozen=True, slots=True)
class Image:
    """What is known of an image before it is changed. Texts of files that it does not have are ""."""

    boot: frozenset[str] = frozenset()
    """Names at the top of its boot partition."""
    root: frozenset[str] | None = None
    """Which of `PROBES` it has; None where it has no ext4 root."""
    cmdline_path: str = "cmdline.txt"
    cmdline: str = ""
    config: str = ""
    fstab: str = ""
    hosts: str = ""
    sshd_config: str = ""
    extra_cmdline: str = ""
    """Of /etc/default/raspi-extra-cmdline, and the next of raspi-firmware-custom: see `sysconf`."""
    firmware_custom: str = ""
    ours: frozenset[str] = frozenset()
    """Files of the root partition that we wrote another time."""

    def has(self, path: str) -> bool:
        """Say whether its root has one of `PROBES`."""
        return self.root is not None and path in self.root

    @property
    def has_systemd(self) -> bool:
        """Whether systemd is its init: before usrmerge it was elsewhere."""
        return self.has(SYSTEMD) or self.has("/lib/systemd/systemd")

    def has_netplan(self, *, for_wpa3: bool = False) -> bool:
        """Say whether it has netplan, and one that knows WPA3 where that is needed."""
        return self.has(NETPLAN) and (not for_wpa3 or any(map(self.has, NETPLAN_1)))

    @property
    def boot_folder(self) -> str:
        """Where it mounts its boot partition: since bookworm /boot/firmware."""
        return "/boot/firmware" if "/boot/firmware" in self.fstab or not self.fstab else "/boot"


def find_way(image: Image, init: InitFormat | None, node: Node) -> Way:
    """Choose. `init` is what the OS list says of the image; None: found by what it has.

    Raises:
        Unsupported: the image has not what the list says.
    """
    init = init or _found(image)
    if init in {InitFormat.CLOUDINIT, InitFormat.CLOUDINIT_RPI}:
        if image.root is not None and not image.has(CLOUDINIT):
            raise Unsupported(
                "the image is to be configured by cloud-init and does not have it", "name its init format"
            )
        return Way.CLOUDINIT_RPI if init == InitFormat.CLOUDINIT_RPI else Way.CLOUDINIT
    if init == InitFormat.SYSTEMD:
        if not image.cmdline:
            raise Unsupported("the image is to be configured by firstrun.sh and has no cmdline.txt", "name its format")
        starts_toml = image.has(INIT_CONFIG) and _FIRSTBOOT in image.cmdline.split()
        return Way.TOML if starts_toml and is_said_in_toml(node) else Way.FIRSTRUN
    if image.has(USERCONF):
        return Way.OLDER
    return Way.SYSCONF if image.has(SYSCONF) else Way.NONE


def _found(image: Image) -> InitFormat:
    is_rpi = image.has(RPI_ISSUE)
    if image.has(CLOUDINIT) or (image.root is None and {"user-data", "meta-data"} <= image.boot):
        return InitFormat.CLOUDINIT_RPI if is_rpi else InitFormat.CLOUDINIT
    if is_rpi and image.has_systemd and image.cmdline:
        return InitFormat.SYSTEMD
    return InitFormat.NONE


def is_said_in_toml(node: Node) -> bool:
    """Say whether custom.toml has words for all that its first boot is to do.

    It has none for the locale, and hands an ssid to a script that neither quotes it nor knows WPA3.
    """
    wifi = node.wifi
    is_simple = not wifi or (
        wifi.security != Security.WPA3
        and set(wifi.ssid) <= _SIMPLE
        and wifi.ssid[0] not in " -"
        and wifi.ssid[-1] != " "
    )
    return is_simple and not node.locale and all(one.name != RADIO for one in node.interfaces)
