"""YAML of others does no harm."""

import pytest
import yaml

from infracore.yaml_text import MAX_DEPTH, load_yaml, yaml_problem

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


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "x: [{a: 1,\n a: 2}]\n"])
def test_a_key_that_stands_twice_is_refused_where_that_is_asked(text: str) -> None:
    assert load_yaml(text)
    with pytest.raises(ValueError, match=r"line [23]: a stands twice"):
        load_yaml(text, once=True)


def test_names_that_stand_once_are_read_with_aliases_too() -> None:
    read = load_yaml("a: &a {x: 1}\nb: {y: *a}\nc: &c [*c, *a]\n", aliases=True, once=True)
    assert read["b"] == {"y": {"x": 1}}


@pytest.mark.parametrize("text", ['password: "hunter2\nb: x: y', "password: hunter2: x", "a: [hunter2"])
def test_what_is_wrong_is_said_without_the_lines_themselves(text: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        load_yaml(text)
    said = yaml_problem(caught.value)
    assert said.startswith("line ")
    assert "hunter2" not in said
