"""Quantities are read and written as people do."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infracore.units import duration_s, format_bytes, format_duration, frequency_hz, size_bytes
from tests.laws import some


@pytest.mark.parametrize(
    ("text", "expected"),
    [("4 GiB", 4 * 2**30), ("4GB", 4 * 10**9), (" 1.5 kib ", 1536), ("0 B", 0), ("1e3 MB", 10**9), ("2 TiB", 2**41)],
)
def test_sizes(text: str, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"), [("10 m", 600.0), ("2d", 172800.0), ("1.5 h", 5400.0), ("20 ms", 0.02), ("3 US", 3e-6)]
)
def test_durations(text: str, expected: float) -> None:
    assert duration_s(text) == pytest.approx(expected)


def test_frequencies() -> None:
    assert frequency_hz("2.4 GHz") == pytest.approx(2.4e9)


@pytest.mark.parametrize("read", [size_bytes, duration_s, frequency_hz])
@pytest.mark.parametrize("text", ["", "4", "GiB", "4 parsec", "-4 B", "4 G iB", "four GB", "4,5 GB"])
def test_what_is_no_quantity_is_refused(read: object, text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        read(text)  # type: ignore[operator]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 ms"),
        (0.85, "850 ms"),
        (0.9996, "1.0 s"),
        (12.34, "12.3 s"),
        (59.96, "1 m 00 s"),
        (245, "4 m 05 s"),
        (3599.7, "1 h 00 m"),
        (7800, "2 h 10 m"),
        (172700, "47 h 58 m"),
        (200000, "2 d 07 h"),
    ],
)
def test_durations_are_written_as_people_say_them(seconds: float, expected: str) -> None:
    assert format_duration(seconds) == expected


@pytest.mark.parametrize(
    ("count", "expected"),
    [(0, "0 B"), (900, "900 B"), (1024, "1 KiB"), (2**20 - 1, "1 MiB"), (3 * 2**29, "1.5 GiB"), (2**50, "1024 TiB")],
)
def test_sizes_are_written_with_the_largest_unit_that_they_fill(count: int, expected: str) -> None:
    assert format_bytes(count) == expected


@settings(max_examples=some(40), deadline=None)
@given(st.integers(0, 2**60))
def test_what_is_written_reads_back_within_the_last_digit(count: int) -> None:
    assert size_bytes(format_bytes(count)) == pytest.approx(count, rel=0.06)
