"""`clues poweron`."""

import click

from clues.cli.session import client, complete_name, tell
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option

__all__ = ["command"]


@click.command(
    "poweron",
    cls=ExampleCommand,
    short_help="Order machines by hand.",
    examples=(
        ("clues poweron wn-3 wn-4", "Turn these machines on."),
        ("clues poweron big=2", "Order two more nodes of the pool big."),
    ),
)
@click.argument("names", nargs=-1, required=True, metavar="NODE|POOL=N...", shell_complete=complete_name)
@json_option
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Order machines by hand: by name, or so many more of a pool.

    Those that nobody needs go again after unneeded_s; clues hold keeps them.
    """
    tell(client().power_on(names), as_json=as_json)
