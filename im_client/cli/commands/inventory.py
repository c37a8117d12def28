"""`im inventory`."""

import click

from im_client.cli.session import infra_argument, json_option, opened, which
from infracore.cli.lazy import ExampleCommand

__all__ = ["command"]


@click.command(
    "inventory",
    cls=ExampleCommand,
    short_help="Print the machines as an Ansible inventory.",
    examples=(
        ("im inventory demo > demo.ini", "An inventory in INI form, without secrets."),
        ("im inventory demo --json", "The same as JSON, which Ansible reads as well."),
    ),
)
@infra_argument
@json_option
def command(infra: str | None, as_json: bool) -> None:
    """Print the machines as an Ansible inventory, without keys and passwords.

    `im ssh INFRA --print --key-file FILE` writes the key that `ansible --private-key FILE` takes.
    """
    from im_client.cli.found import print_inventory
    from im_client.services.reading import access_of_all, show

    with opened() as ctx:
        view = show(ctx, which(ctx, infra))
        accesses = access_of_all(ctx, view.record, list(view.nodes))
    groups = {node.name: node.group for node in view.nodes}
    print_inventory(
        groups, accesses, comment=f"{view.record.name} ({view.record.id})", as_json=as_json, with_python=True
    )
