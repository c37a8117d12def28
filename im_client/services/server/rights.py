"""Who may do what with which infrastructure."""

from collections.abc import Mapping

from im_client.services.server.callers import Caller
from im_client.state.server import Role, ServerStore
from infracore.errors import NotFound, Unauthorised

__all__ = ["Forbidden", "may_create", "require", "require_creator", "visible"]


class Forbidden(Unauthorised):
    """The caller is known, and may not do this."""

    code = "forbidden"


def require(records: ServerStore, caller: Caller, infrastructure: str, needed: Role) -> Role:
    """Return the caller's role in an infrastructure.

    Raises:
        NotFound: there is none with exactly this id. Forbidden: the role does not suffice, or the token is for another.
    """
    members = records.members(infrastructure)
    try:
        records.source_version(infrastructure)
    except NotFound as error:
        raise NotFound(f"there is no infrastructure {infrastructure!r}") from error
    if caller.is_own:
        own: Role | None = caller.most if caller.infrastructure == infrastructure else None
    else:
        own = Role.OWNER if caller.is_admin else members.get(caller.name)
    if own is None:
        raise Forbidden("this infrastructure is somebody else's", "its owner can give you a role")
    if caller.infrastructure not in {None, infrastructure}:
        raise Forbidden("the token is for another infrastructure")
    role = own if caller.most.allows(own) else caller.most
    if not role.allows(needed):
        raise Forbidden(f"this asks for the role {needed}, and yours is {role}", "its owner can give you that role")
    return role


def may_create(caller: Caller) -> bool:
    """Return whether a caller may make infrastructures."""
    return caller.infrastructure is None and caller.most.allows(Role.OPERATOR)


def require_creator(caller: Caller) -> None:
    """Raises Forbidden where the caller's token makes no infrastructures."""
    if not may_create(caller):
        raise Forbidden("this token makes no infrastructures")


def visible(records: ServerStore, caller: Caller) -> Mapping[str, Role] | None:
    """Return the infrastructures that a caller sees; None: all."""
    if caller.is_admin and caller.infrastructure is None:
        return None
    if caller.is_own and caller.infrastructure is not None:
        return {caller.infrastructure: caller.most}
    mine = records.memberships(caller.name)
    if caller.infrastructure is not None:
        is_seen = caller.is_admin or caller.infrastructure in mine
        return {caller.infrastructure: mine.get(caller.infrastructure, Role.VIEWER)} if is_seen else {}
    return mine
