"""The contract of `clues/power/base.py`: run against the drivers `fake` and `command`, on individuals and on pools."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from clues.options import MachineOption, Pool
from clues.power.base import Order, PowerDriver, PowerState
from clues.power.registry import load_drivers
from infracore.errors import InfraError, NotFound, TimedOut

_PROGRAM = """
import pathlib, sys
word, folder, machine = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
if word == "on":
    (folder / machine).touch()
elif word == "off":
    (folder / machine).unlink(missing_ok=True)
else:
    print("on" if (folder / machine).exists() else "off")
"""
_MACHINES = (MachineOption("m1", node="n1"), MachineOption("m2"))


@pytest.fixture(params=["fake", "command"])
def driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PowerDriver]:
    """A driver with one pool of two machines, both off."""
    words = {
        word: [sys.executable, "-c", _PROGRAM, word, str(tmp_path), "{machine}"] for word in ("on", "off", "status")
    }
    text: dict[str, object] = {"type": "fake"} if request.param == "fake" else {"type": "command", **words}
    opened = load_drivers({"d": text}, [Pool("p", driver="d", machines=_MACHINES)])["d"]
    yield opened
    opened.close()


def _states(driver: PowerDriver) -> dict[str, PowerState]:
    return {report.machine: report.state for report in driver.list("p")}


def test_the_same_token_gives_the_same_receipt_and_the_machine_is_on(driver: PowerDriver) -> None:
    assert _states(driver) == {"m1": PowerState.OFF, "m2": PowerState.OFF}
    order = Order("t1", "p", _MACHINES[0])
    (receipt,) = driver.on([order])
    assert (receipt.token, receipt.machine, receipt.node) == ("t1", "m1", "n1")
    assert list(driver.on([order])) == [receipt]
    assert _states(driver) == {"m1": PowerState.ON, "m2": PowerState.OFF}


def test_off_of_what_is_off_or_unknown_succeeds(driver: PowerDriver) -> None:
    driver.on([Order(f"t{m.name}", "p", m) for m in _MACHINES])
    for _ in range(2):
        driver.off("p", ["m1", "gone"], token="x")
    assert _states(driver) == {"m1": PowerState.OFF, "m2": PowerState.ON}


def test_an_unknown_pool_or_machine_is_not_found(driver: PowerDriver) -> None:
    for call in (lambda: driver.list("other"), lambda: driver.on([Order("t", "p", MachineOption("other"))])):
        with pytest.raises(NotFound):
            call()


def test_a_command_that_hangs_is_ended_in_time() -> None:
    text = {"type": "command", "on": ["sleep", "60"], "off": ["true"], "status": ["false"], "call_s": 0.1}
    opened = load_drivers({"d": text}, [Pool("p", driver="d", machines=_MACHINES)])["d"]
    begun = time.monotonic()
    with pytest.raises(TimedOut):
        opened.on([Order("t", "p", _MACHINES[0])])
    assert time.monotonic() - begun < 5
    opened.close()


@pytest.mark.parametrize(
    "text", [{}, {"type": "no"}, {"type": "fake", "x": 1}, {"type": "fake", "call_s": float("nan")}]
)
def test_settings_that_cannot_be_are_refused(text: dict[str, object]) -> None:
    with pytest.raises(InfraError, match=r"drivers\.d"):
        load_drivers({"d": text}, [])
