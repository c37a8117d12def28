"""`clues hold`."""

import click

from clues.cli.session import client, complete_name, tell
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option

__all__ = ["command"]


@click.command(
    "hold",
    cls=ExampleCommand,
    short_help="Keep machines as they are, or pause everything.",
    examples=(
        ("clues hold wn-3 --reason 'disk is being copied'", "This machine stays as it is, on or off."),
        ("clues hold", "Pause: nothing is turned on or off until clues release."),
    ),
)
@click.argument("names", nargs=-1, metavar="[NODE]...", shell_complete=complete_name)
@click.option("--reason", default="", metavar="TEXT", help="Why; shown by clues why.")
@json_option
def command(names: tuple[str, ...], reason: str, as_json: bool) -> None:
    """Keep machines as they are: neither on nor off by decision. Without a name: all of them, a pause."""
    tell(client().hold(names, reason=reason), as_json=as_json)
