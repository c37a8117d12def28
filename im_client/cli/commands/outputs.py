"""`im outputs`."""

import click

from im_client.cli.session import infra_argument, json_option, opened, which
from infracore.cli.lazy import ExampleCommand

__all__ = ["command"]


@click.command(
    "outputs",
    cls=ExampleCommand,
    short_help="Print the outputs of an infrastructure.",
    examples=(
        ("im outputs demo", "All outputs; secrets are shown as ***."),
        ("im outputs demo front_ip", "One value alone, for a script."),
        ("im outputs demo --json --reveal", "All, secrets in clear, for a program."),
    ),
)
@infra_argument
@click.argument("name", required=False)
@click.option("--reveal", is_flag=True, help="Print secrets in clear.")
@json_option
def command(infra: str | None, name: str | None, reveal: bool, as_json: bool) -> None:
    """Print the outputs of the last run, or the one that is called NAME."""
    from im_client.cli.found import print_outputs
    from im_client.services.reading import outputs

    with opened() as ctx:
        found = outputs(ctx, which(ctx, infra), reveal=reveal)
    print_outputs(found, name, as_json=as_json)
