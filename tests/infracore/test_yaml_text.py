"""YAML of others does no harm."""

import pytest
import yaml

from infracore.yaml_text import MAX_DEPTH, load_yaml

BOMB = "a: &a [1, 1]\n" + "".join(f"{new}: &{new} [*{old}, *{old}]\n" for old, new in zip("abcd", "bcde", strict=True))
MERGES = "a: &a {x: 1}\nb: {<<: [*a, *a]}\n"


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("", None), ("[1, {a: b}]", [1, {"a": "b"}]), ("x\n", "x"), ("[" * MAX_DEPTH + "]" * MAX_DEPTH, ...)],
)
def test_what_people_write_is_read(text: str, value: object) -> None:
    assert value is ... or load_yaml(text) == value


@pytest.mark.parametrize("text", ["[" * 250_000, "{a: " * 60_000, "- " * 100_000 + "a", BOMB, MERGES, "2020-99-99"])
def test_what_would_end_or_fill_the_process_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"nested deeper|an alias|month"):
        load_yaml(text)


def test_what_is_no_yaml_is_said_so() -> None:
    with pytest.raises(yaml.YAMLError):
        load_yaml("[1")


def test_aliases_where_they_are_allowed() -> None:
    assert load_yaml("a: &a [1]\nb: *a", aliases=True) == {"a": [1], "b": [1]}
    with pytest.raises(ValueError, match="deeper"):
        load_yaml("[" * 250_000, aliases=True)
