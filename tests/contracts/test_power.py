"""The contract of `clues/power/base.py`: run against each `power_NAME.py`, with the real thing behind it."""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from clues.options import MachineOption, Pool
from clues.power.base import Order, PowerDriver, PowerState
from clues.power.registry import load_drivers
from infracore.errors import InfraError, NotFound, TimedOut, Transient
from tests.contracts.power_harness import PowerHarness
from tests.rigs.process import wait_until

_BOTH_OFF = {"m1": PowerState.OFF, "m2": PowerState.OFF}
_SLACK_S = 4.0
"""For starting programs and ending them, on a busy computer."""


def _states(driver: PowerDriver) -> dict[str, PowerState]:
    return {report.machine: report.state for report in driver.list("p")}


def _wait(driver: PowerDriver, wanted: Mapping[str, PowerState]) -> None:
    wait_until(lambda: _states(driver) == wanted, f"{wanted}")


def test_it_finds_no_fault_in_settings_that_work(driver: PowerDriver) -> None:
    assert tuple(driver.check()) == ()


def test_the_same_token_gives_the_same_receipt_and_the_machine_is_on(power: PowerHarness, driver: PowerDriver) -> None:
    assert _states(driver) == _BOTH_OFF
    order = Order("t1", "p", power.machines[0])
    (receipt,) = driver.on([order])
    assert (receipt.token, receipt.machine, receipt.node) == ("t1", "m1", "n1")
    _wait(driver, {"m1": PowerState.ON, "m2": PowerState.OFF})
    assert list(driver.on([order])) == [receipt]
    assert _states(driver) == {"m1": PowerState.ON, "m2": PowerState.OFF}
    assert power.powered() in (None, {"m1": True, "m2": False})


def test_off_of_what_is_off_or_unknown_succeeds(power: PowerHarness, driver: PowerDriver) -> None:
    driver.on([Order(f"t{m.name}", "p", m) for m in power.machines])
    _wait(driver, {"m1": PowerState.ON, "m2": PowerState.ON})
    for _ in range(2):
        driver.off("p", ["m1", "gone"], token="x")
        _wait(driver, {"m1": PowerState.OFF, "m2": PowerState.ON})
    assert power.powered() in (None, {"m1": False, "m2": True})


def test_an_unknown_pool_or_machine_is_not_found(driver: PowerDriver) -> None:
    for call in (lambda: driver.list("other"), lambda: driver.on([Order("t", "p", MachineOption("other"))])):
        with pytest.raises(NotFound):
            call()


def test_what_somebody_else_turned_on_is_seen_and_can_be_turned_off(power: PowerHarness, driver: PowerDriver) -> None:
    if not power.switch("m2", on=True):
        pytest.skip("nobody else can turn it on")
    _wait(driver, {"m1": PowerState.OFF, "m2": PowerState.ON})
    driver.off("p", ["m2"], token="x")
    _wait(driver, _BOTH_OFF)


def test_it_may_be_called_from_several_threads(power: PowerHarness, driver: PowerDriver) -> None:
    with ThreadPoolExecutor(4) as threads:
        orders = [Order(f"{number}", "p", power.machines[number % 2]) for number in range(4)]
        ordered = [threads.submit(driver.on, [order]) for order in orders]
        looked = [threads.submit(driver.list, "p") for _ in range(2)]
        assert [receipt.machine for call in ordered for receipt in call.result()] == ["m1", "m2", "m1", "m2"]
        assert all(len(call.result()) == 2 for call in looked)
    _wait(driver, {"m1": PowerState.ON, "m2": PowerState.ON})


def test_what_is_refused_changes_nothing(power: PowerHarness) -> None:
    if power.refused is None:
        pytest.skip("it asks for no password")
    opened = load_drivers({"d": power.refused}, [Pool("p", driver="d", machines=power.machines)])["d"]
    try:
        power.switch("m1", on=True)
        wait_until(lambda: power.powered() == {"m1": True, "m2": False}, "m1 is on")
        with pytest.raises(power.refusal):
            opened.off("p", ["m1"], token="x")
        if power.refuses_on:
            with pytest.raises(power.refusal):
                opened.on([Order("t", "p", power.machines[1])])
        assert power.powered() == {"m1": True, "m2": False}
    finally:
        opened.close()


@pytest.mark.slow
def test_a_call_ends_in_time_where_nothing_answers(power: PowerHarness) -> None:
    if not power.hang():
        pytest.skip("it never hangs")
    short = {"call_s": 1.0, "grace_s": 0.5, "settle_s": 0.1, "halt_s": 0.1}
    text = {**power.text, **{key: value for key, value in short.items() if key in power.text or key == "call_s"}}
    opened = load_drivers({"d": text}, [Pool("p", driver="d", machines=power.machines)])["d"]
    try:
        for call in (
            lambda: opened.on([Order("t", "p", power.machines[0])]),
            lambda: opened.off("p", ["m1"], token="x"),
        ):
            begun = time.monotonic()
            with pytest.raises((TimedOut, Transient)):
                call()
            assert time.monotonic() - begun < 1 + _SLACK_S
        begun = time.monotonic()
        assert set(_states(opened).values()) == {PowerState.UNKNOWN}
        assert time.monotonic() - begun < 1 + _SLACK_S
    finally:
        opened.close()


@pytest.mark.parametrize(
    "text", [{}, {"type": "no"}, {"type": "fake", "x": 1}, {"type": "fake", "call_s": float("nan")}]
)
def test_settings_that_cannot_be_are_refused(text: dict[str, object]) -> None:
    with pytest.raises(InfraError, match=r"drivers\.d"):
        load_drivers({"d": text}, [])
