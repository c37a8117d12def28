"""`im list`."""

import click

from im_client.cli.session import json_option, opened
from infracore.cli.console import print_data, print_json, say
from infracore.cli.lazy import ExampleCommand

__all__ = ["command"]


@click.command(
    "list",
    cls=ExampleCommand,
    short_help="List the infrastructures.",
    examples=(
        ("im list", "All infrastructures, the newest first, as they are recorded."),
        ("im list --json", "The same for a program."),
    ),
)
@json_option
def command(as_json: bool) -> None:
    """List the infrastructures as they are recorded. No provider is asked: `im refresh` does that."""
    from im_client.services.reading import listing

    with opened() as ctx:
        views = listing(ctx)
        now = ctx.clock.now()
    if as_json:
        from im_client.cli.shapes import infrastructure_shape

        print_json({"infrastructures": [infrastructure_shape(view, with_nodes=False) for view in views]})
    elif views:
        from im_client.cli.tables import infrastructure_table

        print_data(infrastructure_table(views, now))
    else:
        say("there is no infrastructure; im deploy TEMPLATE makes one")
