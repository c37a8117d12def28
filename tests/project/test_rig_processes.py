"""No process of a rig is lost: not one that starts others, not after a failed start, not after kill -9."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rigs.openstack.processes import Processes, end_stale, listening, rig_ids
from tests.rigs.process import wait_until

_SLEEP = [sys.executable, "-c", "import signal; signal.pause()"]
_CHILD = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])"
_OWNER = """
import signal, sys
from pathlib import Path
from tests.rigs.openstack.processes import Processes
Processes(Path(sys.argv[1]), {}).start("one", [sys.executable, "-c", "import signal; signal.pause()"])
signal.pause()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "log").mkdir()
    return tmp_path


def test_what_a_daemon_has_started_and_left_is_ended(folder: Path) -> None:
    processes = Processes(folder, {})
    processes.start("one", _SLEEP)
    processes.run("two", [sys.executable, "-c", _CHILD])
    assert len(processes.ids()) == 2
    processes.end()
    assert rig_ids(folder) == set()


def test_a_daemon_that_ends_while_waited_for_is_told_with_what_it_said(folder: Path) -> None:
    processes = Processes(folder, {})
    processes.start("one", [sys.executable, "-c", "print('no such table'); raise SystemExit(3)"])
    with pytest.raises(AssertionError, match=r"status 3:\nno such table"):
        processes.wait_for("one", lambda: False)
    processes.end()


def test_what_a_killed_owner_has_left_is_found_and_ended(folder: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    owner = subprocess.Popen([sys.executable, "-c", _OWNER, str(folder)], env=env)
    wait_until(lambda: len(rig_ids(folder)) == 1, "the daemon runs")
    assert folder not in end_stale()
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    assert len(rig_ids(folder)) == 1
    assert folder in end_stale()
    assert rig_ids(folder) == set()


def test_listening_sockets_are_told_by_address() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as four,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        heard = listening({os.getpid()})
        assert ("127.0.0.1", four.getsockname()[1]) in heard
        assert ("::1", six.getsockname()[1]) in heard
