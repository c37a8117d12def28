"""JSON of strangers: of one shape, no deeper than this program reads, and with no key twice in an object. Pure."""

import json
from typing import Any, TypeVar

import msgspec

from infracore.errors import InvalidUsage

__all__ = ["decode_strictly"]

_T = TypeVar("_T")


class _Twice(ValueError):
    """A key stands twice: one reader would take the first value, another one the last."""


def decode_strictly(text: str, shape: type[_T], what: str, hint: str) -> _T:
    """Read a text as `shape`; `what` says in the error what it should have been.

    Raises:
        InvalidUsage: it is none. The message holds no value of the text.
    """
    try:
        found = msgspec.json.decode(text, type=shape)
        json.loads(text, object_pairs_hook=_once)
    except (msgspec.DecodeError, ValueError) as error:
        raise InvalidUsage(f"this is no {what}: {str(error)[:200]}", hint) from error
    except RecursionError as error:
        raise InvalidUsage(f"this is no {what}: it is nested too deeply", hint) from error
    return found


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen = set()
    for number, (key, _) in enumerate(pairs, start=1):
        if key in seen:
            raise _Twice(f"key {number} of an object stands in it twice")
        seen.add(key)
