"""Credentials for clouds: one value a line of an auth file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from infracore.errors import NotFound
from infracore.secrets import Secret

__all__ = ["Credential", "by_id", "of_type"]


@dataclass(frozen=True, slots=True)
class Credential:
    """How to log in to one cloud or service. Every field is a secret: which ones are differs between clouds."""

    id: str
    """What templates call it; "" where the line has none."""
    type: str
    """`OpenStack`, `EC2`, `InfrastructureManager` ..., as the file writes it."""
    fields: Mapping[str, Secret]
    """All of the line but `id` and `type`."""


def by_id(credentials: Sequence[Credential], wanted: str) -> Credential:
    """Return the credential with this id.

    Raises:
        NotFound: there is none; the hint names those that there are.
    """
    for credential in credentials:
        if credential.id == wanted:
            return credential
    known = ", ".join(sorted(c.id for c in credentials if c.id)) or "none"
    raise NotFound(f"the auth file has no line with id = {wanted}", f"there are: {known}")


def of_type(credentials: Sequence[Credential], wanted: str) -> tuple[Credential, ...]:
    """Return the credentials of a type (in any case), in the order of the file."""
    return tuple(c for c in credentials if c.type.lower() == wanted.lower())
