"""What is printed of an infrastructure alike, whether this computer or a server told it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from infracore.cli.console import print_data, print_json, print_text, say
from infracore.errors import NotFound

if TYPE_CHECKING:
    from im_client.remote.access import Access
    from im_client.topology.values import Value

__all__ = ["print_inventory", "print_outputs"]


def print_outputs(found: "Mapping[str, Value]", name: str | None, *, as_json: bool) -> None:
    """Print all outputs, or the one of a name.

    Raises:
        NotFound: there is none of that name.
    """
    from im_client.cli.shapes import value_shape
    from im_client.cli.tables import outputs_table
    from im_client.cli.values import value_text
    from infracore.cli.text import clean_lines

    if name is not None:
        if name not in found:
            raise NotFound(f"there is no output {name!r}", f"there are: {', '.join(found) or 'none'}")
        if as_json:
            print_json(value_shape(found[name]))
        else:
            print_text(clean_lines(value_text(found[name])))
    elif as_json:
        print_json(value_shape(found))
    elif found:
        print_data(outputs_table(found))
    else:
        say("there are no outputs")


def print_inventory(
    groups: Mapping[str, str], accesses: "Mapping[str, Access]", *, comment: str, as_json: bool, with_python: bool
) -> None:
    """Print machines (name -> group) as an Ansible inventory; those that nobody can log in to are left out.

    `with_python` says that the path of their Python is known, and not only assumed.
    """
    from im_client.inventory.build import Entry, document, text_ini, text_json

    entries = []
    for name, group in groups.items():
        access = accesses.get(name)
        if access is None:
            continue
        variables: dict[str, Value] = {
            "ansible_host": access.address,
            "ansible_port": access.port,
            "ansible_user": access.user,
            "ansible_become": access.become,
        }
        if with_python:
            variables["ansible_python_interpreter"] = access.python
        entries.append(Entry(name=name, groups=(group,), variables=variables))
    if as_json:
        print_text(text_json(document(entries)))
    else:
        print_text(text_ini(entries, comment=comment).rstrip("\n"))
