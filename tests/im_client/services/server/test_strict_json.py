"""JSON of strangers is read as one thing only, and a hostile one has a plain error."""

import msgspec
import pytest

from im_client.services.server.strict_json import decode_strictly
from infracore.errors import InvalidUsage

DEEP = "[" * 30_000 + "]" * 30_000


class Point(msgspec.Struct, frozen=True):
    x: int
    name: str = ""


def test_what_has_the_shape_is_read() -> None:
    assert decode_strictly('{"x": 1, "more": [{"x": 2}]}', Point, "point", "") == Point(1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "truncated"),
        ("{", "truncated"),
        ('{"x": "secret"}', "Expected `int`, got `str`"),
        ('{"x": 1, "x": 2}', "key 2 of an object stands in it twice"),
        ('{"x": 1, "more": [{"y": 1, "z": 1, "y": 1}]}', "key 3"),
        (f'{{"x": 1, "more": {DEEP}}}', "nested too deeply"),
        ('{"x": 1, "more": ' + "9" * 5000 + "}", "digits"),
        ('{"x": 1, "name": "\\ud800"}', "truncated"),
        ('{"x": NaN}', "malformed"),
    ],
)
def test_what_has_not_is_refused_without_its_values(text: str, why: str) -> None:
    with pytest.raises(InvalidUsage, match="no point") as caught:
        decode_strictly(text, Point, "point", "send a point")
    assert why in caught.value.message
    assert "secret" not in caught.value.message
