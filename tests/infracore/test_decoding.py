"""Values that people wrote against types: everything that does not fit is named, the rest is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from infracore.decoding import fit, shown


class Leg(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: str
    length: float | None = None


@dataclass(frozen=True)
class Table:
    legs: tuple[Leg, ...] = ()
    words: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    top: Leg | None = None


def told(value: Any) -> list[str]:
    return [f"{shown(m.steps)} ({m.owner}): {m.said}; {m.hint}" for m in fit(value, Table).misfits]


def test_each_part_that_does_not_fit_is_named_and_taken_out_alone() -> None:
    legs = [{"name": "a", "length": "long"}, 5, {"length": 1}, {"name": "d", "lenght": 2, "length": 3}]
    found = fit({"legs": legs, "words": {"x": {"y": "no", "z": 1}}, "top": {"name": 1}}, Table)
    assert found.value == {"legs": [{"name": "a"}, {"name": "d", "length": 3}], "words": {"x": {"z": 1}}}
    assert told({"legs": legs, "words": {"x": {"y": "no"}}, "top": {"name": 1}}) == [
        "legs[0].length (a): Expected `float | null`, got `str`; ",
        "legs[1] (): Expected `object`, got `int`; ",
        "legs[2] (): name is missing; ",
        "legs[3].lenght (d): there is no key 'lenght'; did you mean 'length'?",
        "words.x.y (): Expected `int`, got `str`; ",
        "top.name (): Expected `str`, got `int`; ",
    ]


def test_the_way_to_what_is_left_is_that_of_the_original() -> None:
    found = fit({"legs": [5, {"name": "a"}, 6, {"name": "b"}]}, Table)
    assert found.original(("legs", 1, "length")) == ("legs", 3, "length")
    assert found.original(("words", "x")) == ("words", "x")


def test_what_fits_is_left_as_it_is() -> None:
    value = {"legs": [{"name": "a", "length": "1e3"}]}
    found = fit(value, Table)
    assert (found.value, found.misfits) == (value, [])


def test_a_number_may_be_written_with_an_exponent() -> None:
    whole = fit(["1e3", "1.5E1", "-2e0", 4], tuple[int, ...])
    assert msgspec.convert(whole.value, tuple[int, ...], strict=False) == (1000, 15, -2, 4)
    assert msgspec.convert(fit(["1E3", "1.5e-3"], tuple[float, ...]).value, tuple[float, ...], strict=False) == (
        1000.0, 0.0015,
    )  # fmt: skip
    for text in ("1e-3", "1e999", "1e", "e3"):
        assert fit([text], tuple[int, ...]).misfits


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["legs", "words", "top", "name", "length", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(["legs", "words", "top"]), _PLAIN))
def test_what_is_left_fits_whatever_was_written(value: Any) -> None:
    found = fit(value, Table)
    msgspec.convert(found.value, Table, strict=False)
    assert found.misfits or found.value == value
