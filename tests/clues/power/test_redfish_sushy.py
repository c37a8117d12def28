"""The driver `redfish` against a Redfish service that others wrote: OpenStack's emulator."""

from collections.abc import Iterator

import pytest

from clues.options import MachineOption, Pool
from clues.power.base import Order, PowerDriver, PowerState
from clues.power.registry import load_drivers
from infracore.errors import Misconfigured, Unauthorised
from tests.rigs.process import wait_until
from tests.rigs.sushy import PASSWORD, USER, Emulator, emulator

pytestmark = [pytest.mark.redfish, pytest.mark.timeout(200)]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with emulator(tmp_path_factory.mktemp("sushy"), ["first", "second"]) as started:
        yield started


def _driver(board: Emulator, **changed: object) -> PowerDriver:
    text: dict[str, object] = {
        "type": "redfish",
        "user": USER,
        "password": {"env": "BMC_PASSWORD"},
        "auth": "basic",
        "ca_file": str(board.ca_file),
        "systems": {"m1": board.systems[0], "m2": board.systems[1]},
        "poll_s": 0.2,
        "grace_s": 30.0,
    }
    machines = tuple(MachineOption(name, address="127.0.0.1", port=board.port) for name in ("m1", "m2"))
    return load_drivers({"d": text | changed}, [Pool("p", driver="d", machines=machines)])["d"]


def _states(driver: PowerDriver) -> dict[str, PowerState]:
    return {report.machine: report.state for report in driver.list("p")}


def test_one_of_two_systems_goes_on_and_off(board: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BMC_PASSWORD", PASSWORD)
    driver = _driver(board)
    off = {"m1": PowerState.OFF, "m2": PowerState.OFF}
    assert _states(driver) == off
    driver.on([Order("t", "p", MachineOption("m1", address="127.0.0.1", port=board.port))])
    wait_until(lambda: _states(driver) == off | {"m1": PowerState.ON}, "m1 is on")
    driver.off("p", ["m1"], token="x")  # waits for the shutdown
    assert _states(driver) == off
    driver.off("p", ["m1"], token="y")  # is off already
    driver.close()


def test_a_wrong_password_and_a_system_that_is_not_named(board: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    order = Order("t", "p", MachineOption("m1", address="127.0.0.1", port=board.port))
    monkeypatch.setenv("BMC_PASSWORD", "another")
    driver = _driver(board)
    with pytest.raises(Unauthorised):
        driver.on([order])
    driver.close()
    monkeypatch.setenv("BMC_PASSWORD", PASSWORD)
    driver = _driver(board, systems={})
    with pytest.raises(Misconfigured, match="has 2 systems"):
        driver.on([order])
    driver.close()
