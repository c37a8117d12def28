"""Ctrl-C while something is changed."""

import os
import signal
import subprocess
import sys

import pytest

from im_client.cli.interrupt import FINISHING, interruptible

_PROGRAM = """
import os, threading
from im_client.cli.interrupt import interruptible
def notice(text):
    os.write(1, f"{text}\\n".encode())
with interruptible(notice, again="im deploy t.yaml") as cancel:
    os.write(1, b"ready\\n")
    cancel.wait(60)
    threading.Event().wait(60)
"""


def test_the_first_interrupt_sets_the_event_and_says_so() -> None:
    said: list[str] = []
    with interruptible(said.append, again="im deploy t.yaml") as cancel:
        os.kill(os.getpid(), signal.SIGINT)
        assert cancel.wait(5)
    assert said == [FINISHING]


def test_an_interrupt_in_the_middle_of_a_print_is_said_all_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    def notice(_text: str) -> None:
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stdout>'>")

    with interruptible(notice, again="im deploy t.yaml") as cancel:
        os.kill(os.getpid(), signal.SIGINT)
        assert cancel.wait(5)
    assert FINISHING in capfd.readouterr().err


def test_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interruptible(lambda _: None, again=""):
        pass
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_interrupt_leaves_with_130_and_says_how_to_go_on() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == FINISHING + "\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "To go on: im deploy t.yaml" in err
