"""Host keys that a machine's console tells, and those that are believed when they are first shown."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from im_client.remote.first_use import console_key, learned_key
from im_client.remote.hostkeys import new_key_pair
from infracore.clock import FakeClock, SystemClock
from infracore.errors import Cancelled, Conflict, TimedOut
from tests.im_client.remote.loopback import Loopback, free_port, serve

ED = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFrD"
EC = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAI="
RSA = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABgQ=="
BEGIN, END = "-----BEGIN SSH HOST KEY KEYS-----", "-----END SSH HOST KEY KEYS-----"


def block(*keys: str, before: str = "", after: str = "\n") -> str:
    return "".join(f"{before}{line}{after}" for line in (BEGIN, *(f"{key} root@web" for key in keys), END))


@pytest.mark.parametrize(
    ("text", "kind", "key"),
    [
        (block(EC, ED, RSA), None, ED),
        (block(RSA, EC), None, EC),
        (block(EC, ED, RSA), "ssh-rsa", RSA),
        (block(EC), "ssh-ed25519", None),
        (block(ED, before="[   21.77] cloud-init[712]: ", after="\r\n"), None, ED),
        (f"boot\n{block(EC)}reboot\n{block(ED)}login: ", None, ED),
        (block(), None, None),
        ("", None, None),
        (f"{BEGIN}\n{ED} root@web\n", None, None),
        (f"{ED} root@web\n", None, None),
        (block("ssh-ed25519 not-a-key"), None, None),
    ],
)
def test_a_console_tells_the_keys_of_the_last_boot(text: str, kind: str | None, key: str | None) -> None:
    assert console_key(text, kind) == key


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Loopback]:
    started = serve(tmp_path_factory.mktemp("sshd"))
    yield started
    started.stop()


def learn(
    server: Loopback, console: str, *, port: int | None = None, clock: SystemClock | FakeClock | None = None
) -> str:
    access = replace(server.access, host_key=None)
    return learned_key(access, lambda: console, timeout_s=10, clock=SystemClock(), cancel=threading.Event())


@pytest.mark.sshd
def test_a_key_is_believed_when_the_console_tells_none_or_the_same(server: Loopback) -> None:
    key = server.access.host_key
    assert key is not None
    assert learn(server, "") == key
    assert learn(server, block(EC, key)) == key
    assert learn(server, block(EC)) == key


@pytest.mark.sshd
def test_another_key_than_the_console_told_is_refused(server: Loopback) -> None:
    with pytest.raises(Conflict, match="another SSH host key than its console told"):
        learn(server, block(new_key_pair()[0]))


@pytest.mark.sshd
def test_a_key_is_looked_at_through_another_machine(server: Loopback, tmp_path: Path) -> None:
    inner = serve(tmp_path / "inner")
    try:
        access = replace(inner.access, host_key=None, jump=server.access)
        clock, cancel = SystemClock(), threading.Event()
        assert learned_key(access, str, timeout_s=10, clock=clock, cancel=cancel) == inner.access.host_key
        away = replace(access, jump=replace(server.access, port=free_port()))
        with pytest.raises(TimedOut, match="showed no SSH host key"):
            learned_key(away, str, timeout_s=3, clock=FakeClock(), cancel=cancel)
    finally:
        inner.stop()


@pytest.mark.sshd
def test_who_is_interrupted_waits_no_longer(server: Loopback) -> None:
    cancel = threading.Event()
    cancel.set()
    access = replace(server.access, host_key=None, port=free_port())
    with pytest.raises(Cancelled):
        learned_key(access, str, timeout_s=60, clock=SystemClock(), cancel=cancel)
