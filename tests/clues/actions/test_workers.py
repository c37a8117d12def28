"""Workers in threads: limits of a key, calls that hang, stopping."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from clues.actions.workers import InlineWorkers, Outcome, ThreadWorkers
from infracore.clock import SystemClock
from infracore.errors import Cancelled, InfraError, NoCapacity, TimedOut


class Waiting(SystemClock):
    """A clock whose monotonic time can be moved on."""

    ahead = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead


@pytest.fixture
def clock() -> Waiting:
    return Waiting()


@pytest.fixture
def workers(clock: Waiting) -> Iterator[ThreadWorkers]:
    found = ThreadWorkers(4, clock)
    yield found
    found.close(1)


class Done:
    def __init__(self) -> None:
        self.outcomes: list[Outcome[Any]] = []
        self.changed = threading.Condition()

    def __call__(self, outcome: Outcome[Any]) -> None:
        with self.changed:
            self.outcomes.append(outcome)
            self.changed.notify_all()

    def wait(self, count: int = 1) -> list[Outcome[Any]]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.outcomes) >= count, 5)
        return self.outcomes


@pytest.mark.parametrize("inline", [True, False])
def test_values_errors_and_defects_come_back(inline: bool, workers: ThreadWorkers) -> None:
    pool = InlineWorkers() if inline else workers
    done = Done()

    def fail() -> None:
        raise NoCapacity("none")

    for call in (lambda: 3, fail, lambda: 1 / 0):
        before = len(done.outcomes)
        pool.submit("k", call, done)
        done.wait(before + 1)
    value, error, defect = done.outcomes
    assert value == Outcome(3)
    assert isinstance(error.error, NoCapacity)
    assert type(defect.error) is InfraError
    assert "ZeroDivisionError" in defect.error.message


def test_no_more_calls_of_a_key_run_than_allowed_and_others_pass_them(workers: ThreadWorkers) -> None:
    gate, done, other = threading.Event(), Done(), Done()
    running, most = 0, 0
    lock = threading.Lock()

    def call() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        gate.wait(5)
        with lock:
            running -= 1

    for _ in range(6):
        workers.submit("slow", call, done, parallel=2)
    workers.submit("quick", lambda: "here", other)
    assert other.wait()[0].value == "here"
    gate.set()
    done.wait(6)
    assert most == 2


def test_a_call_that_hangs_is_given_up_and_does_not_take_a_place(clock: Waiting, workers: ThreadWorkers) -> None:
    never, done, begun = threading.Event(), Done(), threading.Semaphore(0)
    for _ in range(4):
        workers.submit("hangs", lambda: (begun.release(), never.wait(10)), done, parallel=4, limit_s=50)
    for _ in range(4):
        assert begun.acquire(timeout=5)
    clock.ahead = 100
    workers.check()
    assert {type(outcome.error) for outcome in done.wait(4)} == {TimedOut}
    fine = Done()
    workers.submit("fine", lambda: 1, fine)
    assert fine.wait()[0].value == 1
    refused = Done()
    workers.submit("hangs", lambda: 1, refused, parallel=4)
    assert "never came back" in refused.wait()[0].error.message
    never.set()
    time.sleep(0.05)
    assert len(done.outcomes) == 4, "what comes late is dropped"
    again = Done()
    workers.submit("hangs", lambda: 2, again, parallel=4)
    assert again.wait()[0].value == 2


def test_closing_waits_for_what_runs_and_cancels_what_waits(clock: Waiting) -> None:
    workers = ThreadWorkers(1, clock)
    gate, begun, first, second = threading.Event(), threading.Event(), Done(), Done()
    workers.submit("a", lambda: (begun.set(), gate.wait(5)), first)
    assert begun.wait(5)
    workers.submit("a", lambda: 2, second)
    assert not workers.close(0.05)
    assert isinstance(second.wait()[0].error, Cancelled)
    gate.set()
    assert workers.close(5)
    workers.submit("a", lambda: 3, second)
    assert isinstance(second.wait(2)[1].error, Cancelled)


def test_many_short_calls_all_come_back(workers: ThreadWorkers) -> None:
    done = Done()
    for number in range(500):
        workers.submit(f"k{number % 7}", lambda n=number: n, done, parallel=2)
    assert sorted(outcome.value for outcome in done.wait(500)) == list(range(500))
