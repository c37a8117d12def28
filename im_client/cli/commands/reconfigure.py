"""`im reconfigure`."""

import click

from im_client.cli.change import carry_out, wait_option
from im_client.cli.session import named_infra_argument, nodes_argument, opened, stream_option
from infracore.cli.lazy import ExampleCommand

__all__ = ["command"]


@click.command(
    "reconfigure",
    cls=ExampleCommand,
    short_help="Run the configuration of machines again.",
    examples=(
        ("im reconfigure demo", "Run all playbooks of all machines again."),
        ("im reconfigure demo worker-1", "Only on one machine."),
    ),
)
@named_infra_argument
@nodes_argument
@wait_option
@stream_option
def command(infra: str, nodes: tuple[str, ...], wait_s: float | None, as_json: bool) -> int:
    """Run the configuration of machines again: of those that are named, or of all. Nothing is asked."""
    import shlex

    from im_client.services.prepare import prepare_reconfigure

    with opened() as ctx:
        return carry_out(
            ctx,
            prepare_reconfigure(ctx, infra, nodes),
            again=shlex.join(["im", "reconfigure", infra, *nodes]),
            question="",
            yes=True,
            as_json=as_json,
            wait_s=wait_s,
        )
