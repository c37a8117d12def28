"""Programs are run to their end, or ended."""

import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from infracore.errors import CommandFailed, Misconfigured, TimedOut
from infracore.process import run

PYTHON = sys.executable


def test_output_status_and_input_are_passed(tmp_path: Path) -> None:
    program = "import os,sys; print(sys.stdin.read(), os.environ['A'], os.getcwd()); sys.stderr.write('e'); sys.exit(3)"
    done = run([PYTHON, "-c", program], timeout_s=60, stdin="in", env={"A": "a"}, cwd=tmp_path, check=False)
    assert (done.status, done.stdout, done.stderr) == (3, f"in a {tmp_path}\n", "e")


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert run(["printf", r"a\377b"], timeout_s=60).stdout == "a�b"


def test_a_failure_shows_the_end_of_what_was_said() -> None:
    program = "import sys; sys.stderr.write('\\n'.join(map(str, range(100)))); sys.exit(7)"
    with pytest.raises(CommandFailed, match=r"ended with status 7: 95\n96\n97\n98\n99$") as caught:
        run([PYTHON, "-c", program], timeout_s=60)
    assert caught.value.status == 7
    assert caught.value.stderr.startswith("0\n1\n")


def test_a_program_that_ended_by_a_signal_failed() -> None:
    with pytest.raises(CommandFailed) as caught:
        run([PYTHON, "-c", "import os; os.kill(os.getpid(), 9)"], timeout_s=60)
    assert caught.value.status == -signal.SIGKILL


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="'no-such-program' is not installed"):
        run(["no-such-program"], timeout_s=1)
    with pytest.raises(CommandFailed, match="cannot run"):
        run([tmp_path], timeout_s=1)


def test_a_folder_that_is_missing_and_a_word_that_cannot_be_are_named(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"there is no folder .*/none to run 'true' in"):
        run(["true"], timeout_s=60, cwd=tmp_path / "none")
    with pytest.raises(CommandFailed, match="cannot run 'echo': embedded null byte"):
        run(["echo", "a\0b"], timeout_s=60)


@pytest.mark.parametrize("stream", ["", ">&2"])
@pytest.mark.parametrize("cancel", [None, threading.Event()])
def test_a_program_that_prints_without_end_is_ended(stream: str, cancel: threading.Event | None) -> None:
    with pytest.raises(CommandFailed, match="printed more than 64 MiB, and was ended"):
        run(["sh", "-c", f"yes {stream}"], timeout_s=60, cancel=cancel)


def test_more_than_a_pipe_holds_goes_both_ways() -> None:
    text = "0123456789" * 200_000
    assert run(["cat"], timeout_s=60, stdin=text).stdout == text
    assert run(["true"], timeout_s=60, stdin=text).status == 0


def test_a_time_limit_of_years_is_one() -> None:
    assert run(["true"], timeout_s=1e300).status == 0


def test_a_program_that_closes_its_output_is_waited_for() -> None:
    with pytest.raises(TimedOut):
        run(["sh", "-c", "exec >&- 2>&-; sleep 1000"], timeout_s=0.3)
    assert run(["sh", "-c", "exec >&- 2>&-; exit 7"], timeout_s=60, check=False).status == 7


def alive(process: int) -> bool:
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
    return stat.rsplit(")", 1)[1].split()[0] != "Z"


@pytest.mark.parametrize("leader", ["waits", "has ended"])
def test_when_the_time_is_over_the_whole_group_is_killed(tmp_path: Path, leader: str) -> None:
    """Also the members that outlive their leader and hold its output open."""
    note = tmp_path / "pid"
    end = "; wait" if leader == "waits" else ""
    with pytest.raises(TimedOut, match="did not end within 1 s"):
        run(["sh", "-c", f"sleep 1000 & echo $! > {note}{end}"], timeout_s=1.0)
    child = int(note.read_text())
    # SIGKILL is delivered before kill(2) returns to a caller on the same core, else within moments
    for _ in range(10_000):
        if not alive(child):
            break
        os.sched_yield()
    assert not alive(child)
