"""Ctrl-C while an infrastructure is changed: the first asks to stop, the second leaves."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from infracore.exitcodes import ExitCode

__all__ = ["interruptible"]

FINISHING = "interrupted: finishing what runs; again to leave"
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interruptible(notice: Callable[[str], None], *, again: str) -> Iterator[threading.Event]:
    """Yield an event that the first SIGINT or SIGTERM sets; the second leaves at once with exit code 130.

    Leaving at once is safe: the state is saved after every step, and `again` is the command that goes on.
    Outside of the main thread nothing is caught.
    """
    cancel = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield cancel
        return

    def caught(_number: int, _frame: FrameType | None) -> None:
        if cancel.is_set():
            _leave(again)
        cancel.set()
        try:
            notice(FINISHING)
        except RuntimeError:  # the signal came in the middle of a print to the same stream: no reentrant call
            os.write(2, f"{FINISHING}\n".encode())

    before = {number: signal.signal(number, caught) for number in _SIGNALS}
    try:
        yield cancel
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _leave(again: str) -> None:
    # os._exit: the pool's threads may be in the middle of a call that takes minutes.
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    words = f"{show_cursor}\nleft; what was done is saved. To go on: {again}\n"
    os.write(2, words.encode(errors="replace"))
    os._exit(ExitCode.INTERRUPTED)
