"""Client and server on a real unix socket: every method, every error, and what strangers may do."""

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clues.api.client import Client, NotRunning
from clues.api.peer import Peer, Rights, peer_of
from clues.api.server import start_servers
from clues.api.wire import ChangeRequest, error_of, fault_of, status_of
from infracore.errors import Conflict, InfraError, InvalidUsage, Misconfigured, NotFound, TimedOut, Unauthorised
from tests.clues.api.fake_control import NOW, FakeControl, plain


@pytest.fixture
def control() -> FakeControl:
    return FakeControl(history=({"type": "started", "at": NOW - 5}, {"type": "node", "at": NOW - 4, "name": "ü☃"}))


@pytest.fixture
def path(tmp_path: Path, control: FakeControl) -> Iterator[Path]:
    path = tmp_path / "run" / "clues.sock"
    servers = start_servers(control, socket_path=path, poll_s=0.005)
    yield path
    servers.close()
    assert not path.exists()


@pytest.fixture
def client(path: Path) -> Client:
    return Client(path)


def test_what_is_read_comes_back_as_it_was(client: Client, control: FakeControl) -> None:
    assert client.status() == control.state
    assert tuple(client.nodes()) == control.views
    assert tuple(client.pods()) == control.verdicts
    assert client.last_decision() == control.decision
    assert client.records(since=NOW - 10, until=NOW) == control.history
    assert client.records(since=NOW, until=NOW + 1) == ()
    for name in ("big-1", "team/huge"):
        assert client.why(name) == plain(control.why(name))


def test_records_that_are_cut_off_or_fail_in_the_middle_are_not_taken_for_all(
    client: Client, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(tuple[object, ...]):
        def __iter__(self) -> Iterator[object]:
            yield {"type": "started", "at": NOW}
            raise self.error

        error: BaseException = Conflict("the history is being moved", "wait")

    def records(*, since: float, until: float) -> Failing:
        return Failing()

    monkeypatch.setattr(control, "records", records)
    with pytest.raises(Conflict, match="being moved"):
        client.records(since=0, until=NOW)
    monkeypatch.setattr(Failing, "error", BrokenPipeError())
    with pytest.raises(InfraError, match="were cut off"):
        client.records(since=0, until=NOW)
    monkeypatch.setattr(Failing, "error", ZeroDivisionError())
    with pytest.raises(InfraError, match="does not understand"):
        client.records(since=0, until=NOW)


def test_no_decision_yet_is_none(client: Client, control: FakeControl) -> None:
    control.decision = None
    assert client.last_decision() is None


def test_changes_reach_the_daemon_with_all_their_words(client: Client, control: FakeControl) -> None:
    assert client.power_on(["pi-1", "big=2"]) == ("pi-1 is ordered", "big=2 is ordered")
    client.power_off(["big-1"], force=True)
    client.hold([], reason="moving house")
    client.release(["pi-1"])
    client.enable(["pi-2"])
    client.disable(["pi-2"], reason="fan ü")
    assert client.reload() == ("reloaded",)
    assert control.asked == [
        ("power_on", ("pi-1", "big=2")), ("power_off", ("big-1",), True), ("hold", (), "moving house"),
        ("release", ("pi-1",)), ("enable", ("pi-2",)), ("disable", ("pi-2",), "fan ü"),
    ]  # fmt: skip


def test_errors_come_back_as_themselves_with_their_hint(client: Client) -> None:
    with pytest.raises(NotFound, match="no machine 'nosuch'") as caught:
        client.power_on(["nosuch"])
    assert caught.value.hint == "clues nodes"
    with pytest.raises(Conflict, match="master is not managed"):
        client.power_off(["master"])
    with pytest.raises(NotFound):
        client.why("\udcff/\x00?&name=big-1")


def test_a_defect_in_the_daemon_is_an_error_of_one_request(client: Client, control: FakeControl) -> None:
    control.error = ZeroDivisionError("oops")
    with pytest.raises(InfraError, match="cluesd has a defect: ZeroDivisionError: oops"):
        client.status()
    control.error = None
    assert client.status().version


def test_a_daemon_that_does_not_run_is_said_with_how_to_start_it(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing.sock", tmp_path / "left.sock"):
        if path.name == "left.sock":
            with socket.socket(socket.AF_UNIX) as left:
                left.bind(str(path))
        with pytest.raises(NotRunning, match="cluesd is not running") as caught:
            Client(path).status()
        assert "systemctl start cluesd" in caught.value.hint
        assert caught.value.exit_code == 1


def test_a_daemon_that_does_not_answer_is_given_up(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as deaf:
        deaf.bind(str(tmp_path / "s"))
        deaf.listen()
        with pytest.raises(TimedOut, match=r"did not answer within 0\.05 s"):
            Client(tmp_path / "s", timeout_s=0.05).status()


def raw(path: Path, request: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(str(path))
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /v1/nosuch HTTP/1.0\r\n\r\n", 404),
        (b"GET /etc/passwd HTTP/1.0\r\n\r\n", 404),
        (b"GET /v1/hold HTTP/1.0\r\n\r\n", 404),
        (b"POST /v1/status HTTP/1.0\r\n\r\n", 404),
        (b"POST /v1/hold HTTP/1.0\r\n\r\n", 400),
        (b"POST /v1/hold HTTP/1.0\r\nContent-Length: 9999999\r\n\r\n", 400),
        (b"POST /v1/hold HTTP/1.0\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST /v1/hold HTTP/1.0\r\nContent-Length: 99\r\n\r\n{}", 400),
        (b'POST /v1/hold HTTP/1.0\r\nContent-Length: 11\r\n\r\n{"nam":[1]}', 400),
        (b'POST /v1/hold HTTP/1.0\r\nContent-Length: 13\r\n\r\n{"names":[1]}', 400),
        (b"POST /v1/hold HTTP/1.0\r\nContent-Length: 4\r\n\r\n\xff\xfe\xfd\xfc", 400),
        (b"GET /v1/records?since=nan&until=1 HTTP/1.0\r\n\r\n", 400),
        (b"GET /v1/records?since=2&until=1 HTTP/1.0\r\n\r\n", 400),
        (b"GET /v1/records HTTP/1.0\r\n\r\n", 400),
        (b"DELETE /v1/status HTTP/1.0\r\n\r\n", 501),
        (b"\x16\x03\x01\x00\r\n\r\n", 400),
        (b"GET /" + b"a" * 70000 + b" HTTP/1.0\r\n\r\n", 414),
    ],
)
def test_hostile_requests_are_refused_and_change_nothing(
    path: Path, control: FakeControl, request_: bytes, status: int
) -> None:
    answer = raw(path, request_)
    assert str(status).encode() in answer[:400]
    assert control.asked == []
    assert Client(path).status().version


def test_everybody_may_look(path: Path) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o666


@pytest.mark.parametrize(
    ("peer", "may"),
    [
        (Peer(1, 0, frozenset()), True),
        (Peer(1, 990, frozenset()), True),
        (Peer(1, 1000, frozenset({1000, 500})), True),
        (Peer(1, 1000, frozenset({1000})), False),
        (Peer(1, 65534, frozenset({0})), False),
    ],
)
def test_root_the_daemons_user_and_the_group_may_change_something(peer: Peer, may: bool) -> None:
    assert Rights(frozenset({0, 990}), frozenset({500})).may_change(peer) is may


def test_the_kernel_says_who_is_there() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        peer = peer_of(ours)
    assert (peer.pid, peer.uid) == (os.getpid(), os.getuid())
    assert {os.getgid(), *os.getgroups()} <= peer.groups


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user: needs root")
def test_a_stranger_may_look_but_not_change(path: Path, control: FakeControl) -> None:
    for folder in (path.parent, *list(path.parents)[1:-1]):
        folder.chmod(folder.stat().st_mode | 0o055)
    # what a first request imports may lie where the other user cannot read: that is done before
    Client(path).status()
    Client(path).hold(["pi-1"])
    control.asked.clear()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:  # pragma: no cover - another process
        said = "nothing"
        try:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            said = Client(path).status().version
            Client(path).hold(["pi-1"])
            said += " held"
        except Unauthorised as error:
            said += f" refused: {error.message}"
        except BaseException as error:  # noqa: BLE001 - told to the parent
            said += repr(error)
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    assert said.startswith("0.1.0 refused: nobody may look, but not change anything (hold)")
    assert control.asked == []


def test_a_group_that_does_not_exist_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="no group 'no-such-group'"):
        start_servers(FakeControl(), socket_path=tmp_path / "s", group="no-such-group")


def test_what_a_killed_daemon_left_is_replaced_and_a_living_one_is_not(path: Path, tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="another cluesd listens"):
        start_servers(FakeControl(), socket_path=path)
    assert Client(path).status().version
    left = tmp_path / "left"
    with socket.socket(socket.AF_UNIX) as old:
        old.bind(str(left))
    servers = start_servers(FakeControl(), socket_path=left, poll_s=0.005)
    assert Client(left).status().version
    servers.close()
    servers.close()


def test_a_socket_that_cannot_be_is_a_wrong_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path, said in (
        (tmp_path / "file", "no socket"),
        (tmp_path / ("x" * 120), "longer than 107"),
        (tmp_path / "file" / "s", "cannot listen"),
    ):
        with pytest.raises(Misconfigured, match=said):
            start_servers(FakeControl(), socket_path=path)
    assert (tmp_path / "file").read_text() == "mine"


@given(st.builds(ChangeRequest, st.lists(st.text()).map(tuple), st.text(), st.booleans()))
def test_every_request_can_be_read_again(request_: ChangeRequest) -> None:
    assert msgspec.json.decode(msgspec.json.encode(request_), type=ChangeRequest) == request_


@pytest.mark.parametrize("kind", [NotFound, Conflict, InvalidUsage, Misconfigured, Unauthorised, TimedOut, InfraError])
def test_every_error_keeps_its_kind_and_its_words(kind: type[InfraError]) -> None:
    error = error_of(fault_of(kind("what", "hint")))
    assert (type(error), error.message, error.hint) == (kind, "what", "hint")
    assert status_of(error) >= 400
