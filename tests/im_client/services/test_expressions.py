"""What Ansible would evaluate is found wherever it stands in a value."""

import pytest

from im_client.services.expressions import holds_expression
from im_client.topology.values import Value
from infracore.secrets import Secret


@pytest.mark.parametrize("value", ["{{ x }}", {"a": ("b", "{% x %}")}, {"{# x": 1}, Secret("a{{"), (({"x": "{{"},),)])
def test_an_expression_is_found(value: Value) -> None:
    assert holds_expression(value)


@pytest.mark.parametrize("value", [None, 1, True, "a { b } c", {"a": ("b", "}}")}, Secret("$x")])
def test_other_values_hold_none(value: Value) -> None:
    assert not holds_expression(value)
