"""The programs that write into a partition without mounting it."""

import os
import shutil
from pathlib import Path
from typing import Final

from infracore.errors import Misconfigured

__all__ = ["UNUSABLE_NAME", "check_programs", "is_usable_name", "program"]

UNUSABLE_NAME: Final = "a name with ?, @@ or control characters means something else to debugfs and mtools"

_PACKAGES: Final = {
    "mcopy": "mtools",
    "mdel": "mtools",
    "mdir": "mtools",
    "debugfs": "e2fsprogs",
    "e2fsck": "e2fsprogs",
}


def program(name: str) -> Path:
    """Return a program of PATH or of /usr/sbin, which PATH of a user often lacks.

    Raises:
        Misconfigured: it is not installed; the hint names its package.
    """
    found = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
    if found is None:
        raise Misconfigured(f"the program {name} is not installed", f"run: apt-get install {_PACKAGES[name]}")
    return Path(found)


def check_programs() -> None:
    """See that all are installed, before a card is written. Raises Misconfigured."""
    for name in _PACKAGES:
        program(name)


def is_usable_name(disk: Path) -> bool:
    """Whether the programs take this path for what it is."""
    text = str(disk)
    return "?" not in text and "@@" not in text and not any(character < " " for character in text)
