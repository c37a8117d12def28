"""Windows in time and budgets of nodes."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clues.model import Budget, Pod, PodSpec, Selector
from clues.options import Budgets, Policy, Pool, Window
from clues.policy.budgets import NodeBudgets, PodBudgets, limit_of
from clues.policy.schedule import in_window, limits_at, parse_cron, scale_in_closed
from tests.laws import some

NOON = datetime(2026, 3, 4, 12, 0, tzinfo=UTC)  # a Wednesday


@pytest.mark.parametrize(
    ("schedule", "hours", "holds"),
    [
        ("", 0, True),
        ("0 8 * * *", 5, True),
        ("0 8 * * *", 4, False),  # ends at noon, to the second
        ("0 12 * * *", 1, True),
        ("1 12 * * *", 1, False),
        ("0 20 * * *", 17, True),
        ("0 8 * * mon-fri", 8, True),
        ("0 8 * * 0,6,7", 8, False),
        ("0 8 1 * wed", 8, True),  # both days restricted: one is enough
        ("0 8 4 mar sun", 8, True),
        ("*/15 * * * *", 1, True),
        ("0 0 29 2 *", 24 * 1000, True),
        ("0 0 30 2 *", 24 * 3000, False),
        ("61 8 * * *", 24, False),
        ("8 * * *", 24, False),
        ("a b c d e", 24, False),
    ],
)
def test_when_a_window_holds(schedule: str, hours: int, holds: bool) -> None:
    assert in_window(schedule, hours * 3600.0, NOON.timestamp()) is holds


@settings(max_examples=some(60), deadline=None)
@given(st.integers(0, 59), st.integers(0, 23), st.integers(0, 6), st.integers(1, 3 * 1440), st.integers(0, 20_000))
def test_a_window_is_what_minute_by_minute_says(minute: int, hour: int, day: int, length: int, offset: int) -> None:
    now = NOON + timedelta(minutes=offset)
    starts = (now - timedelta(minutes=back) for back in range(length))
    said = any(s.minute == minute and s.hour == hour and s.isoweekday() % 7 == day for s in starts)
    assert in_window(f"{minute} {hour} * * {day}", length * 60.0, now.timestamp()) is said


def test_limits_of_a_window() -> None:
    pools = (Pool(name="a", min=1, max=5), Pool(name="b", min=0, max=9))
    policy = Policy(
        schedules=(
            Window(schedule="0 8 * * *", duration_s=36000, pool="a", min=7),
            Window(schedule="0 8 * * *", duration_s=36000, max=3),
            Window(schedule="0 8 * * *", duration_s=36000, pool="b", no_scale_in=True),
            Window(schedule="0 13 * * *", duration_s=60, pool="b", min=2),
        )
    )
    assert limits_at(pools, policy, NOON.timestamp()) == {"a": (3, 3), "b": (0, 3)}
    assert scale_in_closed(policy, NOON.timestamp()) == {"b"}
    assert scale_in_closed(policy, (NOON + timedelta(hours=9)).timestamp()) == frozenset()


@given(st.text(max_size=30), st.floats(allow_nan=True))
def test_no_text_and_no_time_crashes(text: str, now: float) -> None:
    parse_cron(text)
    assert in_window("* * * * *", 60.0, now) in {True, False}


def test_shares_are_rounded_up_and_those_that_go_count() -> None:
    assert [limit_of(text, 9) for text in ("20%", "0%", "100%", "3", "x", "%", "")] == [2, 0, 9, 3, 0, 0, 0]
    policy = Policy(budgets=(Budgets("20%", "p"), Budgets("1", reasons=("underused",))))
    members = {"p": [f"p-{n}" for n in range(9)], "q": ["q-1", "q-2"]}
    budgets = NodeBudgets(policy, 0.0, members, ["p-8"])
    assert budgets.refusal("p-0", "p", "empty") == ""
    assert "1 nodes" in budgets.refusal("p-0", "p", "underused")
    assert budgets.refusal("p-8", "p", "underused") == ""  # it is disrupted already
    budgets.take("p-0", "p", "empty")
    assert "budget of pool p" in budgets.refusal("p-1", "p", "empty")
    assert budgets.refusal("q-1", "q", "empty") == ""


def test_a_pod_budget_counts_every_pod_of_a_removal() -> None:
    pods = [Pod("a", f"x{n}", f"x{n}", PodSpec(), {}) for n in range(3)]
    budgets = PodBudgets(
        [Budget("a", "all", Selector(), 2), Budget("a", "none", None, 0), Budget("b", "b", Selector(), 0)]
    )
    assert budgets.lacking(pods[:2]) is None
    lacking = budgets.lacking(pods)
    assert lacking == (pods[2], "budget all allows 2 more disruptions")
    budgets.take(pods[:1])
    assert budgets.lacking(pods[:2]) is not None
