"""Running programs: argument lists only, always with a time limit, never with a shell."""

import math
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infracore.errors import Cancelled, CommandFailed, Misconfigured, TimedOut

__all__ = ["Completed", "run"]


_LOOK_S: Final = 0.2
"""How often it is looked whether to cancel."""


@dataclass(frozen=True, slots=True)
class Completed:
    """How a program ended. Output is decoded as UTF-8, bad bytes replaced."""

    status: int
    stdout: str
    stderr: str


def run(
    argv: Sequence[str | Path],
    *,
    timeout_s: float,
    stdin: str = "",
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    check: bool = True,
    cancel: threading.Event | None = None,
) -> Completed:
    """Run a program to its end, in a process group of its own, and return its output.

    `env` is added to this process's environment. When the time is over, or `cancel` is set, the whole
    group is killed.

    Raises:
        Misconfigured: the program is not installed.
        CommandFailed: it ended with another status than 0, and `check` is set.
        TimedOut: it did not end within `timeout_s`.
        Cancelled: `cancel` was set.
    """
    words = [str(word) for word in argv]
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **env} if env is not None else None,
            cwd=cwd,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise Misconfigured(f"the program {words[0]!r} is not installed", "run: im doctor") from error
    except OSError as error:
        raise CommandFailed(f"cannot run {words[0]!r}: {error}") from error
    try:
        out, err = _communicate(child, stdin.encode(), timeout_s, cancel)
    except BaseException as error:
        _end(child)
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimedOut(f"{' '.join(words[:3])} ... did not end within {timeout_s:g} s") from error
        raise
    done = Completed(child.returncode, out.decode(errors="replace"), err.decode(errors="replace"))
    if check and done.status != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise CommandFailed(
            f"{' '.join(words[:4])} ended with status {done.status}: {tail}",
            status=done.status,
            stderr=done.stderr,
        )
    return done


def _communicate(
    child: "subprocess.Popen[bytes]", stdin: bytes, timeout_s: float | None, cancel: threading.Event | None
) -> tuple[bytes, bytes]:
    if cancel is None:
        return child.communicate(stdin, timeout=timeout_s)
    ends = math.inf if timeout_s is None else time.monotonic() + timeout_s
    given: bytes | None = stdin
    while True:
        left = ends - time.monotonic()
        try:
            return child.communicate(given, timeout=max(0.0, min(left, _LOOK_S)))
        except subprocess.TimeoutExpired:
            given = None  # what was to be written is kept by the child's object
            if cancel.is_set():
                raise Cancelled(f"{' '.join(map(str, child.args[:3]))} ... was cancelled") from None  # type: ignore[index]
            if left <= _LOOK_S:
                raise


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Kill the group, also where its leader has ended and left others behind that hold the pipes."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with suppress(OSError):  # what was still to be written has no reader any more
                pipe.close()
    child.wait()
