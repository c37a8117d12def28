"""Long-lived processes that outlive us: known by a lock that they hold, not by their number."""

import contextlib
import os
import select
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from im_client.providers.local.records import is_locked
from infracore.errors import CommandFailed, Transient

__all__ = ["detach", "is_running", "signal_holder"]

_READY_S: Final = 20.0


def is_running(folder: Path) -> bool:
    """Tell whether the process that keeps a machine running is there."""
    return is_locked(folder / "run.lock")


def signal_holder(folder: Path, number: signal.Signals, pid_file: str = "run.lock") -> bool:
    """Send a signal to the process that holds a machine's lock; False where none runs.

    The lock is looked at after the process is held by a descriptor, so that a number used anew is never hit.
    """
    with contextlib.suppress(OSError, ValueError):
        handle = os.pidfd_open(int((folder / pid_file).read_text(encoding="ascii")))
        try:
            if is_running(folder):
                signal.pidfd_send_signal(handle, number)
                return True
        finally:
            os.close(handle)
    return False


def detach(argv: Sequence[str], log: Path, name: str) -> None:
    """Start a program in a session of its own, not as our child, and wait until it writes `ready`.

    Raises:
        CommandFailed: it ended at once.
        Transient: it did not answer in time.
    """
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        with subprocess.Popen(
            ["setsid", "--fork", *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=out, cwd="/"
        ) as child:
            _await_ready(child, name)
    finally:
        os.close(out)


def _await_ready(child: "subprocess.Popen[bytes]", name: str) -> None:
    if child.stdout is None:
        return
    readable, _, _ = select.select([child.stdout], [], [], _READY_S)
    if not readable:
        raise Transient(f"the supervisor of {name} did not answer within {_READY_S:.0f} s", retry_after_s=5)
    if child.stdout.readline().strip() != b"ready":
        raise CommandFailed(f"the supervisor of {name} ended at once", "its console says why; run: im doctor")
