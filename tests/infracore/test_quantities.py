"""Quantities of Kubernetes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infracore.quantities import quantity_milli, quantity_units
from tests.laws import some


@pytest.mark.parametrize(
    ("text", "milli", "units"),
    [
        ("500m", 500, 1),
        ("0.1", 100, 1),
        ("100u", 1, 1),
        ("1Ki", 1024_000, 1024),
        ("1.5Gi", 1610612736000, 1610612736),
        ("1e3", 1000_000, 1000),
        ("1E3", 1000_000, 1000),
        ("2E", None, 2 * 10**18),
        ("128974848000m", 128974848000, 128974848),
        (".5", 500, 1),
        ("5.", 5000, 5),
        ("-1", -1000, -1),
        (3, 3000, 3),
        (0.25, 250, 1),
    ],
)
def test_quantities_are_read_exactly(text: object, milli: int | None, units: int) -> None:
    assert quantity_units(text) == units
    if milli is not None:
        assert quantity_milli(text) == milli


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1 Gi",
        "Gi",
        "1gi",
        "1e9999",
        "9" * 70,
        "nan",
        "inf",
        float("nan"),
        float("inf"),
        True,
        None,
        [],
        "٣",
        "1e999",
        2**70,
    ],
)
def test_what_is_no_quantity_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"quantity|larger"):
        quantity_units(text)


@settings(max_examples=some(200), deadline=None)
@given(st.integers(-(2**62), 2**62))
def test_whole_numbers_are_themselves(number: int) -> None:
    assert quantity_units(str(number)) == quantity_units(number) == number
