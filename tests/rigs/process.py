"""A daemon of a rig: started, waited for, stopped, and let hang."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["Daemon", "daemon", "wait_until"]


def wait_until(
    is_so: Callable[[], bool],
    what: str,
    within_s: float = 20.0,
    said: Callable[[], object] | None = None,
    every_s: float = 0.05,
) -> None:
    """Ask again and again; fail when it is not so in time, with what `said` says then."""
    end = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {within_s:g} s{f': {said()}' if said else ''}")
        time.sleep(every_s)


class Daemon:
    """A running program in a process group of its own."""

    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.process = process
        self._log = log

    def hang(self) -> None:
        """Let it answer nobody any more."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def said(self) -> str:
        """Return what it wrote."""
        return self._log.read_text(errors="replace")

    def wait_for(self, answers: Callable[[], bool]) -> None:
        """Wait until it answers; tell what it said where it ends instead."""

        def ready() -> bool:
            assert self.process.poll() is None, f"ended with status {self.process.returncode}: {self.said()}"
            return answers()

        wait_until(ready, f"{self.process.args!r} answers")


@contextmanager
def daemon(argv: Sequence[str | Path], folder: Path, env: Mapping[str, str] | None = None) -> Iterator[Daemon]:
    """Run a program in the foreground; end its group at the end."""
    log = folder / f"{Path(argv[0]).name}.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(word) for word in argv],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", **(env or {})},
            start_new_session=True,
        )
    try:
        yield Daemon(process, log)
    finally:
        if process.poll() is None:
            for number in (signal.SIGCONT, signal.SIGTERM):
                os.killpg(process.pid, number)
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
