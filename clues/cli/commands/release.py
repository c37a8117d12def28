"""`clues release`."""

import click

from clues.cli.session import client, complete_name, tell
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option

__all__ = ["command"]


@click.command(
    "release",
    cls=ExampleCommand,
    short_help="End a hold or the pause.",
    examples=(
        ("clues release wn-3", "Decisions count again for this machine."),
        ("clues release", "End the pause; machines that are held by name stay held."),
    ),
)
@click.argument("names", nargs=-1, metavar="[NODE]...", shell_complete=complete_name)
@json_option
def command(names: tuple[str, ...], as_json: bool) -> None:
    """End a hold. Without a name: end the pause."""
    tell(client().release(names), as_json=as_json)
