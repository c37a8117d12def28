"""What is Redfish's own, against a service of our own on loopback."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clues.options import MachineOption, Pool
from clues.power.base import Order, PowerDriver, PowerState
from clues.power.registry import load_drivers
from infracore.errors import InfraError, Misconfigured, NotFound, TimedOut, Transient, Unauthorised
from tests.rigs.process import wait_until
from tests.rigs.redfish_server import PASSWORD, SYSTEM, USER, Bmc, redfish_bmc

pytestmark = pytest.mark.slow
_Opener = Callable[..., PowerDriver]
_SESSIONS = ("POST", "/redfish/v1/SessionService/Sessions")


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Bmc]:
    with redfish_bmc(tmp_path) as started:
        yield started


@pytest.fixture
def opener(board: Bmc, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Opener]:
    """Open a driver for the board, with changed settings."""
    monkeypatch.setenv("BMC_PASSWORD", PASSWORD)
    with ExitStack() as stack:

        def opened(address: str = "127.0.0.1", **changed: object) -> PowerDriver:
            text: dict[str, object] = {
                "type": "redfish",
                "user": USER,
                "password": {"env": "BMC_PASSWORD"},
                "ca_file": str(board.ca_file),
            }
            text |= {"poll_s": 0.1, "grace_s": 10.0, **changed}
            machines = (MachineOption("m1", address=address, port=board.port),)
            driver = load_drivers({"d": text}, [Pool("p", driver="d", machines=machines)])["d"]
            stack.callback(driver.close)
            return driver

        yield opened


_ORDER = Order("t", "p", MachineOption("m1"))


@pytest.mark.parametrize("auth", ["session", "basic"])
def test_both_ways_of_logging_in_work_and_leave_no_session(board: Bmc, opener: _Opener, auth: str) -> None:
    driver = opener(auth=auth)
    driver.on([_ORDER])
    (report,) = driver.list("p")
    assert (report.state, report.detail) == (PowerState.ON, "OK")
    assert (board.orders, board.sessions) == (["On"], {})


@pytest.mark.parametrize("auth", ["session", "basic"])
def test_a_wrong_password_is_unauthorised(
    board: Bmc, opener: _Opener, auth: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BMC_PASSWORD", "another")
    with pytest.raises(Unauthorised):
        opener(auth=auth).on([_ORDER])
    assert board.orders == []


def test_the_system_is_asked_to_go_and_power_is_not_cut(board: Bmc, opener: _Opener) -> None:
    board.on = True
    opener().off("p", ["m1"], token="x")
    assert (board.on, board.orders) == (False, ["GracefulShutdown"])


def test_a_bmc_that_fails_once_while_its_machine_goes_down_does_not_make_power_cut(board: Bmc, opener: _Opener) -> None:
    board.on = board.hears_no_shutdown = True
    driver = opener()
    stopped = threading.Thread(target=driver.off, args=("p", ["m1"]), kwargs={"token": "x"})
    stopped.start()
    wait_until(lambda: bool(board.orders), "it was asked to go")
    board.faults["GET", SYSTEM] = [503, 503]
    wait_until(lambda: not board.faults["GET", SYSTEM], "it failed twice")
    board.on = False
    stopped.join()
    assert board.orders == ["GracefulShutdown"]


def test_power_is_cut_after_the_grace(board: Bmc, opener: _Opener) -> None:
    board.on = board.hears_no_shutdown = True
    opener(grace_s=0.5).off("p", ["m1"], token="x")
    assert board.orders == ["GracefulShutdown", "ForceOff"]


def test_power_is_cut_where_no_graceful_shutdown_is_offered(board: Bmc, opener: _Opener) -> None:
    board.on = True
    board.reset_types = ["On", "ForceOff"]
    opener().off("p", ["m1"], token="x")
    assert board.orders == ["ForceOff"]


def test_reset_types_are_found_in_an_action_info(board: Bmc, opener: _Opener) -> None:
    board.on = board.action_info = True
    opener().off("p", ["m1"], token="x")
    assert board.orders == ["GracefulShutdown"]


@pytest.mark.parametrize("fault", ["hangs", "drips"])
@pytest.mark.parametrize("call", ["on", "off", "list"])
def test_a_server_that_never_ends_its_answer_is_given_up_in_time(
    board: Bmc, opener: _Opener, fault: str, call: str
) -> None:
    driver = opener(call_s=1.0, grace_s=0.5)
    setattr(board, fault, True)
    begun = time.monotonic()
    if call == "list":
        (report,) = driver.list("p")
        assert report.state is PowerState.UNKNOWN
    else:
        with pytest.raises(TimedOut):
            driver.on([_ORDER]) if call == "on" else driver.off("p", ["m1"], token="x")
    assert time.monotonic() - begun < 3.0


def test_closing_does_not_wait_for_an_answer(board: Bmc, opener: _Opener) -> None:
    board.drips = True
    driver = opener(call_s=60.0)
    caught: list[BaseException] = []

    def order() -> None:
        try:
            driver.on([_ORDER])
        except InfraError as error:
            caught.append(error)

    ordering = threading.Thread(target=order)
    ordering.start()
    wait_until(lambda: board.asked > 0, "it is asked")
    begun = time.monotonic()
    driver.close()
    ordering.join()
    assert caught
    assert time.monotonic() - begun < 3.0


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ((*_SESSIONS, 503), Transient, "no session now"),
        ((*_SESSIONS, 400), Unauthorised, "refuses"),
        (("GET", SYSTEM, 401), Unauthorised, "401"),
        (("GET", SYSTEM, 404), NotFound, "does not exist"),
        (("GET", SYSTEM, 500), Transient, "500"),
    ],
    ids=str,
)
def test_why_it_failed_is_told(
    board: Bmc, opener: _Opener, fault: tuple[str, str, int], error: type[InfraError], says: str
) -> None:
    method, path, status = fault
    board.faults[method, path] = [status]
    with pytest.raises(error, match=says):
        opener().on([_ORDER])
    assert board.orders == []


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"ca_file": ""}, "certificate"), ({"address": "no-such..host"}, "no such host")],
    ids=["certificate", "host"],
)
def test_what_the_settings_have_wrong_is_misconfigured(opener: _Opener, changed: dict[str, object], says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        opener(**changed).on([_ORDER])


def test_a_bmc_whose_sessions_are_all_taken_is_tried_again(board: Bmc, opener: _Opener) -> None:
    board.most_sessions = 0
    driver = opener()
    with pytest.raises(Transient):
        driver.on([_ORDER])
    board.most_sessions = 1
    driver.on([_ORDER])
    assert board.on


def test_a_port_where_nobody_listens_is_transient_and_says_so(board: Bmc, opener: _Opener) -> None:
    with pytest.raises(Transient, match=r"[Rr]efused"):
        opener(address="127.0.0.2").on([_ORDER])
