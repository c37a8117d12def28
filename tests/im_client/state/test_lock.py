"""One writer an infrastructure, between threads and between processes."""

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from im_client.state.lock import hold, holder
from infracore.clock import FakeClock, SystemClock
from infracore.errors import Cancelled, Locked, Misconfigured

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from pathlib import Path
from im_client.state.lock import hold
with hold(Path(sys.argv[1]), "web", "deploy"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Another process that holds the lock of `web` until its standard input ends."""
    argv = [sys.executable, "-c", PROGRAM, str(tmp_path)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        yield child
        child.kill()


def take(folder: Path, **options: object) -> None:
    with hold(folder, "web", "scale", **options):  # type: ignore[arg-type]
        pass


def test_a_second_process_is_refused_and_told_by_whom(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    clock = FakeClock(SystemClock().now() + 12)
    expected = rf"infrastructure demo is being changed by `im deploy` \(process {other.pid}, since 1[2-9]\.\d s\)"
    with pytest.raises(Locked, match=expected) as caught:
        take(tmp_path, clock=clock, name="demo")
    assert "--wait" in caught.value.hint


def test_who_holds_it_can_be_asked(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    who = holder(tmp_path, "web")
    assert who is not None
    assert (who.pid, who.verb) == (other.pid, "deploy")
    assert holder(tmp_path, "another") is None


def test_asking_does_not_take_it(tmp_path: Path) -> None:
    take(tmp_path)
    asked = holder(tmp_path, "web")
    take(tmp_path)
    assert asked is None


def test_the_kernel_frees_it_when_its_holder_is_killed(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    other.send_signal(signal.SIGKILL)
    other.wait(60)
    assert holder(tmp_path, "web") is None
    take(tmp_path)


def test_it_waits_until_the_other_has_ended(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    class EndsTheOther(FakeClock):
        def wait(self, event: threading.Event, timeout_s: float) -> bool:
            assert other.stdin is not None
            if not other.stdin.closed:
                other.stdin.close()
                other.wait(60)
            return super().wait(event, timeout_s)

    clock = EndsTheOther()
    with hold(tmp_path, "web", "scale", wait_s=100.0, clock=clock):
        who = holder(tmp_path, "web")
    assert who is not None
    assert (who.pid, who.verb) == (os.getpid(), "scale")
    assert clock.now() - FakeClock().now() < 1.0


def test_it_waits_no_longer_than_it_was_told(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    clock = FakeClock()
    with pytest.raises(Locked, match="im deploy"):
        take(tmp_path, wait_s=30.0, clock=clock)
    assert clock.now() - FakeClock().now() == pytest.approx(30.0)


def test_waiting_can_be_cancelled(tmp_path: Path, other: "subprocess.Popen[str]") -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled, match="waiting for web"):
        take(tmp_path, wait_s=30.0, cancel=cancel)


def test_two_threads_of_one_process_exclude_each_other(tmp_path: Path) -> None:
    with hold(tmp_path, "web", "deploy"), pytest.raises(Locked, match=str(os.getpid())):
        take(tmp_path)


def test_two_infrastructures_are_independent(tmp_path: Path) -> None:
    with hold(tmp_path, "web", "deploy"), hold(tmp_path, "db", "deploy"):
        assert holder(tmp_path, "web") is not None
        assert holder(tmp_path, "db") is not None


def test_it_is_freed_when_the_work_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyError), hold(tmp_path, "web", "deploy"):
        raise KeyError
    assert holder(tmp_path, "web") is None


def test_a_holder_that_has_not_written_its_name_yet_still_excludes(tmp_path: Path) -> None:
    with hold(tmp_path, "web", "deploy"):
        (tmp_path / "web.lock").write_bytes(b"")
        with pytest.raises(Locked, match="by another process"):
            take(tmp_path)
        who = holder(tmp_path, "web")
    assert who is not None
    assert who.pid == 0


def test_a_program_that_is_started_meanwhile_does_not_inherit_it(tmp_path: Path) -> None:
    with hold(tmp_path, "web", "deploy"):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    free = holder(tmp_path, "web")
    child.communicate(b"\n", timeout=60)
    assert free is None


def test_only_the_owner_may_read_who_holds_it(tmp_path: Path) -> None:
    take(tmp_path / "locks")
    assert stat.S_IMODE((tmp_path / "locks" / "web.lock").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o700


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Misconfigured, match="cannot make the lock file"):
        take(tmp_path / "file")
