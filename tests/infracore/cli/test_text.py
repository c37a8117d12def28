"""Hostile text reaches a terminal harmless."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infracore.cli.text import clean, clean_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("two\nlines", "two\\x0alines"),
        ("\x9b31m", "\\x9b31m"),
        ("\u202egpj.exe", "\\u202egpj.exe"),
        ("Grüße, 世界", "Grüße, 世界"),
    ],
)
def test_control_characters_are_spelled_out_and_letters_stay(text: str, shown: str) -> None:
    assert clean(text) == shown


@given(st.text())
def test_cleaned_text_is_one_line_without_escapes(text: str) -> None:
    shown = clean(text)
    assert len(shown.splitlines()) <= 1
    assert "\x1b" not in shown
    assert clean(shown) == shown


@given(st.text())
def test_cleaned_lines_keep_their_number(text: str) -> None:
    assert len(clean_lines(text).splitlines()) <= len(text.splitlines())
