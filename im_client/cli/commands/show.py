"""`im show`."""

import click

from im_client.cli.session import infra_argument, json_option, opened, which
from infracore.cli.console import print_data, print_json
from infracore.cli.lazy import ExampleCommand

__all__ = ["command"]


@click.command(
    "show",
    cls=ExampleCommand,
    short_help="Show one infrastructure and its machines.",
    examples=(
        ("im show demo", "Its machines with their states and addresses."),
        ("im show --json", "The only infrastructure there is, for a program."),
    ),
)
@infra_argument
@json_option
def command(infra: str | None, as_json: bool) -> None:
    """Show one infrastructure and its machines as they are recorded. INFRA is a name, or the beginning of an id."""
    from im_client.services.reading import show

    with opened() as ctx:
        view = show(ctx, which(ctx, infra))
    if as_json:
        from im_client.cli.shapes import infrastructure_shape

        print_json(infrastructure_shape(view, with_nodes=True))
    else:
        from im_client.cli.tables import show_view

        print_data(show_view(view))
