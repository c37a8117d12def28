"""Trying again by the class of the error, on a clock that does not wait."""

import threading
from collections.abc import Callable

import pytest

from infracore.clock import FakeClock
from infracore.errors import Cancelled, Conflict, InfraError, Locked, NoCapacity, Transient
from infracore.retry import Backoff, backoff_for, retrying

RULES = {Transient: Backoff(attempts=4, first_s=1.0, factor=2.0, most_s=3.0), Conflict: Backoff(attempts=2)}


def fails(*errors: InfraError) -> Callable[[], str]:
    """Return a call that raises one error after another and then succeeds."""
    left = list(errors)

    def call() -> str:
        if left:
            raise left.pop(0)
        return "done"

    return call


def pauses(call: Callable[[], str], jitter: float = 0.0) -> tuple[str, list[float]]:
    clock, seen = FakeClock(), []
    answer = retrying(
        call,
        rules=RULES,
        clock=clock,
        cancel=threading.Event(),
        jitter=lambda: jitter,
        on_retry=lambda _error, pause: seen.append(pause),
    )
    assert clock.now() - FakeClock().now() == pytest.approx(sum(seen))
    return answer, seen


def test_what_succeeds_is_called_once() -> None:
    assert pauses(fails()) == ("done", [])


def test_pauses_grow_up_to_a_limit() -> None:
    assert pauses(fails(*[Transient("busy")] * 3)) == ("done", [1.0, 2.0, 3.0])


def test_the_last_error_is_raised_when_no_attempt_is_left() -> None:
    errors = [Transient(f"try {number}") for number in range(9)]
    with pytest.raises(Transient, match="try 3"):
        pauses(fails(*errors))


def test_an_error_without_a_rule_is_raised_at_once() -> None:
    with pytest.raises(NoCapacity):
        pauses(fails(Transient("busy"), NoCapacity("full"), Transient("busy")))


def test_the_pause_that_an_error_asks_for_is_never_cut() -> None:
    assert pauses(fails(Transient("busy", retry_after_s=45.0)), jitter=0.5) == ("done", [67.5])
    assert pauses(fails(Transient("busy", retry_after_s=0.1))) == ("done", [1.0])


def test_an_error_that_asks_for_too_long_a_pause_is_raised_at_once() -> None:
    rules = {Transient: Backoff(most_asked_s=300.0)}
    clock = FakeClock()
    begun = clock.now()
    with pytest.raises(Transient, match="tomorrow"):
        retrying(
            fails(Transient("tomorrow", retry_after_s=86400.0)), rules=rules, clock=clock, cancel=threading.Event()
        )
    assert clock.now() == begun


def test_jitter_makes_a_pause_longer() -> None:
    assert pauses(fails(*[Transient("busy")] * 2), jitter=0.25) == ("done", [1.25, 2.5])


def test_the_rule_of_the_nearest_class_counts() -> None:
    nearest = Backoff(attempts=7)
    assert backoff_for(Locked("x"), RULES) == RULES[Conflict]
    assert backoff_for(Locked("x"), {**RULES, Locked: nearest, InfraError: Backoff()}) == nearest
    assert backoff_for(NoCapacity("x"), RULES) is None


def test_each_rule_counts_its_own_failures() -> None:
    call = fails(Transient("a"), Conflict("b"), Transient("c"), Transient("d"))
    assert pauses(call) == ("done", [1.0, 1.0, 2.0, 3.0])


def test_cancelling_ends_the_waiting() -> None:
    cancel = threading.Event()
    with pytest.raises(Cancelled) as caught:
        retrying(
            fails(Transient("busy")),
            rules=RULES,
            clock=FakeClock(),
            cancel=cancel,
            on_retry=lambda _error, _pause: cancel.set(),
        )
    assert isinstance(caught.value.__cause__, Transient)
