"""The base disk of QEMU machines, made without root, loop devices or mounts.

mmdebstrap writes a tar file (it maps the user's subordinate ids, or uses fakechroot); the tree is unpacked in a user
namespace with the same ids, `mke2fs -d` copies it into a file system, and kernel and initial RAM disk lie beside it,
so that no boot loader is needed.
"""

import hashlib
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from im_client.providers.base import Progress
from im_client.providers.local.base_image import debootstrap
from im_client.providers.local.mirror import Release, Source
from im_client.providers.local.records import file_lock
from im_client.providers.local.settings import LocalSettings
from infracore.errors import CommandFailed
from infracore.process import run

__all__ = ["DiskImage", "disk_image", "ensure_disk"]

_PACKAGES: Final = (
    "systemd", "systemd-sysv", "dbus", "libpam-systemd", "cloud-init", "openssh-server", "python3", "python3-apt",
    "sudo", "ca-certificates", "iproute2", "netbase", "netplan.io", "cloud-guest-utils", "e2fsprogs",
    "initramfs-tools", "zstd", "fdisk",
)  # fmt: skip
_KERNELS: Final = {"debian": "linux-image-cloud-amd64", "ubuntu": "linux-image-virtual"}
_HOOKS: Final = (
    'echo "LABEL=root / ext4 defaults,discard,noatime 0 1" > "$1"/etc/fstab',
    'printf "datasource_list: [NoCloud, None]\\n" > "$1"/etc/cloud/cloud.cfg.d/90-im-clues.cfg',
    'rm -f "$1"/etc/ssh/ssh_host_*; : > "$1"/etc/machine-id',
    'echo "UseDNS no" > "$1"/etc/ssh/sshd_config.d/im-clues.conf',
)
_SIZE: Final = "3G"
_RECIPE: Final = 1


@dataclass(frozen=True, slots=True)
class DiskImage:
    """A base disk; kernel and initial RAM disk are None where it has a boot loader of its own."""

    disk: Path
    format: str
    kernel: Path | None = None
    initrd: Path | None = None

    @classmethod
    def at(cls, disk: Path) -> "DiskImage":
        """Describe a base disk by what lies beside it."""
        with disk.open("rb") as file:
            form = "qcow2" if file.read(4) == b"QFI\xfb" else "raw"
        kernel, initrd = disk.with_name("vmlinuz"), disk.with_name("initrd.img")
        return cls(disk, form, kernel, initrd) if kernel.exists() else cls(disk, form)


def disk_image(release: Release, settings: LocalSettings) -> DiskImage:
    """Say where the base disk of a release is, made or not."""
    if settings.cloud_image:
        return DiskImage.at(Path(settings.cloud_image))
    recipe = "\0".join((str(_RECIPE), *_PACKAGES, *settings.packages, settings.mirror))
    folder = settings.images / f"{release.suite}-qemu-{hashlib.sha256(recipe.encode()).hexdigest()[:8]}"
    return DiskImage(folder / "disk.qcow2", "qcow2", folder / "vmlinuz", folder / "initrd.img")


def ensure_disk(
    release: Release, sources: Sequence[Source], settings: LocalSettings, proxy: str | None, on_progress: Progress
) -> DiskImage:
    """Make the base disk unless it is there. Takes two minutes or more; others wait.

    Raises:
        CommandFailed: it cannot be made.
    """
    image = disk_image(release, settings)
    if image.disk.exists() or image.kernel is None:
        return image
    settings.images.mkdir(mode=0o755, parents=True, exist_ok=True)
    place = image.disk.parent
    with file_lock(settings.images / f".{place.name}.lock"):
        if place.exists():
            return image
        on_progress(f"making the disk image of {release} (once; some minutes)")
        fresh = place.with_name(f".{place.name}.new")
        _remove(fresh)
        fresh.mkdir()
        packages = (*_PACKAGES, _KERNELS[release.distribution], *settings.packages)
        mode = "root" if os.geteuid() == 0 else "auto"
        debootstrap(release, sources, packages, _HOOKS, fresh / "root.tar", proxy=proxy, mode=mode)
        _pack(fresh)
        fresh.rename(place)
        on_progress(f"the disk image of {release} is made")
    return image


def _as_root() -> list[str]:
    """Return the words before a command that make us root over our subordinate ids; subuid(5)."""
    return [] if os.geteuid() == 0 else ["unshare", "--user", "--map-root-user", "--map-auto", "--"]


def _pack(folder: Path) -> None:
    """Turn `root.tar` into `disk.qcow2`, `vmlinuz` and `initrd.img`."""
    tree, raw = folder / "tree", folder / "root.img"
    tree.mkdir()
    words = ["tar", "--numeric-owner", "--exclude=./dev/*", "-C", str(tree), "-xpf", str(folder / "root.tar")]
    run([*_as_root(), *words], timeout_s=600)
    for pattern, name in (("vmlinuz-*", "vmlinuz"), ("initrd.img-*", "initrd.img")):
        found = sorted((tree / "boot").glob(pattern))
        if not found:
            raise CommandFailed(f"the image has no /boot/{pattern}", "set `cloud_image` of the local provider")
        run([*_as_root(), "cp", found[-1], folder / name], timeout_s=60)
    options = ["-q", "-t", "ext4", "-L", "root", "-E", "lazy_itable_init=1,discard", "-d", str(tree)]
    path = f"{os.environ['PATH']}:/sbin:/usr/sbin"
    run([*_as_root(), "mke2fs", *options, raw, _SIZE], timeout_s=600, env={"PATH": path})
    run(["qemu-img", "convert", "-O", "qcow2", raw, folder / "disk.qcow2"], timeout_s=600)
    _remove(tree)
    raw.unlink()
    (folder / "root.tar").unlink()


def _remove(folder: Path) -> None:
    """Remove a tree that may hold files of our subordinate ids."""
    if folder.exists():
        run([*_as_root(), "rm", "-rf", "--one-file-system", folder], timeout_s=300)
    shutil.rmtree(folder, ignore_errors=True)
