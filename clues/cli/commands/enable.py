"""`clues enable`."""

import click

from clues.cli.session import client, names_argument, tell
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option

__all__ = ["command"]


@click.command(
    "enable",
    cls=ExampleCommand,
    short_help="Bring machines back into use.",
    examples=(
        ("clues enable wn-3", "It may be ordered again, and its failures are forgotten."),
        ("clues enable wn-3 wn-4 --json", "Two of them, answered for a program."),
    ),
)
@names_argument
@json_option
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Bring machines back into use, after clues disable or after too many failures."""
    tell(client().enable(names), as_json=as_json)
