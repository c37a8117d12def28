"""Writing a decision down with all that it was made of, for `clues replay` to repeat anywhere.

The format is that of the daemon's recordings (`clues.history.recording`).
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from clues.decision import Decision, Memory
from clues.history.recording import Recording, encode_recording
from clues.options import Policy, Pool
from clues.snapshot import Snapshot
from infracore.errors import InfraError, Misconfigured

__all__ = ["Decide", "save_record"]

Decide: TypeAlias = Callable[[Snapshot, Sequence[Pool], Policy, Memory], Decision]


def save_record(
    path: Path,
    *,
    snapshot: Snapshot,
    pools: Sequence[Pool],
    policy: Policy,
    memory: Memory,
    decision: Decision,
    program: str = "",
) -> None:
    """Write a record; the file is complete or not there. Raises InfraError where it cannot be written.

    What is there and is no plain file is left alone: the new file would take the place of a device or a link.
    """
    if not path.name or path.is_symlink() or (path.exists() and not path.is_file()):
        raise Misconfigured(f"cannot write the record {path}: it is no plain file", "name a file, such as plan.clues")
    content = encode_recording(Recording(program, snapshot, tuple(pools), policy, memory, decision))
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InfraError(f"cannot write the record {path}: {error.strerror or error}") from error
