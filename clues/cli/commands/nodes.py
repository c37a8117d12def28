"""`clues nodes`."""

import click

from clues.cli.session import client
from infracore.cli.console import print_data, print_json, say
from infracore.cli.lazy import ExampleCommand
from infracore.cli.options import json_option

__all__ = ["command"]


@click.command(
    "nodes",
    cls=ExampleCommand,
    short_help="List nodes and machines, and why each stays or goes.",
    examples=(
        ("clues nodes", "All nodes, and machines that are none now."),
        ("clues nodes --pool big --state off", "The machines of one pool that are off."),
    ),
)
@click.option("--pool", "pools", multiple=True, metavar="NAME", help="Only of this pool; may be repeated.")
@click.option("--state", "states", multiple=True, metavar="STATE", help="Only in this state; may be repeated.")
@json_option
def command(pools: tuple[str, ...], states: tuple[str, ...], as_json: bool) -> None:
    """List nodes and machines, and why each stays or goes.

    States: ready, unready, booting, draining, stopping, off, failed, unmanaged.
    """
    import msgspec

    daemon = client()
    found = [
        view for view in daemon.nodes() if (not pools or view.pool in pools) and (not states or view.state in states)
    ]
    if as_json:
        print_json(msgspec.to_builtins(found))
    elif not found:
        say("no nodes" + (" that fit" if pools or states else ""))
    else:
        from clues.cli.tables import nodes_table

        print_data(nodes_table(found, daemon.status().now))
