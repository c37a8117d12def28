"""Tables of what label selectors, node selectors and tolerations match."""

import pytest

from clues.model import Effect, NodeTerm, Operator, Requirement, Selector, Taint, Toleration
from clues.policy.selectors import any_term_holds, holds, integer, selects, tolerates, untolerated

LABELS = {"a": "1", "n": "10", "w": "ten", "empty": ""}


@pytest.mark.parametrize(
    ("key", "operator", "values", "expected"),
    [
        ("a", "In", ("1", "2"), True),
        ("a", "In", ("2",), False),
        ("x", "In", ("1",), False),
        ("empty", "In", ("",), True),
        ("a", "In", (), False),
        ("a", "NotIn", ("1",), False),
        ("a", "NotIn", ("2",), True),
        ("x", "NotIn", ("1",), True),
        ("x", "NotIn", (), False),
        ("empty", "Exists", (), True),
        ("x", "Exists", (), False),
        ("a", "Exists", ("1",), False),
        ("x", "DoesNotExist", (), True),
        ("a", "DoesNotExist", (), False),
        ("n", "Gt", ("9",), True),
        ("n", "Gt", ("10",), False),
        ("n", "Lt", ("11",), True),
        ("n", "Lt", ("-1",), False),
        ("w", "Gt", ("1",), False),
        ("w", "Lt", ("1",), False),
        ("x", "Lt", ("1",), False),
        ("n", "Gt", ("one",), False),
        ("n", "Gt", ("1", "2"), False),
        ("n", "Lt", (str(1 << 63),), False),
    ],
)
def test_requirements(key: str, operator: str, values: tuple[str, ...], expected: bool) -> None:
    assert holds(Requirement(key, Operator(operator), values), LABELS) is expected


def test_selectors_of_nothing() -> None:
    assert not selects(None, LABELS)
    assert selects(Selector(), {})
    assert not any_term_holds((), LABELS, "n")
    assert not any_term_holds((NodeTerm(),), LABELS, "n")


@pytest.mark.parametrize(
    ("operator", "values", "name", "expected"),
    [
        ("In", ("n",), "n", True),
        ("In", ("n",), "m", False),
        ("NotIn", ("n",), "m", True),
        ("In", ("n", "m"), "n", False),
    ],
)
def test_fields(operator: str, values: tuple[str, ...], name: str, expected: bool) -> None:
    term = NodeTerm((), (Requirement("metadata.name", Operator(operator), values),))
    assert any_term_holds((term,), {}, name) is expected


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        (Toleration("", "Exists"), True),
        (Toleration("t", "Exists"), True),
        (Toleration("u", "Exists"), False),
        (Toleration("t", "Equal", "5"), True),
        (Toleration("t", "", "5"), True),
        (Toleration("t", "Equal", "6"), False),
        (Toleration("t", "Equal", "5", "NoSchedule"), True),
        (Toleration("t", "Equal", "5", "NoExecute"), False),
        (Toleration("t", "Gt", "4"), True),
        (Toleration("t", "Gt", "5"), False),
        (Toleration("t", "Lt", "6"), True),
        (Toleration("t", "Lt", "six"), False),
        (Toleration("t", "Sounds", "5"), False),
    ],
)
def test_tolerations(toleration: Toleration, expected: bool) -> None:
    assert tolerates(toleration, Taint("t", "5", Effect.NO_SCHEDULE)) is expected


def test_a_preference_keeps_nobody_away() -> None:
    soft, hard = Taint("t", "", Effect.PREFER_NO_SCHEDULE), Taint("t", "", Effect.NO_EXECUTE)
    assert untolerated((soft,), ()) is None
    assert untolerated((soft, hard), ()) is hard


@pytest.mark.parametrize(
    ("text", "number"), [("7", 7), ("+7", 7), ("-7", -7), ("", None), ("7 ", None), ("1_0", None), ("٣", None)]
)
def test_integers(text: str, number: int | None) -> None:
    assert integer(text) == number
