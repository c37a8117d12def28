"""`im refresh`."""

import click

from im_client.cli.change import patience, wait_option
from im_client.cli.interrupt import interruptible
from im_client.cli.session import infra_argument, json_option, opened, which
from infracore.cli.console import print_data, print_json, say
from infracore.cli.lazy import ExampleCommand

__all__ = ["command"]


@click.command(
    "refresh",
    cls=ExampleCommand,
    short_help="Ask the provider how the machines are, and record it.",
    examples=(
        ("im refresh demo", "Look at every machine, then show the infrastructure."),
        ("im refresh demo --json", "The same for a program."),
    ),
)
@infra_argument
@wait_option
@json_option
def command(infra: str | None, wait_s: float | None, as_json: bool) -> None:
    """Ask the provider how the machines are, record it, and show the infrastructure."""
    from im_client.services.power import refresh

    with opened() as ctx:
        name = which(ctx, infra)
        with interruptible(say, again=f"im refresh {name}") as cancel:
            view = refresh(ctx, name, cancel=cancel, wait_s=patience(ctx, wait_s))
    if as_json:
        from im_client.cli.shapes import infrastructure_shape

        print_json(infrastructure_shape(view, with_nodes=True))
    else:
        from im_client.cli.tables import show_view

        print_data(show_view(view))
