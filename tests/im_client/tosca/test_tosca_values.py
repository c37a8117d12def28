"""Values of simple types, scalar units and constraints."""

import pytest

from im_client.template.findings import Place, Source
from im_client.tosca.schema import Clause, Constraint
from im_client.tosca.source import Seq
from im_client.tosca.values import Mismatch, amount, simple_value, violated
from infracore.secrets import Secret

PLACE = Place(Source("t"), 1, 1)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        ("a", "string", "a"),
        (1.5, "string", "1.5"),
        (True, "string", "True"),
        (3, "integer", 3),
        ("3", "integer", 3),
        (3.0, "integer", 3),
        (1, "float", 1.0),
        ("0.5", "float", 0.5),
        ("TRUE", "boolean", True),
        (False, "boolean", False),
        ("4GB", "scalar-unit.size", "4 GB"),
        ("4 gib", "scalar-unit.size", "4 GiB"),
        ("10 m", "scalar-unit.time", "10 m"),
        ("2.4 GHz", "scalar-unit.frequency", "2.4 GHz"),
        (18, "version", "18.0"),
        ("1.2.3", "version", "1.2.3"),
        ("2026-01-31T10:00:00Z", "timestamp", "2026-01-31T10:00:00Z"),
        ("31 January 2026", "timestamp", "31 January 2026"),
        ([1, "UNBOUNDED"], "range", (1, "UNBOUNDED")),
    ],
)
def test_values_have_one_form(value: object, kind: str, expected: object) -> None:
    assert simple_value(value, kind, strict=False) == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ([1], "string"),
        ("two", "integer"),
        (2.5, "integer"),
        (True, "integer"),
        ("x", "float"),
        (10**400, "float"),
        ("maybe", "boolean"),
        (1, "boolean"),
        ("4", "scalar-unit.size"),
        (4, "scalar-unit.size"),
        ("4 potatoes", "scalar-unit.size"),
        ("4 GB", "scalar-unit.time"),
        ("v1", "version"),
        ("soon", "timestamp"),
        ([5, 1], "range"),
        ([1], "range"),
        ([1, "x"], "range"),
    ],
)
def test_values_of_another_type_are_refused(value: object, kind: str) -> None:
    with pytest.raises(Mismatch):
        simple_value(value, kind, strict=False)


def test_strict_text_takes_no_numbers() -> None:
    with pytest.raises(Mismatch, match="5 is not text"):
        simple_value(5, "string", strict=True)


@pytest.mark.parametrize(
    ("text", "bytes_"), [("1 kB", 1000), ("1 KiB", 1024), ("1.5 GiB", 1610612736), ("0 MB", 0), ("2TB", 2 * 10**12)]
)
def test_sizes_are_counted_in_bytes(text: str, bytes_: int) -> None:
    assert amount(text, "scalar-unit.size")[0] == bytes_


def items(*values: object) -> Seq:
    seq = Seq(PLACE)
    for value in values:
        seq.put(value, PLACE)  # type: ignore[arg-type]
    return seq


@pytest.mark.parametrize(
    ("value", "kind", "clause", "argument", "keeps"),
    [
        (3, "integer", Clause.EQUAL, 3, True),
        (3, "integer", Clause.EQUAL, 4, False),
        (1, "integer", Clause.EQUAL, True, False),
        (3, "integer", Clause.GREATER_THAN, 3, False),
        (3, "integer", Clause.GREATER_OR_EQUAL, 3, True),
        (3, "integer", Clause.LESS_THAN, 3, False),
        (3, "integer", Clause.LESS_OR_EQUAL, 3, True),
        (3, "integer", Clause.IN_RANGE, items(1, 3), True),
        (9, "integer", Clause.IN_RANGE, items(1, "UNBOUNDED"), True),
        (0, "integer", Clause.IN_RANGE, items(1, "UNBOUNDED"), False),
        ("a", "string", Clause.VALID_VALUES, items("a", "b"), True),
        ("1.2", "string", Clause.VALID_VALUES, items(1.2), True),
        ("c", "string", Clause.VALID_VALUES, items("a", "b"), False),
        ("1024 MiB", "scalar-unit.size", Clause.VALID_VALUES, items("1 GiB"), True),
        ("512 MB", "scalar-unit.size", Clause.GREATER_OR_EQUAL, "1 GB", False),
        ("abc", "string", Clause.LENGTH, 3, True),
        ("abc", "string", Clause.MIN_LENGTH, 4, False),
        ((1, 2), "list", Clause.MAX_LENGTH, 1, False),
        ("abc", "string", Clause.PATTERN, "[a-c]+", True),
        ("abcd", "string", Clause.PATTERN, "[a-c]+", False),
        ((2000, 2100), "range", Clause.IN_RANGE, items(1, 65535), True),
        ((2000, 70000), "range", Clause.IN_RANGE, items(1, 65535), False),
    ],
)
def test_constraints(value: object, kind: str, clause: Clause, argument: object, keeps: bool) -> None:
    constraint = Constraint(clause, argument, PLACE)  # type: ignore[arg-type]
    assert (violated(value, kind, constraint) == "") is keeps  # type: ignore[arg-type]


def test_a_constraint_looks_into_a_secret_and_does_not_tell() -> None:
    broken = violated(Secret("short"), "string", Constraint(Clause.MIN_LENGTH, 8, PLACE))
    assert broken == "is shorter than 8"


def test_a_bad_pattern_is_a_mismatch() -> None:
    with pytest.raises(Mismatch, match="not a regular expression"):
        violated("a", "string", Constraint(Clause.PATTERN, "[", PLACE))
