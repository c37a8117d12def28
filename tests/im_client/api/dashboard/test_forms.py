"""From the inputs of a template to a form, and back to values."""

from typing import Any

import pytest

from im_client.api.dashboard.forms import Widget, fields_of, read_fields, with_problems
from im_client.services.templates import Said
from im_client.template.analysis import InputDefinition
from im_client.template.problems import Code, Level, Problem
from infracore.secrets import Secret


def an_input(kind: str = "string", default: Any = None, **more: Any) -> InputDefinition:
    return InputDefinition("x", kind, default=default, has_default=default is not None, **more)


CASES: list[tuple[InputDefinition, Widget, str, str]] = [
    (an_input("string", "a"), Widget.TEXT, "a", ""),
    (an_input("integer", 3, constraints=(("in_range", (1, 5)),)), Widget.NUMBER, "3", "1 to 5"),
    (an_input("integer", constraints=(("greater_than", 0), ("less_than", 9))), Widget.NUMBER, "", "1 to 8"),
    (an_input("float", 0.5, constraints=(("less_or_equal", 2.5),)), Widget.NUMBER, "0.5", "at most 2.5"),
    (an_input("boolean", default=True), Widget.SWITCH, "true", ""),
    (an_input("string", "b", constraints=(("valid_values", ("a", "b")),)), Widget.CHOICE, "b", ""),
    (an_input("string", "s3cret", secret=True), Widget.PASSWORD, "", "left empty: as the template says"),
    (an_input("string", "random(9)", secret=True, random=9), Widget.PASSWORD, "", "left empty: 9 random characters"),
    (an_input("list", ("a", "b"), entry="string"), Widget.LINES, "a\nb", "one a line"),
    (an_input("map", {"a": 1}, entry="integer"), Widget.PAIRS, "a: 1", "one a line, as NAME: VALUE"),
    (an_input("list", ({"a": 1},), entry="tosca.x.PortSpec"), Widget.YAML, "- a: 1", "YAML of list"),
    (an_input("tosca.datatypes.Credential"), Widget.YAML, "", "YAML of Credential"),
    (an_input("scalar-unit.size", "4 GiB"), Widget.TEXT, "4 GiB", "with its unit, such as 4 GiB"),
    (an_input("string", constraints=(("pattern", "a+"),)), Widget.TEXT, "", "like a+"),
    (an_input("string", constraints=(("min_length", 2),)), Widget.TEXT, "", "at least 2 characters"),
    (an_input("string", "a\nb", constraints=(("max_length", 5000),)), Widget.LONG, "a\nb", "at most 5000 characters"),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "widget", "value", "hint"), CASES)
def test_a_field_follows_from_its_input(definition: InputDefinition, widget: Widget, value: str, hint: str) -> None:
    (field,) = fields_of({"x": definition}, {})
    assert (field.widget, field.value) == (widget, value)
    assert hint in field.hint
    assert "s3cret" not in repr(field)


READ: list[tuple[InputDefinition, str, object]] = [
    (an_input("string"), "7", "7"),
    (an_input("string"), "", None),
    (an_input("string", ""), "", None),
    (an_input("string", "a"), "", ""),
    (an_input("string", "", constraints=(("max_length", 5000),)), "a\r\n b\r\n", "a\n b\n"),
    (an_input("integer", 3), "", None),
    (an_input("integer", 3), "4", Said("4")),
    (an_input("boolean", default=True), "false", False),
    (an_input("boolean"), "true", True),
    (an_input("integer", 1, constraints=(("valid_values", (1, 2)),)), "2", 2),
    (an_input("integer", 1, constraints=(("valid_values", (1, 2)),)), "3", Said("3")),
    (an_input("string", secret=True), "s3cret", Secret("s3cret")),
    (an_input("string", "a", secret=True), "", None),
    (an_input("list", entry="string"), " a \n\n 7\n", ("a", "7")),
    (an_input("list", entry="integer"), "1\nx", (1, "x")),
    (an_input("list", ("a",), entry="string"), "", ()),
    (an_input("map", entry="integer"), "a: 1\nb:c: 2", {"a": 1, "b": "c: 2"}),
    (an_input("map", entry="string"), "a: https://x", {"a": "https://x"}),
    (an_input("list", entry="map"), "- {a: 1}", Said("- {a: 1}")),
    (an_input("list", entry="integer"), "[" * 200_000, ("[" * 200_000,)),
    (an_input("list", entry="integer"), "2020-99-99", ("2020-99-99",)),
]


@pytest.mark.parametrize(("definition", "said", "value"), READ)
def test_what_is_written_becomes_a_value(definition: InputDefinition, said: str, value: object) -> None:
    values, (field,) = read_fields({"x": definition}, {"x": said})
    assert values.get("x") == value
    assert type(values.get("x")) is type(value)
    assert field.error == ""


def test_a_field_that_was_not_shown_takes_its_default() -> None:
    values, fields = read_fields({"x": an_input("boolean", default=True)}, {})
    assert values == {}
    assert fields[0].value == "true"


def test_a_line_that_is_no_pair_is_named() -> None:
    _, (field,) = read_fields({"x": an_input("map", entry="string")}, {"x": "a: b\nnothing"})
    assert field.error == "'nothing' is not NAME: VALUE"


def test_problems_stand_beside_their_fields_and_hide_what_follows_from_them() -> None:
    definitions = {
        "x": InputDefinition("x", "integer", file="https://a/1/template.yaml", line=7),
        "y": InputDefinition("y", "integer", file="https://a/1/add-on-1.yaml", line=7),
    }
    fields = fields_of(definitions, {})
    mine = Problem("https://b/2/template.yaml", 7, 5, Code.WRONG_TYPE, "no integer", "write 1")
    yours = Problem("https://b/2/add-on-1.yaml", 7, 5, Code.MISSING_INPUT, "is needed", "give it: -i y=VALUE")
    far = Problem("https://b/2/template.yaml", 90, 5, Code.BAD_SCALE, "too many")
    warning = Problem("https://b/2/template.yaml", 7, 5, Code.IGNORED, "of no effect", level=Level.WARNING)
    found, rest = with_problems(fields, definitions, [mine, yours, far, warning])
    assert [field.error for field in found] == ["no integer (write 1)", "is needed"]
    assert rest == []
    assert with_problems(fields, definitions, [far])[1] == ["template.yaml, line 90: too many"]
