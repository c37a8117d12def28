"""The accounts of a server as an administrator works on them, by `im user` or over the network."""

from dataclasses import dataclass

from im_client.services.server.accounts import Accounts
from im_client.services.server.callers import Caller
from im_client.services.server.rights import Forbidden
from im_client.state.server import Role, ServerStore
from infracore.errors import Conflict, NotFound
from infracore.secrets import Secret

__all__ = ["Person", "give_token", "list_people", "remove_person", "require_admin", "require_other"]


@dataclass(frozen=True, slots=True)
class Person:
    """One account."""

    name: str
    is_admin: bool
    tokens: int
    """How many it has."""


def require_admin(caller: Caller) -> None:
    """Raises Forbidden where the caller is no administrator, or comes with a token that is good for less."""
    if not caller.is_admin or caller.infrastructure is not None or not caller.most.allows(Role.OWNER):
        raise Forbidden("this asks for an administrator of the server", "im user add NAME --admin makes one there")


def require_other(caller: Caller, name: str) -> None:
    """Raises Conflict where administrators would remove themselves, or take the right for it from themselves."""
    if caller.name == name:
        raise Conflict("this is your own account, and you would be locked out", "let another administrator do it")


def list_people(records: ServerStore) -> tuple[Person, ...]:
    """Return the accounts."""
    return tuple(Person(one.name, one.is_admin, len(records.tokens(one.name))) for one in records.accounts())


def remove_person(records: ServerStore, name: str) -> None:
    """Remove an account with its tokens; its infrastructures stay.

    Raises:
        NotFound: there is none.
    """
    if records.account(name) is None:
        raise NotFound(f"there is no account {name!r}", "im user list shows those that there are")
    records.remove_account(name)


def give_token(
    records: ServerStore,
    accounts: Accounts,
    name: str,
    *,
    role: Role,
    infrastructure: str | None = None,
    days: float | None = None,
) -> Secret:
    """Make a token of an account and return it, this once. `days` None: it is good until it is removed.

    With an infrastructure it is good for that alone, and an account that had no part in it gets this role there.

    Raises:
        NotFound: there is no such account or infrastructure.
    """
    valid_s = None if days is None else days * 86400.0
    _, secret = accounts.make_token(name, role=role, infrastructure=infrastructure, valid_s=valid_s)
    if infrastructure is not None and name not in records.members(infrastructure):
        records.set_member(infrastructure, name, role)
    return secret
