"""Running programs: argument lists only, always with a time limit, never with a shell."""

import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from infracore.errors import Cancelled, CommandFailed, Misconfigured, TimedOut

__all__ = ["Completed", "run"]


_LOOK_S: Final = 0.2
"""How often it is looked whether to cancel."""
_LONGEST_S: Final = 3600.0
"""Of one wait: poll(2) takes no more than 24 days."""
_MOST_OUTPUT_BYTES: Final = 64 << 20
"""A program that prints without end must not take this process's memory."""
_CHUNK_BYTES: Final = 64 << 10


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
        Misconfigured: the program is not installed, or there is no folder `cwd`.
        CommandFailed: it ended with another status than 0, and `check` is set; or it printed more than 64 MiB.
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
        if cwd is not None and not cwd.is_dir():
            raise Misconfigured(f"there is no folder {cwd} to run {words[0]!r} in") from error
        raise Misconfigured(f"the program {words[0]!r} is not installed", "run: im doctor") from error
    except (OSError, ValueError) as error:  # ValueError: a word with a NUL
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
    child: "subprocess.Popen[bytes]", stdin: bytes, timeout_s: float, cancel: threading.Event | None
) -> tuple[bytes, bytes]:
    """Write, read and wait. Unlike `Popen.communicate` it bounds what is kept of the output."""
    assert child.stdin is not None  # noqa: S101 - all three are pipes
    assert child.stdout is not None  # noqa: S101
    assert child.stderr is not None  # noqa: S101
    ends = time.monotonic() + timeout_s
    read: dict[Any, bytearray] = {child.stdout: bytearray(), child.stderr: bytearray()}
    given = memoryview(stdin)
    with selectors.DefaultSelector() as pipes:
        for pipe in read:
            pipes.register(pipe, selectors.EVENT_READ)
        if given:
            os.set_blocking(child.stdin.fileno(), False)
            pipes.register(child.stdin, selectors.EVENT_WRITE)
        else:
            child.stdin.close()
        while pipes.get_map():
            for key, _ in pipes.select(_left_s(child, ends, cancel)):
                if key.fileobj is child.stdin:
                    given = _written(child.stdin, given)
                    is_over = not given
                else:
                    part = os.read(key.fd, _CHUNK_BYTES)
                    read[key.fileobj] += part
                    is_over = not part
                if is_over:
                    pipes.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]
            if sum(map(len, read.values())) > _MOST_OUTPUT_BYTES:
                said = f"printed more than {_MOST_OUTPUT_BYTES >> 20} MiB, and was ended"
                raise CommandFailed(f"{' '.join(map(str, child.args[:3]))} ... {said}")  # type: ignore[index]
    while child.poll() is None:
        look_again_s = _left_s(child, ends, cancel)
        with suppress(subprocess.TimeoutExpired):
            child.wait(look_again_s)
    return bytes(read[child.stdout]), bytes(read[child.stderr])


def _written(pipe: IO[bytes], given: memoryview) -> memoryview:
    """Write what the pipe takes and return the rest: nothing, once nobody reads it."""
    try:
        return given[os.write(pipe.fileno(), given[:_CHUNK_BYTES]) :]
    except BlockingIOError:
        return given
    except BrokenPipeError:
        return given[:0]


def _left_s(child: "subprocess.Popen[bytes]", ends: float, cancel: threading.Event | None) -> float:
    """Return how long to wait now. Raises TimeoutExpired, Cancelled."""
    if cancel is not None and cancel.is_set():
        raise Cancelled(f"{' '.join(map(str, child.args[:3]))} ... was cancelled")  # type: ignore[index]
    left = ends - time.monotonic()
    if left <= 0:
        raise subprocess.TimeoutExpired(child.args, 0)
    return min(left, _LONGEST_S if cancel is None else _LOOK_S)


def _end(child: "subprocess.Popen[bytes]") -> None:
    """Kill the group, also where its leader has ended and left others behind that hold the pipes."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    for pipe in (child.stdin, child.stdout, child.stderr):
        if pipe is not None:
            with suppress(OSError):  # what was still to be written has no reader any more
                pipe.close()
    child.wait()
