"""What is IPMI's own, against BMCs of OpenIPMI's simulator."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from clues.options import MachineOption, Pool
from clues.power.base import Order, PowerDriver, PowerState
from clues.power.registry import load_drivers
from infracore.errors import InfraError, Misconfigured, Transient, Unauthorised
from tests.rigs.ipmi import CIPHER, PASSWORD, USER, Bmc, bmc

pytestmark = pytest.mark.ipmi
_Opener = Callable[..., PowerDriver]


@pytest.fixture
def board(tmp_path: Path) -> Iterator[Bmc]:
    with bmc(tmp_path, "m1") as started:
        yield started


@pytest.fixture
def opener(board: Bmc, monkeypatch: pytest.MonkeyPatch) -> Iterator[_Opener]:
    """Open a driver for the board, with changed settings."""
    monkeypatch.setenv("BMC_PASSWORD", PASSWORD)
    with ExitStack() as stack:

        def opened(address: str = "127.0.0.1", port: int = 0, **changed: object) -> PowerDriver:
            text = {"type": "ipmi", "user": USER, "password": {"env": "BMC_PASSWORD"}, "cipher": CIPHER}
            text |= {"poll_s": 0.1, "grace_s": 10.0, **changed}
            machines = (MachineOption("m1", address=address, port=port or board.port),)
            driver = load_drivers({"d": text}, [Pool("p", driver="d", machines=machines)])["d"]
            stack.callback(driver.close)
            return driver

        yield opened


def _order(board: Bmc) -> Order:
    return Order("t", "p", MachineOption("m1", address="127.0.0.1", port=board.port))


def test_the_system_is_asked_to_go_and_power_is_not_cut(board: Bmc, opener: _Opener) -> None:
    board.switch(on=True)
    opener().off("p", ["m1"], token="x")
    assert (board.is_on, board.orders()) == (False, ["shutdown 1"])


def test_a_shutdown_that_takes_its_time_is_waited_for(board: Bmc, opener: _Opener) -> None:
    board.switch(on=True)
    board.hears_no_shutdown()
    going = threading.Timer(1.0, board.switch, kwargs={"on": False})
    going.start()
    opener().off("p", ["m1"], token="x")
    going.join()
    assert board.orders() == ["shutdown 1"]


def test_power_is_cut_after_the_grace_where_the_system_does_not_listen(board: Bmc, opener: _Opener) -> None:
    board.switch(on=True)
    board.hears_no_shutdown()
    begun = time.monotonic()
    opener(grace_s=1.0).off("p", ["m1"], token="x")
    assert time.monotonic() - begun >= 1.0
    assert (board.is_on, board.orders()) == (False, ["shutdown 1", "power 0"])


def test_power_is_cut_where_the_bmc_knows_no_shutdown(board: Bmc, opener: _Opener) -> None:
    board.switch(on=True)
    board.knows_no_shutdown()
    opener().off("p", ["m1"], token="x")
    assert (board.is_on, board.orders()) == (False, ["shutdown 1", "power 0"])


def test_without_grace_nobody_is_asked(board: Bmc, opener: _Opener) -> None:
    board.switch(on=True)
    opener(grace_s=0.0).off("p", ["m1"], token="x")
    assert board.orders() == ["power 0"]


def test_a_machine_that_is_on_is_not_turned_on_again(board: Bmc, opener: _Opener) -> None:
    driver = opener()
    for _ in range(2):
        driver.on([_order(board)])
    assert board.orders() == ["power 1"]


@pytest.mark.parametrize(
    ("changed", "error", "says"),
    [
        ({"user": "nobody"}, Unauthorised, "unauthorized name"),
        ({"privilege": "USER"}, Unauthorised, "Insufficient privilege"),
        ({"cipher": 17}, Misconfigured, "invalid authentication algorithm"),
        ({"address": "no-such..host"}, Misconfigured, r"no-such\.\.host"),
        ({"port": 9, "retries": 1}, Transient, "Unable to establish"),
    ],
    ids=["user", "privilege", "cipher", "host", "nobody-there"],
)
def test_why_it_failed_is_told(
    board: Bmc, opener: _Opener, changed: dict[str, object], error: type[InfraError], says: str
) -> None:
    with pytest.raises(error, match=says) as raised:
        opener(**changed).on([_order(board)])
    assert type(raised.value) is error
    assert PASSWORD not in str(raised.value)
    assert not board.is_on


def test_the_password_of_the_settings_wins_over_one_of_the_environment(
    board: Bmc, opener: _Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IPMITOOL_PASSWORD", "another")
    (report,) = opener().list("p")
    assert report.state is PowerState.OFF


def test_a_bmc_that_does_not_say_its_cipher_suites_is_served_all_the_same(board: Bmc, opener: _Opener) -> None:
    (report,) = opener(cipher=None).list("p")
    assert report.state is PowerState.OFF
