"""How long pools rest: the daemon's failures and those of a scenario's history are judged alike."""

import msgspec
import pytest

from clues.decision import Memory
from clues.offline.case import NOW, case_of
from clues.offline.format import Scenario
from clues.options import BackOff
from clues.policy.backoff import failed, is_resting

MINUTE = 60.0


@pytest.mark.parametrize(
    ("minutes", "rest", "until"),
    [
        ((6,), 5, -1),
        ((4,), 5, 1),
        ((20, 8), 10, 2),  # after the rest: doubled
        ((9, 7), 5, -2),  # within it: another of the initial length
        ((6, 3), 5, 2),
        ((40, 14, 7), 5, -2),  # within a doubled one
        ((200, 8), 5, -3),  # forgotten
        ((20, 8, 8), 10, 2),  # an order of two nodes fails as a whole
        ((120, 110, 95, 70, 30), 30, 0),
    ],
)
def test_only_a_failure_after_the_last_rest_doubles_it(minutes: tuple[int, ...], rest: int, until: int) -> None:
    memory, backoff = Memory(), BackOff()
    for ago in minutes:
        memory = failed(memory, "p", NOW - ago * MINUTE, "no capacity", backoff)
    found = memory.rests["p"]
    assert (found.rest_s, found.until) == (rest * MINUTE, NOW + until * MINUTE)
    assert is_resting(memory, "p", NOW) is (until > 0)
    history = [{"pool": "p", "event": "scale_up_failed", "ago": f"{ago}m"} for ago in minutes]
    case = case_of(msgspec.convert({"id": "S", "history": history}, Scenario), "scenario S")
    assert {pool: (each.rest_s, each.until) for pool, each in case.memory.rests.items()} == {
        "p": (found.rest_s, found.until)
    }
