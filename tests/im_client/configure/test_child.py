"""The guarded child, with small programs of Python."""

import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from im_client.configure.child import Ending, run_child

_EVENT = "import os; os.write(int(os.environ['FD']), {!r}); "


class Said:
    """What came out; `cancel` is set when the text `ready` comes as an event."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.output: list[str] = []
        self.cancel = threading.Event()

    def event(self, line: str) -> None:
        self.events.append(line)
        if line.startswith("ready"):
            self.cancel.set()

    def run(self, code: str, folder: Path, timeout_s: float = 30.0) -> tuple[int, Ending]:
        return run_child(
            [sys.executable, "-I", "-S", "-c", code],
            environment=lambda fd: {"FD": str(fd), "PATH": os.environ["PATH"]},
            cwd=folder,
            on_event=self.event,
            on_output=self.output.append,
            cancel=self.cancel,
            timeout_s=timeout_s,
        )


def _ended(pid: int) -> bool:
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 10)[0])
    finally:
        os.close(handle)


def test_events_and_output_come_line_by_line_and_the_status_as_it_is(tmp_path: Path) -> None:
    said = Said()
    code = _EVENT.format(b"one\ntwo\nthr\xc3\xa9e") + "print('out'); os.write(2, b'err\\nlast\\n'); raise SystemExit(7)"
    assert said.run(code, tmp_path) == (7, Ending.EXITED)
    assert said.events == ["one", "two", "thrée"]
    assert sorted(said.output) == ["err", "last", "out"]


def test_much_output_is_not_lost(tmp_path: Path) -> None:
    said = Said()
    said.run("import sys; sys.stdout.write('x' * 99 + '\\n'); sys.stdout.write(('y' * 999 + '\\n') * 3000)", tmp_path)
    assert len(said.output) == 3001


def test_a_cancel_interrupts(tmp_path: Path) -> None:
    said = Said()
    code = (
        # blocked before it says that it is ready: signal.pause() would miss a signal that comes just before it
        "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])\n"
        + _EVENT.format(b"ready\n")
        + "signal.sigwait([signal.SIGINT])\nprint('interrupted')\nraise SystemExit(99)"
    )
    assert said.run(code, tmp_path) == (99, Ending.CANCELLED)
    assert said.output == ["interrupted"]


def test_the_time_limit_ends_it(tmp_path: Path) -> None:
    assert Said().run("import signal; signal.pause()", tmp_path, timeout_s=0.3)[1] is Ending.TIMED_OUT


def test_a_grandchild_in_a_session_of_its_own_is_ended_too(tmp_path: Path) -> None:
    said = Said()
    code = (
        "import subprocess, sys\n"
        "argv = [sys.executable, '-I', '-S', '-c', 'import signal; signal.pause()']\n"
        "p = subprocess.Popen(argv, start_new_session=True)\n"
        + _EVENT.format(b"") + "os.write(int(os.environ['FD']), f'child {p.pid}\\n'.encode())"
    )  # fmt: skip
    assert said.run(code, tmp_path) == (0, Ending.EXITED)
    assert _ended(int(said.events[0].split()[1]))


_DRIVER = """
import os, sys, threading
from pathlib import Path
from im_client.configure.child import run_child
code = "import os, signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
code += "os.write(int(os.environ['FD']), f'{os.getpid()}\\\\n'.encode()); signal.pause()"
run_child([sys.executable, "-I", "-S", "-c", code], environment=lambda fd: {"FD": str(fd)}, cwd=Path("/"),
          on_event=lambda line: print(line, flush=True), on_output=print, cancel=threading.Event(), timeout_s=60)
"""


def test_the_child_of_a_killed_process_is_ended(tmp_path: Path) -> None:
    root = Path(__file__).parents[3]
    with subprocess.Popen([sys.executable, "-c", _DRIVER], stdout=subprocess.PIPE, cwd=root) as driver:
        assert driver.stdout is not None
        pid = int(driver.stdout.readline())
        driver.send_signal(signal.SIGKILL)
    assert _ended(pid)


@pytest.mark.slow
def test_what_ignores_every_wish_is_killed(tmp_path: Path) -> None:
    said = Said()
    code = (
        "import signal\nfor n in (signal.SIGINT, signal.SIGTERM): signal.signal(n, signal.SIG_IGN)\n"
        + _EVENT.format(b"ready\n") + "\nwhile True: signal.pause()"
    )  # fmt: skip
    assert said.run(code, tmp_path)[1] is Ending.CANCELLED
