"""Limits of the kernel that are shared by all machines, for they all run as one user: root."""

import contextlib
from pathlib import Path
from typing import Final

__all__ = ["LIMITS", "low_limits", "raise_limits"]

_PROC_SYS: Final = Path("/proc/sys")
LIMITS: Final = {
    "fs/inotify/max_user_instances": 8192,
    "fs/inotify/max_user_watches": 524288,
    "kernel/keys/maxkeys": 2000,
}
"""The least that is needed. A machine takes 6 to 8 inotify instances and the kernel's default is 128: measured, from
the 19th machine on systemd-nspawn ended with status 255, as the machine's systemd could not watch anything."""


def low_limits(root: Path = _PROC_SYS) -> dict[str, int]:
    """Return the limits that are too low, with what they are now."""
    found = {}
    for name, least in LIMITS.items():
        with contextlib.suppress(FileNotFoundError):
            now = int((root / name).read_text(encoding="ascii"))
            if now < least:
                found[name] = now
    return found


def raise_limits(root: Path = _PROC_SYS) -> None:
    """Raise what is too low, until the next boot; nothing is lowered. What cannot be written stays as it is."""
    for name in low_limits(root):
        with contextlib.suppress(OSError):
            (root / name).write_text(f"{LIMITS[name]}\n", encoding="ascii")
