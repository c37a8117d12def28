"""When the power of a board may go: a board that lets one in keeps it, always."""

import socket

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from im_client.providers.raspberry_pi.claims import Claim
from im_client.providers.raspberry_pi.halting import Answer, after, by_steady_clock, knock
from im_client.providers.raspberry_pi.settings import RaspberryPiSettings
from im_client.remote.access import Access
from tests.im_client.remote.loopback import free_port

_CLAIM = Claim(
    host="pi", token="t", infrastructure="i", name="n", address="a", port=22, user="u", wanted="off", since=1000.0
)
_SETTINGS = RaspberryPiSettings(settle_s=15.0, halt_s=180.0)


def seen(*answers: tuple[float, Answer]) -> list[bool]:
    claim, found = _CLAIM, []
    for at, answer in answers:
        claim, may_go = after(claim, answer, 1000.0 + at, _SETTINGS)
        found.append(may_go)
    return found


@pytest.mark.parametrize(
    ("answers", "may_go"),
    [
        ([(1, Answer.SILENT), (15, Answer.SILENT), (16, Answer.SILENT)], [False, False, True]),
        ([(1, Answer.SILENT), (10, Answer.OPEN), (20, Answer.SILENT), (30, Answer.SILENT)], [False] * 4),
        ([(1, Answer.SILENT), (10, Answer.REFUSED), (20, Answer.SILENT), (35, Answer.SILENT)], [False] * 3 + [True]),
        ([(1, Answer.REFUSED), (180, Answer.REFUSED), (181, Answer.REFUSED)], [False, False, True]),
        (
            [(500, Answer.OPEN), (510, Answer.REFUSED), (689, Answer.REFUSED), (690, Answer.REFUSED)],
            [False] * 3 + [True],
        ),
        ([(1, Answer.REFUSED), (100, Answer.OPEN), (182, Answer.REFUSED)], [False] * 3),
        ([(1, Answer.REFUSED), (190, Answer.SILENT), (206, Answer.SILENT)], [False, False, True]),
        ([(1, Answer.UNKNOWN), (500, Answer.UNKNOWN)], [False, False]),
        ([(1, Answer.OPEN), (500, Answer.OPEN)], [False, False]),
    ],
    ids=[
        "silent",
        "answers-again",
        "refuses-again",
        "hangs-behind-sshd",
        "goes-late",
        "refuses-once",
        "hangs-then-silent",
        "cannot-be-asked",
        "runs-on",
    ],
)
def test_power_goes_after_silence_only(answers: list[tuple[float, Answer]], may_go: list[bool]) -> None:
    assert seen(*answers) == may_go


@given(st.lists(st.tuples(st.floats(0, 100), st.sampled_from(Answer)), max_size=20))
def test_what_answers_at_the_last_look_keeps_its_power(looks: list[tuple[float, Answer]]) -> None:
    at, told = 0.0, []
    for pause, answer in looks:
        at += pause
        told.append((at, answer))
    for (_, answer), may_go in zip(told, seen(*told), strict=True):
        assert not (may_go and answer in {Answer.OPEN, Answer.UNKNOWN})


def test_a_board_that_took_the_order_and_runs_on_is_asked_again() -> None:
    asked = msgspec.structs.replace(_CLAIM, asked_at=1000.0)
    assert after(asked, Answer.OPEN, 1059.0, _SETTINGS)[0].asked_at == 1000.0
    assert after(asked, Answer.OPEN, 1061.0, _SETTINGS)[0].asked_at is None


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_silence_begins_anew_where_the_clock_was_set(jump: float) -> None:
    claim, looks = _CLAIM, []
    for steady, wall in [(10.0, 1010.0), (12.0, 1012.0), (14.0, 1014.0 + jump), (28.0, 1028.0 + jump)]:
        claim = by_steady_clock(claim, wall, steady, "here")
        claim, may_go = after(claim, Answer.SILENT, wall, _SETTINGS)
        looks.append(may_go)
    assert looks == [False] * 4
    claim = by_steady_clock(claim, 1029.0 + jump, 29.0, "here")
    assert after(claim, Answer.SILENT, 1029.0 + jump, _SETTINGS)[1]


def test_two_computers_that_look_in_turn_do_not_begin_anew_at_each_look() -> None:
    claim, looks = _CLAIM, []
    for n, wall in enumerate([1010.0, 1012.0, 1014.0, 1020.0, 1028.0]):
        claim = by_steady_clock(claim, wall, *((wall - 1000.0, "here") if n % 2 == 0 else (wall - 7.0, "there")))
        claim, may_go = after(claim, Answer.SILENT, wall, _SETTINGS)
        looks.append(may_go)
    assert looks == [False, False, False, False, True]


def test_a_port_that_listens_is_open_and_one_where_nothing_does_is_refused() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        assert knock(Access("127.0.0.1", port=listener.getsockname()[1]), 2.0) is Answer.OPEN
    assert knock(Access("127.0.0.1", port=free_port()), 2.0) is Answer.REFUSED
    assert knock(Access("no-such..host"), 2.0) is Answer.UNKNOWN
