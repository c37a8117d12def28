"""Stands between us and a program, so that nothing of it is left when it ends, is stopped, or we are killed.

Run as `python -I -S guard.py PARENT_PID PROGRAM ARGUMENT...`; ends with the program's status. SIGINT is handed on to
the program; SIGTERM, which also comes when the parent ends even by kill -9, ends it and all that it started. Workers
of Ansible and connections of ssh make sessions of their own: the guard is the reaper of its descendants (prctl(2)),
so that none gets out of sight.
"""

import contextlib
import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_WATCHED = (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM)
_GRACE_S = 3.0
"""How long the program may take to end after SIGTERM."""
_REST_S = 0.5
"""How long what it left behind may take after SIGTERM."""


def main(argv: list[str]) -> int:
    """Run the program to its end and return its status, 128 and the signal where one ended it."""
    prctl = ctypes.CDLL(None).prctl
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
    if os.getppid() != int(argv[0]):
        return 128 + signal.SIGTERM
    program = os.fork()
    if program == 0:
        _become(argv[1:], prctl)
    status = _watch(program)
    _end_the_rest()
    return status


def _become(argv: list[str], prctl: Callable[[int, int], int]) -> None:
    prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
    try:
        os.execvp(argv[0], argv)  # noqa: S606 - an argument list of ours
    finally:
        os._exit(127)


def _watch(program: int) -> int:
    deadline = None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        told: signal.struct_siginfo | None = (
            signal.sigwaitinfo(_WATCHED) if left is None else signal.sigtimedwait(_WATCHED, left)
        )
        status = _reap(program)
        if status is not None:
            return status
        if told is None:
            _send(program, signal.SIGKILL)
            deadline = time.monotonic() + _GRACE_S
        elif told.si_signo == signal.SIGINT:
            _send(program, signal.SIGINT)
        elif told.si_signo == signal.SIGTERM:
            _send(program, signal.SIGTERM)
            deadline = deadline or time.monotonic() + _GRACE_S


def _reap(program: int = 0) -> int | None:
    """Reap what has ended; return the program's status once it is among them."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            if ended[0] == program:
                code = os.waitstatus_to_exitcode(ended[1])
                found = code if code >= 0 else 128 - code
    return found


def _end_the_rest() -> None:
    """End what the program left behind: persistent connections, workers, their children."""
    deadline = time.monotonic() + _REST_S
    for pid in _descendants():
        _send(pid, signal.SIGTERM)
    while rest := _descendants():
        if time.monotonic() > deadline:
            for pid in rest:
                _send(pid, signal.SIGKILL)
        signal.sigtimedwait((signal.SIGCHLD,), 0.05)
        _reap()


def _descendants() -> list[int]:
    children: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - pathlib is slow to import
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as stat:  # noqa: PTH123
                    children.setdefault(int(stat.read().rpartition(")")[2].split()[1]), []).append(int(name))
            except OSError:
                continue
    found = list(children.get(os.getpid(), ()))
    for pid in found:  # grows while it is walked
        found.extend(children.get(pid, ()))
    return found


def _send(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
