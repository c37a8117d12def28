"""Options that mean the same in every command."""

import click

from infracore.errors import InvalidUsage

__all__ = ["json_option", "split_pairs", "yes_option"]

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Answer yes to the question.")


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
