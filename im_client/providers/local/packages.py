"""Programs that the provider runs and the Debian packages that hold them.

`python -m im_client.providers.local.packages [nspawn|qemu]` prints the packages that are missing here, one a line.
"""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["NSPAWN", "OPTIONAL", "QEMU", "Program", "install_command", "missing_programs"]


@dataclass(frozen=True, slots=True)
class Program:
    """A program and the package that holds it, alike in Debian and Ubuntu."""

    name: str
    package: str


NSPAWN: Final = (
    Program("systemd-nspawn", "systemd-container"),
    Program("mmdebstrap", "mmdebstrap"),
    Program("ip", "iproute2"),
    Program("unshare", "util-linux"),
    Program("setsid", "util-linux"),
    Program("mount", "mount"),
    Program("mkfs.ext4", "e2fsprogs"),
    Program("ssh", "openssh-client"),
)
"""For root's machines."""
QEMU: Final = (
    Program("qemu-system-x86_64", "qemu-system-x86"),
    Program("qemu-img", "qemu-utils"),
    Program("mmdebstrap", "mmdebstrap"),
    Program("newuidmap", "uidmap"),
    Program("flock", "util-linux"),
    Program("mke2fs", "e2fsprogs"),
    Program("ssh", "openssh-client"),
)
"""For an ordinary user's machines."""
OPTIONAL: Final = (Program("apt-cacher-ng", "apt-cacher-ng"), Program("nft", "nftables"))
"""Useful to root's machines: one download for all of them; a way out."""
_PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""An ordinary user's path often lacks the sbin folders."""


def missing_programs(kind: str, *, with_optional: bool = False) -> tuple[Program, ...]:
    """Return the programs for `nspawn` or `qemu` that are not installed."""
    wanted = {"nspawn": NSPAWN, "qemu": QEMU}[kind] + (OPTIONAL if with_optional and kind == "nspawn" else ())
    return tuple(program for program in wanted if shutil.which(program.name, path=_PATH) is None)


def install_command(programs: Sequence[Program]) -> str:
    """Write the command that installs them."""
    return "apt-get install " + " ".join(sorted({program.package for program in programs}))


def main(argv: Sequence[str]) -> int:
    """Print the missing packages, for `apt-get install`."""
    kind = argv[0] if argv else "nspawn"
    for package in sorted({program.package for program in missing_programs(kind, with_optional=True)}):
        sys.stdout.write(f"{package}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
