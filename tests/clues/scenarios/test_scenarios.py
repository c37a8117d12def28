"""Every scenario, the shared ones and our own, has its one right answer."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from clues.offline.answer import answer
from clues.offline.format import Scenario
from clues.offline.scenario import read_scenarios
from tests.clues.scenarios.compare import differences
from tests.clues.scenarios.places import OWN, SCENARIOS, VERDICTS


def _all() -> Sequence[Any]:
    found = []
    for path in (SCENARIOS, OWN):
        if path.is_file():
            read = read_scenarios(path)
            assert not read.errors, read.errors
            mark = "shared" if path == SCENARIOS else "own"
            found += [pytest.param(scenario, id=f"{mark}-{scenario.id}") for scenario in read.scenarios]
    return found


@pytest.mark.parametrize("scenario", _all())
def test_the_one_right_answer(scenario: Scenario) -> None:
    assert differences(scenario.expect, answer(scenario).shape()) == [], scenario.title


@pytest.mark.slow
@pytest.mark.skipif(not VERDICTS.is_file(), reason=f"{VERDICTS} is not there (set IMCLUES_SHARED)")
def test_every_verdict_is_the_schedulers() -> None:
    from clues.offline.verdicts import Fits, read_fits

    lines = list(read_fits(VERDICTS))
    assert len(lines) == 600
    wrong = [item if not isinstance(item, Fits) else item.differences for item in lines]
    assert [item for item in wrong if item] == []
    assert sum(len(nodes) for item in lines if isinstance(item, Fits) for nodes in item.verdict.values()) == 10794


@pytest.mark.skipif(not SCENARIOS.is_file(), reason=f"{SCENARIOS} is not there (set IMCLUES_SHARED)")
def test_all_shared_scenarios_are_read() -> None:
    assert len(read_scenarios(SCENARIOS).scenarios) == 42


@pytest.mark.parametrize(
    ("expect", "got"),
    [
        ({}, {"scale_up": {"p": 1}}),
        ({"scale_up": {"p": 2}}, {"scale_up": {"p": 1}}),
        ({}, {"scale_down": ["a"]}),
        ({"scale_down_any": {"count": 1, "from": ["a", "b"]}}, {}),
        ({"scale_down_any": {"count": 1, "from": ["a", "b"], "must": ["b"]}}, {"scale_down": ["a"]}),
        ({"unschedulable_count": 2}, {"unschedulable": ["a"]}),
        ({"blocked": {"a": "pdb"}}, {"blocked": {"a": "utilization"}}),
        ({"power_on_count": 1, "power_on_from": ["c3"]}, {"power_on": ["c4"]}),
        ({"replace": {"remove": ["a"], "add": {"p": 1}}}, {}),
        ({"new": 1}, {}),
    ],
)
def test_a_wrong_answer_is_seen(expect: Mapping[str, Any], got: Mapping[str, Any]) -> None:
    assert differences(expect, got)
