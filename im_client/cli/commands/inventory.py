"""`im inventory`."""

import click

from im_client.cli.session import infra_argument, json_option, opened, which
from infracore.cli.console import print_text
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
    from im_client.inventory.build import Entry, document, text_ini, text_json
    from im_client.services.reading import access_of_all, show

    with opened() as ctx:
        view = show(ctx, which(ctx, infra))
        accesses = access_of_all(ctx, view.record, list(view.nodes))
    entries = [
        Entry(
            name=node.name,
            groups=(node.group,),
            variables={
                "ansible_host": accesses[node.name].address,
                "ansible_port": accesses[node.name].port,
                "ansible_user": accesses[node.name].user,
                "ansible_become": accesses[node.name].become,
                "ansible_python_interpreter": accesses[node.name].python,
            },
        )
        for node in view.nodes
        if node.name in accesses
    ]
    if as_json:
        print_text(text_json(document(entries)))
    else:
        print_text(text_ini(entries, comment=f"{view.record.name} ({view.record.id})").rstrip("\n"))
