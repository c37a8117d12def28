"""What drivers list, and when it counts."""

import pytest

from clues.actions.machines import MachineBook
from clues.options import MachineOption, Pool
from clues.power.base import MachineReport, PowerState
from clues.snapshot import MachineState

RACK = Pool("rack", driver="d", max=1, powered=True, machines=(MachineOption("m1"),))


@pytest.mark.parametrize(
    ("asked_at", "state"),
    [
        (99.0, MachineState.ON),  # the driver looked before it was turned on, and its answer came after
        (101.0, MachineState.OFF),
    ],
)
def test_a_list_that_is_older_than_a_state_does_not_change_it(asked_at: float, state: MachineState) -> None:
    book = MachineBook((RACK,), (), 0.0)
    book.change("rack", "m1", state=MachineState.ON, since=100.0)
    book.report("rack", [MachineReport("m1", "rack", PowerState.OFF, "m1")], 102.0, asked_at=asked_at)
    machine = book.get("rack", "m1")
    assert machine is not None
    assert machine.state is state


def test_a_state_that_began_in_the_future_is_no_excuse() -> None:
    """The clock was set back."""
    book = MachineBook((RACK,), (), 0.0)
    book.change("rack", "m1", state=MachineState.ON, since=10_000.0)
    book.report("rack", [MachineReport("m1", "rack", PowerState.OFF, "m1")], 102.0, asked_at=101.0)
    machine = book.get("rack", "m1")
    assert machine is not None
    assert machine.state is MachineState.OFF
