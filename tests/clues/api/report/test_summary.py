"""Sums over a period."""

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clues.api.report import report_page, summarise
from clues.api.report.summary import Buckets
from clues.api.report.svg import nice_step, stacked_areas
from tests.clues.api.test_public import Page
from tests.laws import some

POOLS = {
    "type": "pools", "at": 0.0,
    "pools": [{"name": "p", "price": 3.0, "watts_off": 5.0, "watts_idle": 50.0, "watts_busy": 150.0, "min": 0}],
}  # fmt: skip


def node(at: float, name: str, state: str, busy: float = 0.0, pool: str = "p") -> dict[str, Any]:
    return {"type": "node", "at": at, "name": name, "pool": pool, "machine": name, "state": state, "busy": busy}


def action(at: float, phase: str, *steps: tuple[float, str], kind: str = "power-on") -> dict[str, Any]:
    said = [{"at": when, "phase": word, "error": ""} for when, word in steps]
    return {"type": "action", "at": at, "kind": kind, "pool": "p", "phase": phase, "machine": "m", "steps": said}


def test_energy_counts_standby_idle_and_the_share_in_use() -> None:
    report = summarise(
        [POOLS, node(0, "a", "off"), node(3600, "a", "booting"), node(7200, "a", "ready"),
         node(10800, "a", "ready", 0.5)],
        since=0.0, until=14400.0, price_per_kwh=0.5,
    )  # fmt: skip
    assert report.pools[0].kwh == pytest.approx({"off": 0.005, "booting": 0.05, "idle": 0.05, "busy": 0.1})
    assert report.kwh == pytest.approx(0.205)
    assert report.kwh_standby == pytest.approx(0.005)
    assert report.node_hours == pytest.approx(3.0)
    assert report.cost_nodes == pytest.approx(9.0)
    assert report.cost_energy == pytest.approx(0.1025)


def test_a_change_of_prices_counts_from_when_it_came() -> None:
    dearer = {"type": "pools", "at": 3600.0, "pools": [{"name": "p", "price": 30.0}]}
    report = summarise([POOLS, node(0, "a", "ready"), dearer], since=0.0, until=7200.0)
    assert report.cost_nodes == pytest.approx(33.0)


def test_what_was_there_before_counts_from_the_beginning_and_what_is_gone_no_more() -> None:
    before = {**node(-500, "a", "ready"), "initial": True}
    report = summarise([POOLS, before, node(1800, "a", "gone")], since=0.0, until=3600.0)
    assert report.node_hours == pytest.approx(0.5)


def test_power_ons_count_once_accepted_with_the_time_until_ready() -> None:
    report = summarise(
        [
            action(10, "done", (10, "queued"), (11, "ordering"), (13, "booting"), (70, "admitting"), (71, "done")),
            action(20, "failed", (20, "queued"), (21, "ordering"), (25, "failed")),
            action(30, "done", (30, "queued"), (40, "going-off"), (50, "done"), kind="power-off"),
            action(-5, "done", (-5, "queued"), (-4, "booting"), (5, "done")),
        ],
        since=0.0, until=100.0,
    )  # fmt: skip
    assert (report.power_ons, report.power_offs, report.failures) == (1, 1, 1)
    assert report.pools[0].boot_s == [60.0]
    assert report.failed == {"m": 1}


def test_waiting_times_are_those_of_pods_that_came_to_run() -> None:
    waits = [
        {"type": "pod", "at": 1.0, "namespace": "n", "name": f"p{n}", "wait_s": float(n), "node": "a"}
        for n in range(1, 101)
    ]
    gone = {"type": "pod", "at": 1.0, "namespace": "n", "name": "x", "wait_s": 1e6, "node": ""}
    report = summarise([*waits, gone], since=0.0, until=10.0)
    found = report.waits
    assert (found.count, found.given_up, found.p50_s, found.p95_s, found.p99_s, found.max_s) == (
        100,
        1,
        50,
        95,
        99,
        100,
    )
    assert found.counts[:7] == [1, 1, 3, 5, 10, 40, 40]
    assert found.longest[0] == ("n/p100", 100.0)


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(0, 10)), max_size=20), st.integers(1, 50))
def test_averages_over_parts_hold_all_that_was_added(spans: list[tuple[float, float, float]], count: int) -> None:
    buckets = Buckets(0.0, 100.0, count)
    for start, end, weight in spans:
        buckets.add("x", min(start, end), max(start, end), weight)
    total = sum(value * buckets.width_s for values in buckets.series().values() for value in values)
    wanted = sum((max(start, end) - min(start, end)) * weight for start, end, weight in spans)
    assert math.isclose(total, wanted, rel_tol=1e-6, abs_tol=1e-6)


@given(st.lists(st.tuples(st.floats(0, 3600), st.sampled_from("abc"), st.sampled_from(["off", "ready", "gone"]))))
def test_node_hours_are_never_more_than_nodes_times_hours(changes: list[tuple[float, str, str]]) -> None:
    records = [node(at, name, state) for at, name, state in sorted(changes)]
    report = summarise([POOLS, *records], since=0.0, until=3600.0)
    assert 0 <= report.node_hours <= len({name for _, name, _ in changes}) + 1e-9
    assert report.skipped == 0


_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
_KEYS = st.sampled_from(["at", "name", "pool", "state", "busy", "wait_s", "node", "kind", "phase", "steps", "pools"])


_TYPES = st.sampled_from(["node", "pod", "action", "pools", "x"])


@given(
    st.lists(st.builds(lambda kind, rest: {**rest, "type": kind}, _TYPES, st.dictionaries(_KEYS, _JUNK)), max_size=8)
)
@settings(max_examples=some(40))
def test_broken_records_neither_crash_nor_count(records: list[dict[str, Any]]) -> None:
    report = summarise(records, since=0.0, until=100.0)
    page = Page(report_page(report))
    assert page.loads == []
    assert page.open == []
    assert math.isfinite(report.kwh)


def test_names_from_outside_are_text_on_the_page() -> None:
    evil = "<script>alert(1)</script>"
    report = summarise([node(0, evil, "ready", 1.0, evil), {**action(1, "failed"), "machine": evil}], since=0.0,
                       until=9.0, currency=evil)  # fmt: skip
    assert Page(report_page(report)).loads == []


@pytest.mark.parametrize(
    ("most", "step"), [(1, 0.2), (7, 2), (10, 2), (23, 5), (99, 20), (1000, 200), (0, 1), (math.inf, 1)]
)
def test_grid_lines_stand_at_round_numbers(most: float, step: float) -> None:
    assert nice_step(most) == pytest.approx(step)


def test_areas_are_stacked_up_to_the_sum() -> None:
    names = {"busy": "in use", "off": "off"}
    drawing = stacked_areas({"busy": [1, 1], "off": [3, 0]}, names, since=0.0, until=7200.0, what="x", whole=True)
    top = 260 - 30 - 4 / 4 * (260 - 12 - 30)
    assert drawing.count("<path") == 2
    assert f" {top:.1f}" in drawing.split("<path")[2]
