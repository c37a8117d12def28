"""`im stop`."""

import click

from im_client.cli.change import wait_option
from im_client.cli.power import change_power
from im_client.cli.session import named_infra_argument, nodes_argument, stream_option
from infracore.cli.lazy import ExampleCommand

__all__ = ["command"]


@click.command(
    "stop",
    cls=ExampleCommand,
    short_help="Stop machines; their disks and addresses stay.",
    examples=(
        ("im stop demo", "Stop all machines of an infrastructure."),
        ("im stop demo worker-1 worker-2", "Only these."),
    ),
)
@named_infra_argument
@nodes_argument
@wait_option
@stream_option
def command(infra: str, nodes: tuple[str, ...], wait_s: float | None, as_json: bool) -> int:
    """Stop machines: those that are named, or all. Their disks and addresses stay. Nothing is asked."""
    return change_power("stop", infra, nodes, wait_s=wait_s, as_json=as_json)
