"""Small images with the files of a Raspberry Pi by which its way of being configured is known."""

import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path

from im_client.flash.node import Node, decode_node

BOOT_START, BOOT_SECTORS, ROOT_SECTORS = 2048, 16384, 24576
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEmqnULRDmx5BYmhfrqrfOxFTR2Fp1MMXNfWBvLSbmQG ada@lab"
HASH = "$6$Yb1/xXvPvD2w$" + "a" * 86
CMDLINE = "console=serial0,115200 console=tty1 root=PARTUUID=4e639091-02 rootfstype=ext4 fsck.repair=yes rootwait\n"
CONFIG = "# For more options see the documentation\ndtparam=audio=on\n\n[cm4]\notg_mode=1\n\n[all]\n"
SSHD = "# what Debian ships\nInclude /etc/ssh/sshd_config.d/*.conf\nKbdInteractiveAuthentication no\n"
_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"

RPI = ("/etc/rpi-issue", "/usr/lib/systemd/systemd", "/usr/sbin/NetworkManager")
TRIXIE = (*RPI, "/usr/bin/cloud-init", "/usr/sbin/netplan", "/usr/lib/aarch64-linux-gnu/libnetplan.so.1")
UBUNTU = ("/usr/bin/cloud-init", "/usr/lib/systemd/systemd", "/usr/sbin/netplan")
BOOKWORM = (*RPI, "/usr/lib/raspberrypi-sys-mods/init_config", "/usr/lib/userconf-pi/userconf-service")
DEBIAN = ("/usr/lib/systemd/systemd", "/usr/local/sbin/rpi-set-sysconf")
"""Of raspi.debian.net."""
SEED = {"user-data": "#cloud-config\n", "meta-data": "instance_id: rpios-image\n", "network-config": ""}
FIRSTBOOT = CMDLINE.replace("rootwait", "rootwait quiet init=/usr/lib/raspberrypi-sys-mods/firstboot")


def a_node(**keys: object) -> Node:
    """Return a checked node."""
    return decode_node({"hostname": "pi1", **keys}, "test")


@dataclass(frozen=True)
class Disk:
    """An image file, and what independent programs read from it."""

    path: Path

    @property
    def boot_offset(self) -> int:
        return BOOT_START * 512

    @property
    def root_offset(self) -> int:
        return (BOOT_START + BOOT_SECTORS) * 512

    def boot(self, name: str) -> str:
        done = _run("mtype", "-i", f"{self.path}@@{self.boot_offset}", f"::/{name}")
        return done.stdout

    def boot_names(self) -> set[str]:
        listed = _run("mdir", "-b", "-i", f"{self.path}@@{self.boot_offset}", "::/").stdout
        return {line.removeprefix("::/") for line in listed.splitlines()}

    def boot_bytes(self) -> bytes:
        with self.path.open("rb") as disk:
            disk.seek(self.boot_offset)
            return disk.read(BOOT_SECTORS * 512)

    def root(self, path: str) -> str:
        return _run("debugfs", "-R", f"cat {path}", f"{self.path}?offset={self.root_offset}").stdout

    def root_stat(self, path: str) -> str:
        return _run("debugfs", "-R", f"stat {path}", f"{self.path}?offset={self.root_offset}").stdout

    def root_mode(self, path: str) -> str:
        return self.root_stat(path).partition("Mode:")[2].split()[0]

    def put(self, name: str, text: bytes) -> None:
        file = self.path.with_name("file")
        file.write_bytes(text)
        _run("mcopy", "-o", "-i", f"{self.path}@@{self.boot_offset}", str(file), f"::/{name}")

    def blank_boot(self) -> None:
        with self.path.open("r+b") as disk:
            disk.seek(self.boot_offset)
            disk.write(bytes(4096))

    def index(self) -> None:
        """Let large folders of the root partition have trees of hashes, as those of a system that ran do."""
        done = _run("e2fsck", "-f", "-y", "-D", f"{self.path}?offset={self.root_offset}")
        assert "MODIFIED" in done.stdout

    def damage(self) -> None:
        """Let a file of the root partition count as free."""
        _run("debugfs", "-w", "-R", "freei /etc/hosts", f"{self.path}?offset={self.root_offset}")

    def fsck(self, folder: Path) -> None:
        """Fail where a file system is not clean."""
        _run("e2fsck", "-f", "-n", f"{self.path}?offset={self.root_offset}")
        boot = folder / "boot.fat"
        boot.write_bytes(self.boot_bytes())
        _run("fsck.vfat", "-n", str(boot))


def make_disk(
    folder: Path,
    root: tuple[str, ...] = TRIXIE,
    boot: dict[str, str] | None = None,
    etc: dict[str, str] | None = None,
) -> Disk:
    """Make an image of 20 MB: a table, FAT and ext4, the latter with empty files at `root`."""
    path = folder / "pi.img"
    end = BOOT_START + BOOT_SECTORS + ROOT_SECTORS
    table = b"".join(
        struct.pack("<8B2I", 0, 0, 0, 0, kind, 0, 0, 0, start, size)
        for kind, start, size in (
            (0x0C, BOOT_START, BOOT_SECTORS),
            (0x83, BOOT_START + BOOT_SECTORS, ROOT_SECTORS),
        )
    )
    with path.open("wb") as disk:
        disk.truncate(end * 512)
        disk.seek(446)
        disk.write(table + bytes(32) + b"\x55\xaa")
    tree = folder / "tree"
    texts = {"/etc/hosts": "127.0.0.1\tlocalhost\n127.0.1.1\traspberrypi\n", "/etc/hostname": "raspberrypi\n"}
    texts |= {"/etc/ssh/sshd_config": SSHD, "/etc/fstab": "PARTUUID=4e639091-01 /boot/firmware vfat defaults 0 2\n"}
    for name, text in {**dict.fromkeys(root, ""), **texts, **(etc or {})}.items():
        file = tree / name.removeprefix("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    made = Disk(path)
    _run("mkfs.vfat", "-F", "16", "-s", "1", "--offset", str(BOOT_START), str(path), str(BOOT_SECTORS // 2))
    _run(
        *("mke2fs", "-q", "-t", "ext4", "-d", str(tree), "-E", f"offset={made.root_offset}"),
        *(str(path), f"{ROOT_SECTORS // 2}k"),
    )
    files = {"cmdline.txt": CMDLINE, "config.txt": CONFIG, **(SEED if boot is None else boot)}
    for name, text in files.items():
        made.put(name, text.encode())
    return made


def _run(*words: str) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": _PATH, "MTOOLSRC": "/dev/null", "MTOOLS_SKIP_CHECK": "1", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0, f"{words}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done
