"""Notifications to the service manager."""

import os
import socket
from pathlib import Path

from infracore.systemd import Notifier, credential


def test_without_a_service_manager_nothing_happens() -> None:
    notifier = Notifier({})
    assert not notifier.is_there
    notifier.ready("fine")
    notifier.beat()
    notifier.stopping()


def test_a_manager_that_went_away_stops_nobody(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready()
    notifier.close()
    notifier.ready()


def test_lines_are_sent_and_the_same_status_once() -> None:
    address = f"\0im-clues-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(2)
        notifier = Notifier({"NOTIFY_SOCKET": f"@{address[1:]}"})
        notifier.status("two\nlines")
        notifier.status("two\nlines")
        notifier.stopping()
        assert listener.recv(999) == b"STATUS=two lines"
        assert listener.recv(999) == b"STOPPING=1"
        notifier.close()


def test_the_watchdog_is_fed_only_where_it_is_meant_for_us_and_not_too_often(tmp_path: Path) -> None:
    assert Notifier({"WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}).watchdog_s is None
    assert Notifier({"WATCHDOG_USEC": "x"}).watchdog_s is None
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.setblocking(False)
        now = 0.0
        notifier = Notifier({"WATCHDOG_USEC": "10000000", "NOTIFY_SOCKET": path}, lambda: now)
        for step in range(100):
            now = step / 10
            notifier.beat()
        beats = 0
        try:
            while listener.recv(99):
                beats += 1
        except BlockingIOError:
            pass
        assert beats == 5
        notifier.close()


def test_credentials_are_files_of_the_units_folder(tmp_path: Path) -> None:
    (tmp_path / "kube").write_text("x")
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    assert credential("kube", environ) == tmp_path / "kube"
    assert credential("none", environ) is None
    assert credential("../kube", environ) is None
    assert credential("kube", {}) is None
