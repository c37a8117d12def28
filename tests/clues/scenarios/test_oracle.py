"""The answers that the scenarios expect are confirmed by exhaustive search, independently of clues."""

from typing import Any

import pytest
import yaml

from tests.clues.scenarios.oracle import World, best_mixes
from tests.clues.scenarios.places import OWN, SCENARIOS

_NOT_SEARCHED = {"A12", "C16", "B31", "B32", "B33", "B34"} | {"D07", "D08", "D13", "D17", "D18", "D22"} | {"A24", "D20"}
"""A hundred pods: too many for a search. Nodes that nobody needs, or that never come: nothing to search for. What the
search does not know: startup taints, pools that are not well."""


def _scenarios() -> list[Any]:
    found = []
    for path in (SCENARIOS, OWN):
        if path.is_file():
            mark = "shared" if path == SCENARIOS else "own"
            found += [
                pytest.param(item, id=f"{mark}-{item['id']}")
                for item in yaml.load(path.read_text(), Loader=yaml.CSafeLoader)["scenarios"]
                if item["id"][0] in "ABCD" and item["id"] not in _NOT_SEARCHED and "history" not in item
            ]
    return found


@pytest.mark.parametrize("scenario", _scenarios())
def test_the_expected_answer_is_the_searchs(scenario: dict[str, Any]) -> None:
    world = World(scenario)
    up = scenario["expect"].get("scale_up", {})
    settings = scenario.get("settings", {})
    if settings.get("expander", "price") in {"price", "least_nodes"} and not settings.get("balance"):
        assert up in best_mixes(world)
    placed = world.placed(up)
    left = len(world.pending) - sum(count for _priority, count in placed)
    expected = scenario["expect"].get("unschedulable_count", len(scenario["expect"].get("unschedulable", [])))
    assert left == expected
    for pool in up:
        assert world.placed({**up, pool: up[pool] - 1}) < placed, f"one {pool} fewer would do"
