"""Options that mean the same in every command."""

import math
from typing import Any

import click

from infracore.errors import InvalidUsage

__all__ = ["FiniteRange", "json_option", "split_pairs", "yes_option"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Answer yes to the question.")


class FiniteRange(click.FloatRange):
    """A number in a range; `nan`, which compares as less than no limit, is in none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is no number that can be counted with.", param, ctx)
        return number


def split_pairs(words: tuple[str, ...], flag: str) -> dict[str, str]:
    """Read `KEY=VALUE` words.

    Raises:
        InvalidUsage: a word without `=` or without a key.
    """
    pairs: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise InvalidUsage(f"{flag} {word!r} is not KEY=VALUE")
        pairs[key] = value
    return pairs
