"""When the power of a board may go, from what it answered."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infracore.outlets.halting import HALT_S, SETTLE_S, Answer, Quiet

_CLOSED = {Answer.REFUSED, Answer.SILENT}


def test_the_usual_times_outlast_what_a_shutdown_may_take() -> None:
    """systemd gives a container 90 s to end, and our own saving of the logs 120 s."""
    assert (SETTLE_S >= 120, HALT_S > 120) == (True, True)


@pytest.mark.parametrize("answer", Answer)
def test_one_look_is_never_enough(answer: Answer) -> None:
    assert not Quiet().then(answer, 5.0).is_down(5.0, settle_s=1.0, halt_s=1.0)


@given(st.lists(st.tuples(st.floats(0, 60), st.sampled_from(Answer)), max_size=20), st.floats(1, 60), st.floats(1, 60))
def test_a_board_is_down_after_a_whole_time_of_silence_or_of_a_closed_port(
    looks: list[tuple[float, Answer]], settle_s: float, halt_s: float
) -> None:
    at, quiet, told = 0.0, Quiet(), list[tuple[float, Answer]]()
    for pause, answer in looks:
        at += pause
        told.append((at, answer))
        quiet = quiet.then(answer, at)
        closed, silent = _run(told, _CLOSED), _run(told, {Answer.SILENT})
        expected = at - silent >= settle_s if silent is not None else closed is not None and at - closed >= halt_s
        assert quiet.is_down(at, settle_s=settle_s, halt_s=halt_s) is expected


def _run(told: list[tuple[float, Answer]], wanted: set[Answer]) -> float | None:
    """Return when the last unbroken run of such answers began; None: the last is another."""
    began = None
    for at, answer in reversed(told):
        if answer not in wanted:
            break
        began = at
    return began
