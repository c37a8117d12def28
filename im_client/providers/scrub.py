"""What of a configured machine does not go into its golden image.

Two kinds go: what belongs to one machine (identity, addresses, logs, leases), which the next boot or the provider
makes anew, and secrets, which belong to a cluster and which its roles put there again. What the roles installed
stays: that is what an image is for.
"""

import inspect
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from im_client.providers import scrub_tree
from im_client.providers.scrub_tree import Scrubbed, scrub_tree_of
from infracore.errors import InvalidUsage

__all__ = ["PATTERNS", "SERVERS", "Scrubbed", "check_patterns", "scrub", "scrub_program"]

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
SERVERS: Final = (
    "var/lib/rancher/k3s/server", "var/lib/etcd", "var/spool/slurmctld/*", "var/lib/clues/*", "var/lib/cluesd/*",
)  # fmt: skip
"""What only the server of a cluster has, and what would be lost with it where the machine itself is scrubbed."""


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
    """Remove from a file tree, which may be hostile, all that `PATTERNS` and `further` name; report what is private."""
    return scrub_tree_of(str(root), (*PATTERNS, *further))


def scrub_program(patterns: Sequence[str], root: str = "/") -> str:
    """Return a program for Python 3.6 and later that removes what patterns name from the machine it runs on, as root.

    It leaves other file systems alone, ends with status 3 where the machine has what `SERVERS` names, changing
    nothing, and prints `{"removed": NUMBER, "private": [...]}`. Without patterns it only looks.
    """
    words = ", ".join(json.dumps(word) for word in (list(patterns), SERVERS, root))
    return f"{inspect.getsource(scrub_tree)}\n\nmain({words})\n"
