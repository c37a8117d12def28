"""The settings of the `libvirt` provider."""

import re
from collections.abc import Mapping
from pathlib import Path

import msgspec

__all__ = ["ImageSettings", "LibvirtSettings"]

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ImageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A base image: a qcow2 or raw disk with cloud-init."""

    path: str = ""
    """File on this computer; it is uploaded into the pool once."""
    url: str = ""
    """https address instead; needs `sha256`."""
    sha256: str = ""
    """Of the file; checked before it is uploaded."""
    kernel: str = ""
    """File on this computer: for a disk without boot loader."""
    initrd: str = ""
    cmdline: str = "root=LABEL=root rw console=ttyS0 net.ifnames=0 ds=nocloud"
    """Words for `kernel`."""
    distribution: str = ""
    """`debian`, `ubuntu`; "": read out of the image's name."""
    version: str = ""
    architecture: str = ""
    user: str = ""
    """Account that is logged in to; "": by the distribution."""

    def __post_init__(self) -> None:
        if bool(self.path) == bool(self.url):
            raise ValueError("an image has either `path` or `url`")
        if self.url and not self.url.startswith("https://"):
            raise ValueError("`url` of an image is an https address")
        if self.url and not self.sha256:
            raise ValueError("an image with `url` needs `sha256`")
        if self.sha256 and _SHA256.fullmatch(self.sha256) is None:
            raise ValueError("`sha256` has 64 hexadecimal digits in small letters")
        if self.initrd and not self.kernel:
            raise ValueError("`initrd` needs `kernel`")
        for path in (self.path, self.kernel, self.initrd):
            if path and not Path(path).is_absolute():
                raise ValueError(f"`{path}` is no absolute path")


class LibvirtSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be set; nothing must, where the host has a pool and a network `default`."""

    uri: str = "qemu:///system"
    """`qemu:///system`, `qemu:///session` or `qemu+ssh://USER@HOST/system`."""
    pool: str = "default"
    """Storage pool (a folder) of disks, seeds and uploaded images."""
    network: str = "default"
    """libvirt network of machines whose template names none, `bridge:NAME`, or `user`: none, with ssh
    forwarded from the host's loopback."""
    bridges: tuple[str, ...] = ()
    """Bridges of the host that templates may name as `bridge:NAME`."""
    make_networks: str = ""
    """`nat` or `isolated`: each private network of a template becomes one of libvirt; "": none is made."""
    make_from: str = "10.78.0.0/16"
    """Where the addresses of made networks come from, a /24 each."""
    images: Mapping[str, ImageSettings] = {}
    """Name -> base image."""
    image_pool: str = ""
    """A pool whose volumes are images too, each for whoever may write a template; "": none."""
    image: str = ""
    """Image where a template says nothing of it."""
    user: str = ""
    """Account of machines whose image does not say."""
    accelerate: str = "auto"
    """`kvm`, `emulation`, or `auto`: KVM where a machine starts with it."""
    cpu: str = ""
    """`host-passthrough`, `host-model`, `maximum`, or a model's name; "": the host's own, `maximum` where emulated."""
    machine: str = ""
    """QEMU's machine type, `q35`; "": libvirt's own choice."""
    firmware: str = ""
    """`efi` or `bios`; "": libvirt's own choice."""
    jump: str = "auto"
    """`auto`: machines behind `qemu+ssh://` are reached through that host; `none`: directly."""
    cache_dir: str = ""
    """Folder of downloaded images; "": below the user's cache folder."""
    memory_bytes: int = 1024**3
    """Of a machine whose template asks for none."""
    disk_bytes: int = 8 * 1024**3
    """Root disk of a machine whose template asks for none; never smaller than its image."""
    stop_timeout_s: float = 90.0
    """How long a machine may take to shut down before it is powered off."""
    request_s: float = 60.0
    """How long one answer of the host may take."""
    upload_s: float = 3600.0
    """How long the upload of an image may take."""

    def __post_init__(self) -> None:
        words: dict[str, tuple[str, ...]] = {
            "make_networks": ("", "nat", "isolated"),
            "accelerate": ("auto", "kvm", "emulation"),
            "jump": ("auto", "none"),
            "firmware": ("", "efi", "bios"),
        }
        for field, known in words.items():
            if getattr(self, field) not in known:
                raise ValueError(f"`{field}` is one of {', '.join(word or '(nothing)' for word in known)}")
        if re.fullmatch(r"qemu(\+[a-z]+)?://[^\s/]*/(system|session)(\?\S*)?", self.uri) is None:
            raise ValueError("`uri` is like qemu:///system, qemu:///session or qemu+ssh://USER@HOST/system")
        if self.network == "user" and not self.uri.startswith(("qemu:///", "qemu+unix:///")):
            raise ValueError("with `network` user machines are reached from the host itself alone")
        for name in (self.pool, self.network, self.image_pool, *self.images):
            if not name.isprintable() or "/" in name or name.startswith("-"):
                raise ValueError(f"{name!r} is no name of a pool, network or image")
