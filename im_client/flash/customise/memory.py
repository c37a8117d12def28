"""Files of a card on their way through this computer: in memory, so that no key lies on a disk of it."""

import os
import tempfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from infracore.scratch import scratch_folder

__all__ = ["memory_folder"]

_MEMORY: Final = Path("/dev/shm")  # noqa: S108 - private folders are made in it


def memory_folder() -> AbstractContextManager[Path]:
    """Return a private folder in memory where there is such a place, else among temporary files."""
    return scratch_folder(_MEMORY if os.access(_MEMORY, os.W_OK) else Path(tempfile.gettempdir()), "im-flash-")
