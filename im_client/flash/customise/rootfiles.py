"""Files of the root partition: what root alone may read, and what no way of configuring a first boot has words for."""

from collections.abc import Sequence
from shlex import quote
from typing import Final

from im_client.flash.node import Node

__all__ = [
    "CLOUD_PART",
    "FIRST_BOOT",
    "HOST_KEY",
    "INCLUDE",
    "NETPLAN_FILE",
    "OURS",
    "PER_BOOT",
    "SSHD_PART",
    "UNIT",
    "WANTED",
    "edit_hosts",
    "edit_sshd_config",
    "first_boot_script",
    "first_boot_unit",
    "sshd_part",
]

HOST_KEY: Final = "/etc/ssh/im_host_ed25519_key"
"""Not `ssh_host_*_key`: those are deleted and made anew at the first boot, by Raspberry Pi OS's
regenerate_ssh_host_keys.service and by cloud-init's `ssh_deletekeys`."""
INCLUDE: Final = "/etc/ssh/sshd_config.d"
SSHD_PART: Final = f"{INCLUDE}/10-im-clues.conf"
NETPLAN_FILE: Final = "/etc/netplan/60-im-clues.yaml"
CLOUD_PART: Final = "/etc/cloud/cloud.cfg.d/99-im-clues.cfg"
FIRST_BOOT: Final = "/usr/local/sbin/im-first-boot"
UNIT: Final = "/etc/systemd/system/im-first-boot.service"
WANTED: Final = "/etc/systemd/system/multi-user.target.wants/im-first-boot.service"
PER_BOOT: Final = "/var/lib/cloud/scripts/per-boot/im-first-boot"
"""Run by cloud-init at the end of every boot, until it has taken itself away."""
OURS: Final = (SSHD_PART, NETPLAN_FILE, CLOUD_PART, FIRST_BOOT, UNIT, WANTED, PER_BOOT)
"""What a card that is customised again, and not flashed, may have from the last time. The host key is no part of it:
an sshd_config may name it."""


def sshd_part(node: Node, *, with_password_login: bool) -> str:
    """Return sshd's options: which key it shows, and whether it takes passwords."""
    lines = [f"HostKey {HOST_KEY}"] if node.host_key and node.host_key.private else []
    if with_password_login and node.user:
        lines.append(f"PasswordAuthentication {'yes' if node.password_login else 'no'}")
    return "".join(f"{line}\n" for line in lines)


def edit_sshd_config(text: str, part: str) -> str:
    """Return an sshd_config that includes nothing with our options before its own: sshd takes the first it reads."""
    missing = "".join(f"{line}\n" for line in part.splitlines() if line not in text.splitlines())
    return missing + text


def edit_hosts(text: str, hostname: str) -> str:
    """Return /etc/hosts with this name for 127.0.1.1, as Debian has it."""
    lines = [line for line in text.splitlines() if line.split()[:1] != ["127.0.1.1"]]
    return "\n".join([*lines, f"127.0.1.1\t{hostname}", ""])


def first_boot_script(node: Node, *, by_cloudinit: bool) -> str:
    """Return a script that installs the node's packages, runs its commands, each in a shell, and takes itself away.

    It stays, and the commands are not run, where the packages cannot be had: the next boot tries again. A command that
    fails is not tried again.
    """
    lines = ["#!/bin/sh", "failed=0", *(_packages(node.packages) if node.packages else [])]
    lines += [f"sh -c {quote(command)} || failed=1" for command in node.commands]
    if by_cloudinit:
        lines.append(f"rm -f {PER_BOOT}")
    else:
        lines += ["systemctl disable im-first-boot.service", f"rm -f {UNIT} {FIRST_BOOT}"]
    return "\n".join([*lines, "exit $failed", ""])


def _packages(packages: Sequence[str]) -> list[str]:
    """Return what installs packages.

    A board has no clock, and apt takes no list that is of tomorrow: the time is waited for. Without it, such as where
    no time server is reached, apt is told not to look at the date (apt.conf(5), "Acquire::Check-Date"), this once:
    who does not look at it takes an old list too.
    """
    return [
        "export DEBIAN_FRONTEND=noninteractive",
        "n=0",
        'until [ "$(timedatectl show --property=NTPSynchronized --value)" = yes ] || [ $n -ge 60 ]',
        "do n=$((n + 1)); sleep 2",
        "done",
        "dates=",
        "[ $n -lt 60 ] || dates='-o Acquire::Check-Date=false'",
        "dpkg --configure -a",  # where the power went at the first try
        "for try in 1 2 3 4 5 6",
        "do apt-get -q $dates update && break",
        "sleep 10",
        "done",
        f"if ! apt-get -q -y install {' '.join(quote(package) for package in packages)}",
        "then echo 'im-first-boot: the packages are not installed; the next boot tries again' >&2",
        "exit 1",
        "fi",
    ]


def first_boot_unit() -> str:
    """Return the unit that starts the script once there is a network."""
    return "\n".join(
        [
            "[Unit]",
            "Description=What im flash was told to do at the first boot",
            "Wants=network-online.target",
            "After=network-online.target",
            f"ConditionPathExists={FIRST_BOOT}",
            "",
            "[Service]",
            "Type=oneshot",
            f"ExecStart={FIRST_BOOT}",
            "TimeoutStartSec=infinity",
            "",
            "[Install]",
            "WantedBy=multi-user.target",
            "",
        ]
    )
