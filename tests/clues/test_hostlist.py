"""Slurm's host lists, read and written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clues.hostlist import MOST_HOSTS, compress, expand


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("wn1", "wn1"),
        ("wn[1-4,6-8]", "wn1 wn2 wn3 wn4 wn6 wn7 wn8"),  # made all nodes vanish in CLUES
        ("wn[08-11]", "wn08 wn09 wn10 wn11"),
        ("a[1-2]b[01-02]", "a1b01 a1b02 a2b01 a2b02"),
        ("rack[1-2]-ib", "rack1-ib rack2-ib"),
        ("login,wn[1,3],gpu0.site", "login wn1 wn3 gpu0.site"),
        ("(null)", ""),
        ("", ""),
        (" n[1-1] ", "n1"),
    ],
)
def test_a_list_is_expanded_in_its_order(text: str, names: str) -> None:
    assert expand(text) == tuple(names.split())


@pytest.mark.parametrize(
    "text",
    ["wn[1-4", "wn1-4]", "wn[[1]]", "wn[a-b]", "wn[4-1]", "wn[]", "wn[1,]", "a,,b", "wn[1-]", "w n", "a;b", "wn[1]]",
     f"x[1-{MOST_HOSTS + 1}]", "x[1-999]y[1-999]", "x[1-99999],y[1-99999]", "[1-999999999999999999]"],
)  # fmt: skip
def test_what_is_no_list_is_one_clear_error(text: str) -> None:
    with pytest.raises(ValueError, match="host list"):
        expand(text)


def test_names_are_compressed() -> None:
    assert compress(["wn3", "wn1", "wn2", "login", "wn7"]) == "login,wn[1-3,7]"
    assert compress(["n01", "n02", "n10", "m1"]) == "m1,n10,n[01-02]"
    assert compress(["wn4"]) == "wn4"
    assert compress([]) == ""


@given(st.lists(st.from_regex(r"[a-z]{1,3}(-[a-z])?[0-9]{0,4}", fullmatch=True), max_size=20))
def test_compressing_loses_no_name(names: list[str]) -> None:
    assert sorted(expand(compress(names))) == sorted(set(names))


@given(st.text(alphabet="wn[]-,0123(", max_size=12))
def test_any_text_is_a_list_or_an_error(text: str) -> None:
    try:
        names = expand(text)
    except ValueError:
        return
    assert all(names)
