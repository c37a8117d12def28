"""`clues status`."""

import click

from clues.cli.session import client
from infracore.cli.console import print_data, print_json
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option

__all__ = ["command"]


@click.command(
    "status",
    cls=ExampleCommand,
    short_help="Show the daemon, its pools and what it is doing.",
    examples=(
        ("clues status", "Is it well, what do the pools have, and what is going on."),
        ("clues status --json", "The same for a program."),
    ),
)
@json_option
def command(as_json: bool) -> None:
    """Show the daemon, its pools and what it is doing. Ends with 1 where no daemon runs."""
    import msgspec

    status = client().status()
    if as_json:
        print_json(msgspec.to_builtins(status))
        return
    from clues.cli.tables import status_view

    print_data(status_view(status))
