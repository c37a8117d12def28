"""`im user`, asked of one of our servers by an administrator of it."""

from im_client.cli.commands.user import ask_password, print_accounts
from im_client.cli.remote.session import opened
from im_client.services.remote import people
from im_client.services.remote.reading import find
from infracore.cli.console import print_text, say
from infracore.cli.text import clean
from infracore.secrets import Secret

__all__ = ["user_add_", "user_list_", "user_remove_", "user_token_"]


def user_add_(*, name: str, admin: bool, password_stdin: bool) -> None:
    """`im user add`."""
    password = Secret(ask_password(from_stdin=password_stdin))
    with opened() as session:
        people.add(session.server, name, password, is_admin=admin)
        say(f"{clean(name)} may use {session.server.address} now")


def user_remove_(*, name: str) -> None:
    """`im user remove`."""
    with opened() as session:
        people.remove(session.server, name)
    say(f"{clean(name)} is removed")


def user_list_(*, as_json: bool) -> None:
    """`im user list`."""
    with opened() as session:
        found = people.listing(session.server)
    print_accounts(found, as_json=as_json)


def user_token_(*, name: str, role: str, infra: str | None, days: float | None) -> None:
    """`im user token`."""
    with opened() as session:
        infrastructure = None if infra is None else find(session.server, infra)
        made = people.token(session.server, name, role=role, infra=infrastructure, days=days)
    print_text(clean(made.reveal()))
