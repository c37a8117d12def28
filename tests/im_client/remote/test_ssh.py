"""Both shells, waiting and the command line of `im ssh` against a real sshd."""

import dataclasses
import getpass
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from im_client.remote.access import Access
from im_client.remote.hostkeys import new_key_pair
from im_client.remote.openssh import OpenSshShell, interactive_argv
from im_client.remote.options import Files
from im_client.remote.paramiko_shell import ParamikoShell
from im_client.remote.private import private_folder
from im_client.remote.shell import Shell
from im_client.remote.wait import wait_reachable
from infracore.clock import FakeClock, SystemClock
from infracore.errors import Cancelled, CommandFailed, Conflict, Misconfigured, TimedOut, Transient, Unauthorised
from tests.im_client.remote.loopback import Loopback, free_port, serve

pytestmark = pytest.mark.sshd

Opener = Callable[[Access], AbstractContextManager[Shell]]


@contextmanager
def _openssh(access: Access) -> Iterator[Shell]:
    with private_folder() as folder:
        yield OpenSshShell(access, folder)


@contextmanager
def _paramiko(access: Access) -> Iterator[Shell]:
    yield ParamikoShell(access)


@pytest.fixture(params=[_openssh, _paramiko], ids=["openssh", "paramiko"])
def opener(request: pytest.FixtureRequest) -> Opener:
    found: Opener = request.param
    return found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    started = serve(tmp_path_factory.mktemp("sshd"))
    yield started
    started.stop()


def _wrong_key(access: Access) -> Access:
    return dataclasses.replace(access, host_key=new_key_pair()[0])


def test_a_command_gives_status_output_and_error(server: Loopback, opener: Opener) -> None:
    with opener(server.access) as shell:
        done = shell.run("cat; echo out; echo err >&2; exit 3", timeout_s=20, stdin="in ", check=False)
    assert (done.status, done.stdout.strip(), done.stderr.strip()) == (3, "in out", "err")


def test_what_comes_after_the_status_belongs_to_the_command(server: Loopback, opener: Opener) -> None:
    """sshd tells the status as soon as the shell has ended; a child of it may still write."""
    with opener(server.access) as shell:
        done = shell.run("(sleep 0.3; echo late; echo later >&2) & exit 3", timeout_s=20, check=False)
    assert (done.status, done.stdout.strip(), done.stderr.strip()) == (3, "late", "later")


def test_output_that_ends_before_the_command_does_not_end_it(server: Loopback, opener: Opener) -> None:
    with opener(server.access) as shell:
        assert shell.run("exec >&- 2>&-; sleep 0.3; exit 5", timeout_s=20, check=False).status == 5
        with pytest.raises(TimedOut):
            shell.run("exec >&- 2>&-; exec sleep 60", timeout_s=1.5)


def test_a_failed_command_says_machine_status_and_its_last_words(server: Loopback, opener: Opener) -> None:
    with opener(server.access) as shell, pytest.raises(CommandFailed, match=r"127\.0\.0\.1.*status 4.*broken pump"):
        shell.run("echo broken pump >&2; exit 4", timeout_s=20)


def test_a_command_that_ends_with_255_is_not_taken_for_a_lost_connection(server: Loopback) -> None:
    with _paramiko(server.access) as shell:
        assert shell.run("exit 255", timeout_s=20, check=False).status == 255


def test_a_command_that_hangs_is_given_up(server: Loopback, opener: Opener) -> None:
    with opener(server.access) as shell, pytest.raises(TimedOut):
        shell.run("exec sleep 60", timeout_s=1.5)


def test_files_go_there_and_back(server: Loopback, opener: Opener, tmp_path: Path) -> None:
    there, back = tmp_path / "there it is", tmp_path / "back"
    (tmp_path / "one").write_bytes(b"\x00\xff" * 1000)
    with opener(server.access) as shell:
        shell.put(tmp_path / "one", str(there), timeout_s=20)
        shell.get(str(there), back, timeout_s=20)
        with pytest.raises(CommandFailed):
            shell.get(str(tmp_path / "absent"), tmp_path / "nothing", timeout_s=20)
    assert back.read_bytes() == there.read_bytes() == b"\x00\xff" * 1000


def test_another_host_key_is_a_conflict(server: Loopback, opener: Opener) -> None:
    with opener(_wrong_key(server.access)) as shell, pytest.raises(Conflict):
        shell.run("true", timeout_s=20)


def test_a_host_key_of_another_kind_is_a_conflict(server: Loopback, opener: Opener) -> None:
    ecdsa = (
        "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBEmKSENjQEezOmxkZMy7opKgwFB9nkt5YRrY"
        "MjNuG5N87uRgg6CLrbo5wAdT/y6v0mKV0U2w0WZ2YB/++Tpockg="
    )
    with opener(dataclasses.replace(server.access, host_key=ecdsa)) as shell, pytest.raises(Conflict):
        shell.run("true", timeout_s=20)


def test_a_host_whose_key_is_not_known_is_not_spoken_to(server: Loopback, opener: Opener) -> None:
    unknown = dataclasses.replace(server.access, host_key=None)
    with pytest.raises(Misconfigured), opener(unknown) as shell:
        shell.run("true", timeout_s=20)


def test_a_known_hosts_file_of_the_user_serves(server: Loopback, opener: Opener, tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    file.write_text(f"[127.0.0.1]:{server.access.port} {server.access.host_key}\n")
    with opener(dataclasses.replace(server.access, host_key=None, known_hosts_file=str(file))) as shell:
        assert shell.run("echo ok", timeout_s=20).stdout == "ok\n"


def test_a_key_that_is_not_known_there_is_refused(server: Loopback, opener: Opener) -> None:
    stranger = dataclasses.replace(server.access, private_key=new_key_pair()[1])
    with opener(stranger) as shell, pytest.raises(Unauthorised):
        shell.run("true", timeout_s=20)


def test_a_closed_port_is_worth_another_try(opener: Opener, server: Loopback) -> None:
    with opener(dataclasses.replace(server.access, port=free_port())) as shell, pytest.raises(Transient):
        shell.run("true", timeout_s=20)


def test_a_host_behind_another_is_reached_with_both_keys_checked(
    server: Loopback, opener: Opener, tmp_path: Path
) -> None:
    inner = serve(tmp_path)
    try:
        with opener(dataclasses.replace(inner.access, jump=server.access)) as shell:
            assert shell.run("echo ok", timeout_s=20).stdout == "ok\n"
        with (
            opener(dataclasses.replace(inner.access, jump=_wrong_key(server.access))) as shell,
            pytest.raises(Conflict),
        ):
            shell.run("true", timeout_s=20)
        with (
            opener(dataclasses.replace(_wrong_key(inner.access), jump=server.access)) as shell,
            pytest.raises(Conflict),
        ):
            shell.run("true", timeout_s=20)
    finally:
        inner.stop()


def test_no_key_file_is_left(server: Loopback, tmp_path: Path) -> None:
    with private_folder(tmp_path) as folder:
        OpenSshShell(server.access, folder).run("true", timeout_s=20)
        assert [p for p in folder.iterdir() if p.stat().st_mode & 0o077] == []
    assert list(tmp_path.iterdir()) == []


def test_the_interactive_command_line_logs_in(server: Loopback, tmp_path: Path) -> None:
    with private_folder(tmp_path) as folder:
        argv = interactive_argv(server.access, Files(folder), ("echo", "$((20 + 3))"))
        said = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=True, stdin=subprocess.DEVNULL)
    assert said.stdout == "23\n"


def test_waiting_ends_when_the_server_comes_up(tmp_path: Path) -> None:
    port, key = free_port(), new_key_pair()
    access = Access("127.0.0.1", port=port, user=getpass.getuser(), host_key=key[0], private_key=key[1])
    started: list[Loopback] = []
    begun = threading.Event()

    class Clock(SystemClock):
        def wait(self, event: threading.Event, timeout_s: float) -> bool:
            begun.set()
            return super().wait(event, timeout_s)

    def wait() -> None:
        wait_reachable(access, timeout_s=30, clock=Clock(), cancel=threading.Event(), grace_s=30)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        assert begun.wait(10)
        started.append(serve(tmp_path, host_key=key, port=port, authorized=False))
        try:
            keys = started[0].home / ".ssh" / "authorized_keys"
            keys.write_text(f"{key[0]}\n")  # the key comes later than the server, as at boot
            waiting.result(30)
        finally:
            started[0].stop()


def test_waiting_never_goes_on_after_a_wrong_host_key(server: Loopback) -> None:
    with pytest.raises(Conflict):
        wait_reachable(_wrong_key(server.access), timeout_s=60, clock=FakeClock(), cancel=threading.Event())


def test_a_refused_key_is_waited_for_and_then_reported(server: Loopback) -> None:
    clock = FakeClock()
    stranger = dataclasses.replace(server.access, private_key=new_key_pair()[1])
    before = clock.now()
    with pytest.raises(Unauthorised):
        wait_reachable(stranger, timeout_s=600, clock=clock, cancel=threading.Event(), grace_s=1.5)
    assert clock.now() - before >= 1.5


class _CountingClock(FakeClock):
    """Virtual time that counts how often somebody waits."""

    waits = 0

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.waits += 1
        return super().wait(event, timeout_s)


def test_a_server_that_refuses_is_not_asked_so_often_that_it_drops_us(server: Loopback) -> None:
    """sshd adds 5 s of penalty a failed login and drops connections from 15 s on."""
    clock = _CountingClock()
    stranger = dataclasses.replace(server.access, private_key=new_key_pair()[1])
    with pytest.raises(Unauthorised):
        wait_reachable(stranger, timeout_s=600, clock=clock, cancel=threading.Event(), grace_s=30)
    assert clock.waits <= 30 / 5


def test_a_machine_that_never_answers_is_reported_with_the_last_reason(server: Loopback) -> None:
    absent = dataclasses.replace(server.access, port=free_port())
    with pytest.raises(TimedOut, match="refused"):
        wait_reachable(absent, timeout_s=5, clock=FakeClock(), cancel=threading.Event())


def test_waiting_can_be_cancelled(server: Loopback) -> None:
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(Cancelled):
        wait_reachable(
            dataclasses.replace(server.access, port=free_port()), timeout_s=60, clock=SystemClock(), cancel=cancel
        )
