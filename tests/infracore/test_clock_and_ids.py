"""Time as an argument, and names that are never given twice."""

import re
import threading
import uuid

from infracore.clock import FakeClock, SystemClock
from infracore.ids import new_infrastructure_id, new_run_id, new_token


def test_waiting_on_the_fake_clock_moves_it_on_and_never_back() -> None:
    clock, event = FakeClock(100.0), threading.Event()
    assert clock.wait(event, 5.0) is False
    clock.advance(-50.0)
    assert (clock.now(), clock.monotonic()) == (105.0, 105.0)


def test_an_event_that_is_set_ends_the_waiting_at_once() -> None:
    clock, event = FakeClock(100.0), threading.Event()
    event.set()
    assert clock.wait(event, 5.0) is True
    assert clock.now() == 100.0
    assert SystemClock().wait(event, 600.0) is True


def test_the_machines_clock_goes_on() -> None:
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.now() > 1_700_000_000


def test_ids_are_unique_and_of_their_form() -> None:
    assert len({new_infrastructure_id() for _ in range(100)} | {new_token() for _ in range(100)}) == 200
    assert uuid.UUID(new_infrastructure_id()).version == 4
    assert re.fullmatch(r"[0-9a-f]{20}", new_token())


def test_ids_of_runs_sort_by_time() -> None:
    times = [0.001, 1.0, 1_000_000_000.0, 1_800_000_000.0, 1_800_000_000.002]
    made = [new_run_id(now) for now in times]
    assert sorted(made) == made
    assert len({new_run_id(1.0) for _ in range(100)}) == 100
