"""`clues disable`."""

import click

from clues.cli.session import client, names_argument, tell
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option

__all__ = ["command"]


@click.command(
    "disable",
    cls=ExampleCommand,
    short_help="Take machines out of use.",
    examples=(
        ("clues disable wn-3 --reason 'fan is loud'", "Drained and off, and not ordered again."),
        ("clues disable wn-3 wn-4", "Two of them."),
    ),
)
@names_argument
@click.option("--reason", default="", metavar="TEXT", help="Why; shown by clues why.")
@json_option
def command(names: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Take machines out of use: drained and off, and not ordered again until clues enable."""
    tell(client().disable(names, reason=reason), as_json=as_json)
