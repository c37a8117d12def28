"""What both ends of the socket agree on: paths, limits, errors as JSON."""

from typing import Final

import msgspec

from infracore.errors import (
    Conflict,
    InfraError,
    InvalidUsage,
    Misconfigured,
    NotFound,
    TimedOut,
    Transient,
    Unauthorised,
)

__all__ = [
    "CHANGES",
    "END_OF_RECORDS",
    "MOST_BODY_BYTES",
    "PREFIX",
    "READS",
    "ChangeRequest",
    "Fault",
    "error_of",
    "fault_of",
    "status_of",
]

PREFIX: Final = "/v1/"
READS: Final = frozenset({"status", "nodes", "pods", "why", "decision", "records"})
CHANGES: Final = frozenset({"power-on", "power-off", "hold", "release", "enable", "disable", "reload"})
MOST_BODY_BYTES: Final = 1 << 20
"""Of a request: 10,000 names of 100 characters."""
END_OF_RECORDS: Final = b'{"end":true}'
"""The last line of records: without it the answer was cut off."""


class ChangeRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of every request that changes something."""

    names: tuple[str, ...] = ()
    reason: str = ""
    force: bool = False


class Fault(msgspec.Struct, frozen=True):
    """The body of every answer that is an error."""

    code: str
    message: str
    hint: str = ""


_STATUS: Final[tuple[tuple[type[InfraError], int], ...]] = (
    (NotFound, 404),
    (Conflict, 409),
    (InvalidUsage, 400),
    (Misconfigured, 422),
    (Unauthorised, 403),
    (TimedOut, 504),
    (Transient, 503),
)
_ERRORS: Final = {kind.code: kind for kind, _ in _STATUS}


def status_of(error: InfraError) -> int:
    """Return the HTTP status that an error is answered with."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 500)


def fault_of(error: InfraError) -> Fault:
    """Return an error as the body of an answer."""
    return Fault(error.code, error.message, error.hint)


def error_of(fault: Fault) -> InfraError:
    """Return the error that an answer's body stands for: of the same kind where the caller could act upon it."""
    return _ERRORS.get(fault.code, InfraError)(fault.message, fault.hint)
