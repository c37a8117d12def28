"""The image: made once a month of Debian's packages, without loop devices or mounts.

`python -m tests.rigs.pi.image` makes it where it is not there yet, before the tests, whose time is limited.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from im_client.providers.local.base_image import debootstrap
from im_client.providers.local.mirror import Release, host_release, read_sources
from im_client.providers.local.records import file_lock
from im_client.providers.local.settings import LocalSettings
from infracore.errors import InfraError, Misconfigured
from infracore.process import run
from tests.rigs.pi.apt_cache import apt_cache
from tests.rigs.pi.folder import cache_folder
from tests.rigs.pi.wire import PROXY

__all__ = ["BOOT_BYTES", "BOOT_START", "PROGRAMS", "PiImage", "pi_image"]

MIB: Final = 1024**2
BOOT_START: Final = 8 * MIB
"""Sector 16384, as in Raspberry Pi OS since bookworm (8192 before)."""
BOOT_BYTES: Final = 256 * MIB
_ROOT_BYTES: Final = 1792 * MIB
PROGRAMS: Final = (
    "mmdebstrap", "qemu-aarch64-static", "update-binfmts", "mke2fs", "mkfs.vfat", "sfdisk", "mcopy", "zstd",
)  # fmt: skip
_PACKAGES: Final = (
    "systemd-sysv", "dbus", "libpam-systemd", "systemd-timesyncd", "cloud-init", "openssh-server", "python3",
    "python3-apt", "sudo", "ca-certificates", "iproute2", "iputils-ping", "netplan.io", "initramfs-tools", "e2fsprogs",
    "dosfstools", "cloud-guest-utils", "fdisk", "avahi-daemon", "netbase", "cron", "logrotate", "rsync", "kmod",
    "linux-image-arm64", "zstd",
)  # fmt: skip
_MODULES: Final = (
    "virtio_blk", "virtio_mmio", "virtio_pci", "ext4", "vfat", "nls_cp437", "nls_ascii",
    "sdhci_iproc", "bcm2835", "mmc_block", "usb_storage", "uas", "nvme",
)  # fmt: skip
_OPTIONS: Final = (
    "--architectures=arm64",
    '--essential-hook=mkdir -p "$1"/etc/initramfs-tools/conf.d "$1"/boot/firmware',
    # the network card is eth0, as in Raspberry Pi OS (raspi-config, "predictable network interface names")
    '--essential-hook=mkdir -p "$1"/etc/systemd/network; ln -s /dev/null "$1"/etc/systemd/network/99-default.link',
    '--essential-hook=printf "MODULES=list\\nCOMPRESS=zstd\\nCOMPRESSLEVEL=3\\n" > "$1"/etc/initramfs-tools/conf.d/pi',
    '--essential-hook=printf "%s\\n" ' + " ".join(_MODULES) + ' > "$1"/etc/initramfs-tools/modules',
)
_HOOKS: Final = (
    'printf "LABEL=rootfs / ext4 defaults,noatime 0 1\\nLABEL=bootfs /boot/firmware vfat defaults 0 2\\n"'
    ' > "$1"/etc/fstab',
    'printf "datasource_list: [NoCloud, None]\\ndatasource:\\n  NoCloud:\\n    fs_label: bootfs\\n"'
    ' > "$1"/etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg',
    'rm -f "$1"/etc/ssh/ssh_host_*; : > "$1"/etc/machine-id; echo raspberrypi > "$1"/etc/hostname',
    'echo "UseDNS no" > "$1"/etc/ssh/sshd_config.d/rig.conf',
    f"""printf 'Acquire::http::Proxy "{PROXY}";\\n' > "$1"/etc/apt/apt.conf.d/90rig""",
)
_CMDLINE: Final = "console=serial0,115200 console=tty1 root=LABEL=rootfs rootfstype=ext4 fsck.repair=yes rootwait"
_CONFIG: Final = """# like Raspberry Pi OS
dtparam=audio=on
auto_initramfs=1
arm_64bit=1

[cm4]
otg_mode=1

[all]
"""
_SEED: Final = {
    "user-data": "#cloud-config\n",
    "meta-data": "instance-id: rpios-image\n",
    "network-config": "",
    "cmdline.txt": f"{_CMDLINE}\n",
    "config.txt": _CONFIG,
}
_TIMEOUT_S: Final = 5400.0
"""Maintainer scripts are emulated: ten minutes on idle cores, forty on busy ones."""
_RECIPE: Final = 1
"""Grows with every change of this file that makes another image and that the digest does not see."""


@dataclass(frozen=True, slots=True)
class PiImage:
    """The packed image, and what the list of images says of it."""

    packed: Path
    packed_sha256: str
    size: int
    sha256: str

    @classmethod
    def at(cls, folder: Path) -> "PiImage":
        """Read what lies in the folder."""
        words = (folder / "sums").read_text().split()
        return cls(folder / "raspios-like-arm64.img.zst", words[0], int(words[2]), words[1])


def pi_image() -> PiImage:
    """Return the image; make it unless it is there: some minutes, and others wait.

    Raises:
        InfraError: it cannot be made.
    """
    release = host_release() or Release("debian", "bookworm")
    recipe = repr((_RECIPE, str(release), _PACKAGES, _OPTIONS, _HOOKS, _SEED, _ROOT_BYTES, BOOT_BYTES))
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:8]
    place = cache_folder() / f"{release.suite}-arm64-{time.strftime('%Y-%m')}-{digest}"
    if place.exists():
        return PiImage.at(place)
    cache_folder().mkdir(parents=True, exist_ok=True)
    with file_lock(cache_folder() / ".lock"):
        if not place.exists():
            _make(release, place)
    return PiImage.at(place)


def _make(release: Release, place: Path) -> None:
    print("making an image like Raspberry Pi OS for the tests (once a month; ten minutes)", file=sys.stderr, flush=True)
    fresh = place.with_name(f".{place.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    tree = fresh / "tree"
    fresh.mkdir()
    _run_arm64_here()
    settings = LocalSettings()
    with apt_cache() as proxy:
        sources = read_sources(release, host_release(), settings)
        debootstrap(
            release, sources, _PACKAGES, _HOOKS, tree, proxy=proxy, mode="root", options=_OPTIONS, timeout_s=_TIMEOUT_S
        )
    _finish(fresh)
    for old in cache_folder().glob(f"{release.suite}-arm64-*"):
        shutil.rmtree(old)
    fresh.rename(place)


def _finish(fresh: Path) -> None:
    """Turn the folder `tree` into a packed image, and note its sums."""
    tree, raw = fresh / "tree", fresh / "raw.img"
    _boot(tree, fresh / "boot.fat")
    root = fresh / "root.ext4"
    options = ["-q", "-t", "ext4", "-L", "rootfs", "-E", "lazy_itable_init=1", "-d", str(tree)]
    _run(["mke2fs", *options, str(root), f"{_ROOT_BYTES // MIB}M"])
    shutil.rmtree(tree)
    _join(raw, fresh / "boot.fat", root)
    packed = fresh / "raspios-like-arm64.img.zst"
    with packed.open("wb") as out:
        subprocess.run(["zstd", "-q", "-3", "-T0", "-c", raw], stdout=out, check=True, timeout=1200)
    sums = [hashlib.file_digest(path.open("rb"), "sha256").hexdigest() for path in (packed, raw)]
    (fresh / "sums").write_text(f"{sums[0]} {sums[1]} {raw.stat().st_size}\n")
    raw.unlink()


def _boot(tree: Path, fat: Path) -> None:
    """Make the boot partition: kernel and RAM disk under the firmware's names, and the files that it reads."""
    with fat.open("wb") as file:
        file.truncate(BOOT_BYTES)
    _run(["mkfs.vfat", "-F", "32", "-n", "bootfs", str(fat)])
    for pattern, name in (("vmlinuz-*", "kernel8.img"), ("initrd.img-*", "initramfs8")):
        found = sorted((tree / "boot").glob(pattern))[-1]
        _run(["mcopy", "-i", str(fat), str(found), f"::{name}"])
    for name, text in _SEED.items():
        source = fat.with_name(name)
        source.write_text(text)
        _run(["mcopy", "-i", str(fat), str(source), f"::{name}"])
        source.unlink()


def _join(raw: Path, boot: Path, root: Path) -> None:
    """Put both partitions behind a partition table; holes stay holes."""
    with raw.open("wb") as file:
        file.truncate(BOOT_START + BOOT_BYTES + _ROOT_BYTES)
    first, second = BOOT_START // 512, (BOOT_START + BOOT_BYTES) // 512
    table = f"label: dos\nstart={first}, size={BOOT_BYTES // 512}, type=c\n"
    table += f"start={second}, size={_ROOT_BYTES // 512}, type=83\n"
    _run(["sfdisk", "-q", str(raw)], stdin=table)
    for part, start in ((boot, first), (root, second)):
        _run(["dd", f"if={part}", f"of={raw}", "bs=1M", f"seek={start // 2048}", "conv=notrunc,sparse", "status=none"])
        part.unlink()


def _run_arm64_here() -> None:
    """Let the kernel run arm64's programs by qemu-user: Debian's package does it where systemd starts its service."""
    formats = Path("/proc/sys/fs/binfmt_misc")
    if (formats / "qemu-aarch64").exists():
        return
    if not (formats / "register").exists():
        _run(["mount", "-t", "binfmt_misc", "none", str(formats)])
    _run(["update-binfmts", "--enable", "qemu-aarch64"])
    if not (formats / "qemu-aarch64").exists():
        raise Misconfigured(
            "this kernel does not run arm64 programs", "apt-get install qemu-user-static binfmt-support"
        )


def _run(argv: Sequence[str], stdin: str = "") -> None:
    run(argv, stdin=stdin, timeout_s=600, env={"PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"})


if __name__ == "__main__":
    try:
        pi_image()
    except InfraError as error:
        print(error.message)
        sys.exit(1)
