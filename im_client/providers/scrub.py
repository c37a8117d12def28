"""What of a configured machine does not go into its golden image.

Two kinds go: what belongs to one machine (identity, addresses, logs, leases), which the next boot or the provider
makes anew, and secrets, which belong to a cluster and which its roles put there again. What the roles installed
stays: that is what an image is for.
"""

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from infracore.errors import InvalidUsage

__all__ = ["PATTERNS", "Scrubbed", "check_patterns", "scrub"]

_MACHINE: Final = (
    "etc/machine-id", "var/lib/dbus/machine-id", "etc/hostname", "etc/hosts", "etc/resolv.conf",
    "etc/ssh/ssh_host_*", "etc/apt/apt.conf.d/00im-clues",
    "var/lib/systemd/random-seed", "var/lib/systemd/credential.secret",
    "var/lib/dhcp/*", "var/lib/dhclient/*", "var/lib/NetworkManager/*", "run/systemd/netif/*",
    "var/lib/cloud/instance", "var/lib/cloud/instances", "var/lib/cloud/sem", "var/lib/cloud/data",
    "var/log/**", "var/spool/mail/*", "tmp/*", "var/tmp/*", "run/*", "var/crash/*", "var/lib/systemd/coredump/*",
    "root/.bash_history", "root/.lesshst", "root/.cache", "root/.ansible",
    "home/*/.bash_history", "home/*/.cache", "home/*/.ansible",
)  # fmt: skip
_SECRETS: Final = (
    "root/.ssh/*", "home/*/.ssh/*", "root/.kube", "home/*/.kube", "root/.netrc", "home/*/.netrc",
    "root/.aws", "home/*/.aws", "root/.config/openstack", "home/*/.config/openstack",
    "etc/munge/munge.key*", "var/lib/munge/**", "etc/slurm/*.key", "var/spool/slurmd/**", "var/spool/slurmctld/**",
    "var/lib/slurm/**",
    "etc/rancher/k3s/config.yaml", "etc/rancher/k3s/k3s.yaml", "etc/rancher/k3s/registries.yaml", "etc/rancher/node",
    "var/lib/rancher/k3s/token", "var/lib/rancher/k3s/agent/*.key", "var/lib/rancher/k3s/agent/*.crt",
    "var/lib/rancher/k3s/agent/*.kubeconfig", "var/lib/rancher/k3s/agent/token", "var/lib/rancher/k3s/agent/etc",
    "var/lib/rancher/k3s/server",
    "etc/kubernetes", "var/lib/kubelet", "var/lib/etcd", "etc/cni/net.d",
    "etc/clues/**", "etc/cluesd/**", "var/lib/clues/**", "var/lib/cluesd/**", "var/lib/im-clues", "etc/ssl/private/*",
)  # fmt: skip
PATTERNS: Final = _MACHINE + _SECRETS
"""Relative to the root. `*` stands for a part of one name; a folder goes with all in it. `/**`: all files below, the
folders stay with their owners, as services want them."""


@dataclass(frozen=True, slots=True)
class Scrubbed:
    """What was done."""

    removed: tuple[str, ...]
    """Paths that went, folders as one."""
    private: tuple[str, ...]
    """Files below /etc, /root, /opt and /srv that only their owner may read and that stay: perhaps a secret."""


def check_patterns(patterns: Iterable[str]) -> tuple[str, ...]:
    """Return further patterns as `PATTERNS` has them: from the root, without a leading slash.

    Raises:
        InvalidUsage: one is empty or leads out of the machine.
    """
    found = []
    for pattern in patterns:
        words = pattern.strip("/").split("/")
        if not pattern.startswith("/") or "" in words or {".", ".."} & set(words):
            raise InvalidUsage(f"{pattern!r} is no path of a machine", "example: /etc/app/secret.key")
        found.append("/".join(words))
    return tuple(found)


def scrub(root: Path, further: Sequence[str] = ()) -> Scrubbed:
    """Remove from a file tree, which may be hostile, all that `PATTERNS` and `further` name; report what is private.

    No symbolic link is followed: one that leads out of the tree is looked at as the link that it is.
    """
    patterns = [pattern.split("/") for pattern in (*PATTERNS, *further)]
    removed: list[str] = []
    private: list[str] = []
    with os.scandir(root) as entries:
        for entry in sorted(entries, key=lambda e: e.name):
            _visit(entry, (entry.name,), patterns, removed, private)
    return Scrubbed(tuple(removed), tuple(private))


def _visit(
    entry: "os.DirEntry[str]", words: tuple[str, ...], patterns: list[list[str]], removed: list[str], private: list[str]
) -> None:
    path = ("/" + "/".join(words)).encode(errors="replace").decode()  # a name need not be UTF-8
    is_folder = entry.is_dir(follow_symlinks=False)
    if any(_is_meant(words, pattern, is_folder=is_folder) for pattern in patterns):
        _remove(Path(entry.path), is_folder=is_folder)
        removed.append(path)
        return
    if is_folder:
        with os.scandir(entry.path) as entries:
            for inner in sorted(entries, key=lambda e: e.name):
                _visit(inner, (*words, inner.name), patterns, removed, private)
    elif words[0] in {"etc", "root", "opt", "srv"}:
        mode = entry.stat(follow_symlinks=False).st_mode
        if stat.S_ISREG(mode) and not mode & 0o077 and entry.stat(follow_symlinks=False).st_size:
            private.append(path)


def _is_meant(words: tuple[str, ...], pattern: list[str], *, is_folder: bool) -> bool:
    if pattern[-1] == "**":
        parents = pattern[:-1]
        return not is_folder and len(words) > len(parents) and _fits(words[: len(parents)], parents)
    return len(words) == len(pattern) and _fits(words, pattern)


def _fits(words: Sequence[str], pattern: Sequence[str]) -> bool:
    return all(word == part or fnmatchcase(word, part) for word, part in zip(words, pattern, strict=True))


def _remove(path: Path, *, is_folder: bool) -> None:
    if not is_folder:
        path.unlink()
        return
    with os.scandir(path) as entries:
        for entry in list(entries):
            _remove(Path(entry.path), is_folder=entry.is_dir(follow_symlinks=False))
    path.rmdir()
