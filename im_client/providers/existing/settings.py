"""The settings of the `existing` provider."""

import os
from pathlib import Path

import msgspec

__all__ = ["ExistingSettings", "default_state_dir"]


def default_state_dir() -> Path:
    """Return where reservations rest: below `/var/lib/im-clues` for root, else below the user's state folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/im-clues/existing")
    base = os.environ.get("XDG_STATE_HOME") or str(Path.home() / ".local" / "state")
    return Path(base) / "im-clues" / "existing"


class ExistingSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What may be set."""

    hosts_file: str = ""
    """The hosts: a file as `inventories/existing/hosts.yaml` shows, or a simple Ansible inventory (YAML or INI)."""
    state_dir: str = ""
    """Folder of reservations; "" is `default_state_dir()`. Whoever shares hosts shares this folder."""
    connect_timeout_s: float = 5.0
    """How long a host may take to answer before it counts as absent."""
