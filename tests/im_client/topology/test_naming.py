"""Names of machines are valid, stable and distinct."""

import re

from hypothesis import given
from hypothesis import strategies as st

from im_client.topology.naming import node_name, stems, substitute_index

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def test_an_ordinary_name_stays_as_it_is() -> None:
    assert node_name(stems(["wn"])["wn"], 3) == "wn-3"


def test_what_a_label_may_not_hold_becomes_a_dash() -> None:
    assert stems(["LRMS_Server.eu"]) == {"LRMS_Server.eu": "lrms-server-eu"}
    assert stems(["___"]) == {"___": "node"}


def test_of_two_groups_that_collide_the_one_spelled_like_a_label_keeps_its_name() -> None:
    found = stems(["wn_a", "wn-a"])
    assert found["wn-a"] == "wn-a"
    assert re.fullmatch(r"wn-a-[0-9a-f]{6}", found["wn_a"])


def test_a_long_name_is_cut_and_told_apart_by_a_hash() -> None:
    found = stems(["x" * 80 + "1", "x" * 80 + "2"])
    assert len(set(found.values())) == 2
    assert all(len(node_name(stem, 999_999)) <= 63 for stem in found.values())


@given(st.lists(st.text(min_size=1, max_size=90), max_size=8))
def test_every_name_is_a_label_no_two_are_equal_and_order_does_not_matter(groups: list[str]) -> None:
    found = stems(groups)
    assert found == stems(reversed(groups))
    names = [node_name(stem, index) for stem in found.values() for index in (1, 11, 999_999)]
    assert all(LABEL.fullmatch(name) for name in names)
    assert len(set(names)) == len(names)


def test_the_index_stands_in_a_dns_name() -> None:
    assert substitute_index("wn#N#.example.org", 4) == "wn4.example.org"
