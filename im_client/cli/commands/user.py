"""`im user`: the accounts of a server."""

import sys
from typing import TYPE_CHECKING

import click

from im_client.cli.session import json_option, opened
from infracore.cli.console import print_data, print_json, print_text, say
from infracore.cli.lazy import ExampleCommand, ExampleGroup
from infracore.cli.options import FiniteRange
from infracore.errors import InvalidUsage, Misconfigured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from im_client.services.context import Context
    from im_client.services.server.accounts import Accounts
    from im_client.state.server import ServerStore

__all__ = ["ask_password", "command", "print_accounts"]

_ROLES = ("viewer", "scaler", "operator", "owner")


@click.group(
    "user",
    cls=ExampleGroup,
    short_help="Make and remove the accounts of `im serve`.",
    examples=(
        ("im user add ana", "Make an account; its password is asked for."),
        ("im user token ana --role scaler --infra ID", "A token that can do nothing but scale one infrastructure."),
    ),
)
def command() -> None:
    """Make and remove the accounts that may use `im serve`, and their tokens."""


def _parts(ctx: "Context") -> "tuple[ServerStore, Accounts]":
    try:
        from im_client.services.server.accounts import Accounts
        from im_client.services.server.house import open_records
    except ImportError as error:
        raise Misconfigured(
            f"accounts need more packages ({error.name} is missing)",
            "pip install im-clues[server], or in a checkout: make venv",
        ) from error
    records = open_records(ctx)
    return records, Accounts(records, ctx.clock)


@command.command(
    "add",
    cls=ExampleCommand,
    short_help="Make an account, or give it a new password.",
    examples=(
        ("im user add ana", "The password is asked for."),
        ("im user add root --admin --password-stdin <secret", "An administrator; the password is the first line."),
    ),
)
@click.argument("name")
@click.option("--admin", is_flag=True, help="May see and change everything.")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
def add(name: str, admin: bool, password_stdin: bool) -> None:
    """Make an account, or give one a new password."""
    from infracore.secrets import Secret

    password = ask_password(from_stdin=password_stdin)
    with opened() as ctx:
        _parts(ctx)[1].add(name, Secret(password), is_admin=admin)
    say(f"{name} may use this server now")


def ask_password(*, from_stdin: bool) -> str:
    """Return the password of an account: the first line of standard input, or from the terminal.

    Raises:
        InvalidUsage: nobody is there to ask.
    """
    if from_stdin:
        return sys.stdin.readline().rstrip("\n")
    if sys.stdin.isatty():
        return str(click.prompt("password", hide_input=True, confirmation_prompt=True, err=True))
    raise InvalidUsage("there is nobody to ask for the password", "add --password-stdin")


@command.command(
    "remove",
    cls=ExampleCommand,
    short_help="Remove an account with its tokens.",
    examples=(("im user remove ana", "Infrastructures stay; an administrator can give them to others."),),
)
@click.argument("name")
def remove(name: str) -> None:
    """Remove an account with its tokens."""
    with opened() as ctx:
        records, _ = _parts(ctx)
        from im_client.services.server.people import remove_person

        remove_person(records, name)
    say(f"{name} is removed")


@command.command(
    "list",
    cls=ExampleCommand,
    short_help="List the accounts.",
    examples=(("im user list", "All accounts."), ("im user list --json", "For a program.")),
)
@json_option
def list_(as_json: bool) -> None:
    """List the accounts with the number of their tokens."""
    with opened() as ctx:
        records, _ = _parts(ctx)
        from im_client.services.server.people import list_people

        found = [(one.name, one.is_admin, one.tokens) for one in list_people(records)]
    print_accounts(found, as_json=as_json)


def print_accounts(found: "Sequence[tuple[str, bool, int]]", *, as_json: bool) -> None:
    """Print accounts: name, whether it is an administrator's, and how many tokens it has."""
    if as_json:
        print_json({"accounts": [{"name": n, "admin": a, "tokens": t} for n, a, t in found]})
    elif found:
        from rich.table import Table

        from infracore.cli.tables import cell

        table = Table(box=None, pad_edge=False)
        for title in ("account", "admin", "tokens"):
            table.add_column(title)
        for name, admin, tokens in found:
            table.add_row(cell(name), "yes" if admin else "", str(tokens))
        print_data(table)
    else:
        say("there is no account; im user add NAME makes one")


@command.command(
    "token",
    cls=ExampleCommand,
    short_help="Make a token.",
    examples=(
        ("im user token ana --days 30", "A token that is good for all that ana may do, for a month."),
        ("im user token ana --role scaler --infra ID", "One that can only scale one infrastructure."),
    ),
)
@click.argument("name")
@click.option("--role", type=click.Choice(_ROLES), default="owner", show_default=True, help="At most this role.")
@click.option("--infra", default=None, metavar="ID", help="Good for this infrastructure only.")
@click.option("--days", type=FiniteRange(min=0.001), default=None, help="For how long; without it: for good.")
def token(name: str, role: str, infra: str | None, days: float | None) -> None:
    """Make a token and print it, this once.

    With --infra an account that had no part in the infrastructure gets this role there: one that `im deploy` made
    belongs to nobody before.
    """
    from im_client.state.server import Role

    with opened() as ctx:
        records, accounts = _parts(ctx)
        from im_client.services.server.people import give_token

        infrastructure = None if infra is None else ctx.store.infrastructure(infra).id
        secret = give_token(records, accounts, name, role=Role(role), infrastructure=infrastructure, days=days)
    print_text(secret.reveal())
