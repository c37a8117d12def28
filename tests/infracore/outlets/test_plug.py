"""Plugs that answer otherwise than they should, and how an address is written."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infracore.deadline import Deadline
from infracore.errors import CommandFailed, InfraError, Misconfigured, NotFound, Transient, Unauthorised
from infracore.outlets.plug import Plug, PlugAccess
from infracore.secret_source import SecretSource
from tests.rigs.plug_server import PASSWORD, PlugServer, plug_server

KINDS = ("shelly1", "shelly2", "tasmota")


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Iterator[PlugServer]:
    with plug_server(request.param) as started:
        yield started


def _now() -> Deadline:
    return Deadline("test", 10.0, threading.Event())


def _plug(server: PlugServer, folder: Path, outlet: int = 1, password: str = PASSWORD, kind: str = "") -> Plug:
    path = folder / "password"
    path.touch(mode=0o600)
    path.write_text(password)
    source = SecretSource(file=str(path)) if password else SecretSource()
    return Plug(PlugAccess(kind=kind or server.kind, password=source), server.address, outlet)  # type: ignore[arg-type]


def test_an_outlet_is_switched_and_read_and_its_neighbour_stays(server: PlugServer, tmp_path: Path) -> None:
    plug = _plug(server, tmp_path, 2)
    assert not plug.is_on(_now())
    plug.switch(True, _now())
    assert (plug.is_on(_now()), server.outlets) == (True, {1: False, 2: True})
    plug.switch(False, _now())
    assert server.orders == [(2, True), (2, False)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_plug_with_one_outlet_and_no_password_is_switched(kind: str, tmp_path: Path) -> None:
    with plug_server(kind, outlets=1, password="") as server:
        plug = _plug(server, tmp_path, password="")
        plug.switch(True, _now())
        assert plug.is_on(_now())


def test_an_outlet_that_is_not_there_is_not_found(server: PlugServer, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="outlet 3"):
        _plug(server, tmp_path, 3).switch(True, _now())
    assert server.orders == []


@pytest.mark.parametrize("password", ["", "another"])
def test_a_wrong_and_a_missing_password_are_refused(server: PlugServer, tmp_path: Path, password: str) -> None:
    with pytest.raises(Unauthorised) as raised:
        _plug(server, tmp_path, password=password).is_on(_now())
    assert PASSWORD not in raised.value.message


def test_a_plug_of_another_kind_is_told(server: PlugServer, tmp_path: Path) -> None:
    others = [kind for kind in KINDS if kind != server.kind]
    server.password = ""
    for kind in others:
        with pytest.raises(NotFound, match=kind):
            _plug(server, tmp_path, password="", kind=kind).is_on(_now())


def test_a_plug_that_says_yes_and_does_nothing_is_found_out(server: PlugServer, tmp_path: Path) -> None:
    server.is_stuck = True
    with pytest.raises(CommandFailed, match="not switched"):
        _plug(server, tmp_path).switch(True, _now())


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((200, "<html>router</html>"), CommandFailed),
        ((200, "[]"), CommandFailed),
        ((200, "[" * 20_000), CommandFailed),
        ((200, "{}"), CommandFailed),
        ((200, '{"ison": 1, "output": "on", "POWER1": "BLINK"}'), CommandFailed),
        ((302, "{}"), InfraError),
        ((403, ""), Unauthorised),
        ((418, "{}"), CommandFailed),
        ((500, "{}"), Transient),
        ((503, "busy"), Transient),
    ],
)
def test_what_is_no_answer_is_one_error(
    server: PlugServer, tmp_path: Path, answer: tuple[int, str], error: type[InfraError]
) -> None:
    server.answer = answer
    with pytest.raises(error):
        _plug(server, tmp_path).is_on(_now())


@pytest.mark.parametrize("address", ["", "a b", "http://user:x@h", "ftp://h", "h:0", "h:99999"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(Misconfigured):
        Plug(PlugAccess(kind="shelly1"), address)


@pytest.mark.parametrize("outlet", [0, -1, 65])
def test_outlets_are_counted_from_one(outlet: int) -> None:
    with pytest.raises(Misconfigured, match="no outlet"):
        Plug(PlugAccess(kind="shelly1"), "h", outlet)
