"""Counts within their limits, and who goes first."""

from dataclasses import dataclass

import pytest

from im_client.topology.model import Group, Topology
from im_client.topology.scale import free_indices, removal_order, scale
from infracore.errors import InvalidUsage, Several

TOPOLOGY = Topology(
    name="t",
    groups={
        "front": Group("front", 1, 1, 1, scalable=False),
        "wn": Group("wn", 2, 1, 5),
        "any": Group("any", 1, 0, None),
    },
)


@dataclass(frozen=True)
class Machine:
    name: str
    index: int
    provider_id: str | None = None


def test_only_the_named_groups_change() -> None:
    scaled = scale(TOPOLOGY, {"wn": 5, "any": 700})
    assert {g.name: g.count for g in scaled.groups.values()} == {"front": 1, "wn": 5, "any": 700}
    assert scale(TOPOLOGY, {"front": 1}) == TOPOLOGY


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"wn": 6}, "wn cannot be scaled to 6: the template allows 1 to 5"),
        ({"wn": 0}, "wn cannot be scaled to 0: the template allows 1 to 5"),
        ({"any": -1}, "any cannot be scaled to -1: the template allows 0 to no limit"),
        ({"front": 2}, "front cannot be scaled to 2: the template gives it no scalable capability"),
        ({"nope": 1}, "there is no group of machines 'nope'"),
    ],
)
def test_a_count_that_the_template_does_not_allow_is_refused(counts: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidUsage, match=message) as raised:
        scale(TOPOLOGY, counts)
    assert raised.value.hint


def test_all_refusals_come_together() -> None:
    with pytest.raises(Several) as raised:
        scale(TOPOLOGY, {"wn": 9, "nope": 1, "any": 2})
    assert len(raised.value.errors) == 2


def test_the_newest_goes_first_and_the_removal_list_before_it() -> None:
    machines = [Machine("wn-1", 1), Machine("wn-2", 2, "id-2"), Machine("wn-3", 3), Machine("wn-4", 4)]
    assert [m.index for m in removal_order(TOPOLOGY.groups["wn"], machines)] == [4, 3, 2, 1]
    wishes = Group("wn", 2, 1, 5, removal_list=("id-2", "wn-1"))
    assert [m.index for m in removal_order(wishes, machines)] == [2, 1, 4, 3]


def test_the_lowest_free_indices_are_given_out() -> None:
    assert free_indices([1, 3, 4], 3) == [2, 5, 6]
    assert free_indices([], 0) == []
