"""Starts a program that ends when the process that started this one ends, even by kill -9.

Run as `python -I -S guard.py PARENT_PID PROGRAM ARGUMENT...`; it replaces itself by the program.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that this process gets when its parent ends; it is kept over execve(2)."""


def main(argv: list[str]) -> None:
    """Ask for SIGTERM at the parent's end, then become the program."""
    parent = int(argv[0])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit("the parent has ended already")
    os.execvp(argv[1], argv[1:])  # noqa: S606 - an argument list of ours


if __name__ == "__main__":
    main(sys.argv[1:])
