"""Slurm's small languages."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clues.slurmapi import words


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("IDLE", "IDLE"),
        ("IDLE*", "IDLE NOT_RESPONDING"),
        ("DOWN*+DRAIN", "DOWN DRAIN NOT_RESPONDING"),
        ("MIXED+PLANNED", "MIXED PLANNED"),
        ("mix-", "MIXED PLANNED"),
        ("idle~", "IDLE POWERED_DOWN"),
        ("alloc#", "ALLOCATED POWERING_UP"),
        ("IDLE+CLOUD+POWERING_DOWN", "CLOUD IDLE POWERING_DOWN"),
        ("idle%", "IDLE POWERING_DOWN"),
        ("idle!", "IDLE POWER_DOWN"),
        ("alloc$", "ALLOCATED MAINTENANCE"),
        ("idle@", "IDLE REBOOT_REQUESTED"),
        ("ALLOCATED+COMPLETING", "ALLOCATED COMPLETING"),
        ("comp", "ALLOCATED COMPLETING"),
        ("drng", "ALLOCATED DRAIN"),
        ("drained", "DRAIN IDLE"),
        ("maint", "MAINTENANCE"),
        ("FUTURE", "FUTURE"),
        (["IDLE", "CLOUD", "NOT_RESPONDING"], "CLOUD IDLE NOT_RESPONDING"),
        ("NEW_WORD+IDLE", "IDLE NEW_WORD"),
        ("", ""),
    ],
)
def test_node_states_in_every_spelling(text: Any, found: str) -> None:
    assert words.node_words(text) == frozenset(found.split())


@pytest.mark.parametrize(
    ("text", "gres"),
    [
        ("gpu:2", {"gpu": 2}),
        ("gpu", {"gpu": 1}),
        ("gres:gpu:tesla:1", {"gpu": 1, "gpu:tesla": 1}),
        ("gres/gpu:a100=2,gres/shard=4", {"gpu": 2, "gpu:a100": 2, "shard": 4}),
        ("gpu:tesla:2(S:0-1),gpu:kepler:1(IDX:0,2)", {"gpu": 3, "gpu:tesla": 2, "gpu:kepler": 1}),
        ("(null)", {}),
        ("N/A", {}),
        ("", {}),
    ],
)
def test_generic_resources(text: str, gres: dict[str, int]) -> None:
    assert dict(words.gres_of(text)) == gres


def test_times_sizes_and_arrays() -> None:
    assert [words.minutes(t) for t in ("UNLIMITED", "30:00", "1-00:00:00", "1:30:30", "45")] == [
        None, 30, 1440, 91, 45]  # fmt: skip
    assert [words.memory_mb(t) for t in ("100M", "1.50G", "4000", "2T", "(null)", "512K")] == [
        100, 1536, 4000, 2097152, 0, 0]  # fmt: skip
    assert words.array_tasks("1-50%4") == (50, 4)
    assert words.array_tasks("[1,3,7-9:2]") == (4, 0)
    assert words.array_tasks("0-5,...") == (6, 0)
    assert [words.number(t) for t in ("4-8", "12", "1.5K", "UNLIMITED", "N/A")] == [4, 12, 1536, 0, 0]
    assert words.per_node((("gpu", 5),), 2) == (("gpu", 3),)


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (words.gres_of, "gpu:a:b:c"),
        (words.gres_of, "a b:1"),
        (words.minutes, "soon"),
        (words.memory_mb, "much"),
        (words.memory_mb, "-1"),
        (words.number, "many"),
        (words.array_tasks, "1-"),
        (words.array_tasks, "9-1"),
        (words.array_tasks, "1-99999999"),
    ],
)
def test_what_is_none_is_an_error(read: Callable[[str], Any], text: str) -> None:
    with pytest.raises(ValueError, match=r"is no|has more"):
        read(text)


@given(st.text(max_size=20), st.sampled_from([words.gres_of, words.minutes, words.memory_mb, words.array_tasks]))
def test_any_text_is_read_or_a_value_error(text: str, read: Callable[[str], Any]) -> None:
    try:
        read(text)
    except ValueError:
        return
