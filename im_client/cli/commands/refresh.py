"""`im refresh`."""

import click

from im_client.cli.console import print_data, print_json
from im_client.cli.interrupt import interruptible
from im_client.cli.lazy import ExampleCommand
from im_client.cli.progress import progress
from im_client.cli.session import infra_argument, json_option, opened, which

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
@json_option
def command(infra: str | None, as_json: bool) -> None:
    """Ask the provider how the machines are, record it, and show the infrastructure."""
    from im_client.services.power import refresh

    with opened() as ctx:
        name = which(ctx, infra)
        with progress(as_json=False) as listener, interruptible(listener.notice, again=f"im refresh {name}") as cancel:
            view = refresh(ctx, name, listener=listener, cancel=cancel)
    if as_json:
        from im_client.cli.shapes import infrastructure_shape

        print_json(infrastructure_shape(view, with_nodes=True))
    else:
        from im_client.cli.tables import show_view

        print_data(show_view(view))
