"""One running program whose events and output are read until it ends, is cancelled or runs out of time."""

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

from infracore.errors import CommandFailed

__all__ = ["Ending", "run_child"]

_GUARD: Final = Path(__file__).with_name("guard.py")
_POLL_S: Final = 0.1
_TERM_AFTER_S: Final = 4.0
"""After a cancel: SIGINT at once, SIGTERM after this; the guard then kills what is left, all within 10 s."""


class Ending(StrEnum):
    """Why it ended."""

    EXITED = "exited"
    CANCELLED = "cancelled"
    TIMED_OUT = "timed-out"


class _Lines:
    """Bytes of a pipe -> whole lines."""

    def __init__(self, take: Callable[[str], None]) -> None:
        self._take = take
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.decode(errors="replace"))

    def end(self) -> None:
        if self._rest:
            self.feed(b"\n")


def run_child(
    argv: Sequence[str],
    *,
    environment: Callable[[int], Mapping[str, str]],
    cwd: Path,
    on_event: Callable[[str], None],
    on_output: Callable[[str], None],
    cancel: threading.Event,
    timeout_s: float,
) -> tuple[int, Ending]:
    """Run a program in a session of its own and return its status. Nothing of it is left then (see `guard.py`).

    `environment` gets the file descriptor on which the program writes its event lines.

    Raises:
        CommandFailed: it cannot be started.
    """
    events_in, events_out = os.pipe()
    selector = selectors.DefaultSelector()
    try:
        words = [sys.executable, "-I", "-S", str(_GUARD), str(os.getpid()), *argv]
        try:
            child = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=dict(environment(events_out)),
                cwd=cwd,
                pass_fds=(events_out,),
                start_new_session=True,
            )
        except OSError as error:
            raise CommandFailed(f"cannot run {argv[0]}: {error}") from error
        finally:
            os.close(events_out)
        assert child.stdout is not None  # noqa: S101 - a pipe was asked for
        for fd, take in ((events_in, on_event), (child.stdout.fileno(), on_output)):
            os.set_blocking(fd, False)
            selector.register(fd, selectors.EVENT_READ, _Lines(take))
        try:
            ending = _pump(child, selector, cancel, time.monotonic() + timeout_s)
        finally:
            if child.poll() is None:
                _signal(child, signal.SIGTERM)
            child.wait()
            child.stdout.close()
        return child.returncode, ending
    finally:
        selector.close()
        os.close(events_in)


def _pump(
    child: "subprocess.Popen[bytes]", selector: selectors.BaseSelector, cancel: threading.Event, deadline: float
) -> Ending:
    """Read until the program has ended. Programs that it left behind may hold its pipes open: they do not count."""
    ending = Ending.EXITED
    signals: list[tuple[float, signal.Signals]] = []
    while True:
        ended = child.poll() is not None
        got_some = _read(selector, 0.0 if ended else _POLL_S)
        if ended and not got_some:
            break
        now = time.monotonic()
        if ending is Ending.EXITED and not ended and (cancel.is_set() or now > deadline):
            ending = Ending.CANCELLED if cancel.is_set() else Ending.TIMED_OUT
            signals = [(now, signal.SIGINT), (now + _TERM_AFTER_S, signal.SIGTERM)]
        while signals and now >= signals[0][0]:
            _signal(child, signals.pop(0)[1])
    for key in list(selector.get_map().values()):
        key.data.end()
    return ending


def _read(selector: selectors.BaseSelector, timeout_s: float) -> bool:
    got_some = False
    if not selector.get_map():
        threading.Event().wait(timeout_s)
        return False
    for key, _ in selector.select(timeout_s):
        try:
            data = os.read(key.fd, 1 << 16)
        except BlockingIOError:
            continue
        if data:
            got_some = True
            key.data.feed(data)
        else:
            key.data.end()
            selector.unregister(key.fd)
    return got_some


def _signal(child: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Tell the guard, which tells the program and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(child.pid, number)
