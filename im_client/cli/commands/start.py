"""`im start`."""

import click

from im_client.cli.change import wait_option
from im_client.cli.power import change_power
from im_client.cli.session import named_infra_argument, nodes_argument, stream_option
from infracore.cli.lazy import ExampleCommand

__all__ = ["command"]


@click.command(
    "start",
    cls=ExampleCommand,
    short_help="Start machines that are stopped.",
    examples=(
        ("im start demo", "Start all machines of an infrastructure."),
        ("im start demo worker-1 worker-2", "Only these."),
    ),
)
@named_infra_argument
@nodes_argument
@wait_option
@stream_option
def command(infra: str, nodes: tuple[str, ...], wait_s: float | None, as_json: bool) -> int:
    """Start machines that are stopped: those that are named, or all. Nothing is asked."""
    return change_power("start", infra, nodes, wait_s=wait_s, as_json=as_json)
