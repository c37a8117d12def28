"""The settings of the `local` provider."""

import ipaddress
import os
import re
from pathlib import Path

import msgspec

from infracore.errors import Misconfigured

__all__ = ["LocalSettings", "default_state_dir"]


def default_state_dir() -> Path:
    """Return where machines rest: `/var/lib/im-clues/local` for root, else below the user's state folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/im-clues/local")
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "im-clues" / "local"


class LocalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be set; every field has a default that is found out by itself."""

    kind: str = "auto"
    """`nspawn` (root), `qemu` (anybody) or `auto`: nspawn for root, else qemu."""
    state_dir: str = ""
    """Folder of machines; "" is `default_state_dir()`. One folder has one bridge."""
    image_dir: str = ""
    """Folder of base images, which several state folders may share; "" is `images` in the state folder."""
    suite: str = ""
    """Release of the machines where a template names none (`bookworm`, `noble`); "" is this computer's own."""
    mirror: str = ""
    """Package archive of the machines' distribution; "" is the one of this computer's apt sources."""
    security_mirror: str = ""
    """Archive of security updates, where `mirror` is set; "" for none."""
    bridge: str = "imclues0"
    network: str = ""
    """The machines' network (an IPv4 /24); "" is 10.77.0.0/24, or the next that is free."""
    apt_proxy: str = "auto"
    """URL of a proxy for the machines' apt, `none`, or `auto`: see `outbound.py`."""
    nat: str = "auto"
    """`on`, `off` or `auto`: a way out through this computer's own addresses, where the kernel can."""
    packages: tuple[str, ...] = ()
    """Further Debian packages in the base image."""
    durable: bool = False
    """Whether the machines' `fsync` reaches the disk; without, a power cut may damage them, and they are faster."""
    stop_timeout_s: float = 30.0
    """How long a machine may take to shut down before it is powered off."""
    cloud_image: str = ""
    """QEMU: a qcow2 or raw cloud image with cloud-init to use instead of an image made here."""
    qemu_memory_bytes: int = 768 * 1024**2
    """QEMU: memory of a machine whose template asks for none."""

    def __post_init__(self) -> None:
        for field, words in (("kind", ("auto", "nspawn", "qemu")), ("nat", ("auto", "on", "off"))):
            if getattr(self, field) not in words:
                raise ValueError(f"`{field}` is one of {', '.join(words)}")
        if self.network and ipaddress.IPv4Network(self.network).prefixlen != 24:
            raise ValueError("`network` is an IPv4 network of 24 bits, such as 10.77.0.0/24")
        if re.fullmatch(r"[a-z][a-z0-9-]{1,14}", self.bridge) is None:
            raise ValueError("`bridge` has 2 to 15 letters, digits or hyphens and begins with a letter")
        if self.apt_proxy not in ("auto", "none") and not self.apt_proxy.startswith(("http://", "https://")):
            raise ValueError("`apt_proxy` is auto, none or an http URL")

    @property
    def root(self) -> Path:
        """The folder of machines; one folder has one kind of them."""
        if self.state_dir:
            return Path(self.state_dir)
        is_odd = self.kind == "qemu" and os.geteuid() == 0
        return default_state_dir() / "qemu" if is_odd else default_state_dir()

    @property
    def images(self) -> Path:
        """The folder of base images."""
        return Path(self.image_dir) if self.image_dir else self.root / "images"

    @property
    def machine_kind(self) -> str:
        """`nspawn` or `qemu`.

        Raises:
            Misconfigured: nspawn is asked for, and we are not root.
        """
        is_root = os.geteuid() == 0
        if self.kind == "nspawn" and not is_root:
            raise Misconfigured("systemd-nspawn machines need root", "run as root, or set kind = qemu")
        if self.kind != "auto":
            return self.kind
        return "nspawn" if is_root else "qemu"
