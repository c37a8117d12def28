"""Errors as answers: RFC 9457 where the client accepts JSON, in a form that clients of the original read too.

The original answers `{"message", "code"}` to Accept JSON and plain text otherwise. Ours has both members beside those
of RFC 9457, so that either kind of client finds what it looks for.
"""

import html
import json
from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from im_client.services.costs import OverBudget
from im_client.services.server.rights import Forbidden
from im_client.state.server import Outdated
from im_client.template.problems import InvalidTemplate
from infracore.errors import (
    Conflict,
    InfraError,
    Locked,
    Misconfigured,
    NoSpace,
    NotFound,
    QuotaExceeded,
    Several,
    TimedOut,
    Transient,
    Unauthorised,
)

__all__ = ["Refused", "answer", "status_of"]

PROBLEM_TYPE: Final = "application/problem+json"
_STATUS: Final[tuple[tuple[type[InfraError], int], ...]] = (
    (Forbidden, 403),
    (Unauthorised, 401),
    (OverBudget, 402),
    (NotFound, 404),
    (Outdated, 412),
    (Locked, 409),
    (Conflict, 409),
    (QuotaExceeded, 400),
    (Transient, 503),
    (TimedOut, 400),
    (NoSpace, 507),
    (Misconfigured, 400),
)
_MOST_PROBLEMS: Final = 100


class Refused(Exception):
    """A request that is answered with a status of its own."""

    def __init__(self, status: int, message: str, hint: str = "", headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.hint = hint
        self.headers = dict(headers or {})


def status_of(error: InfraError) -> int:
    """Return the status of an error. What the original answers 400 to (nearly all that fails) stays 400."""
    if isinstance(error, Several):
        found = {status_of(one) for one in error.errors}
        return found.pop() if len(found) == 1 else 400
    return next((status for kind, status in _STATUS if isinstance(error, kind)), 400)


def answer(error: InfraError | Refused, accept: str) -> Response:
    """Put an error as the client wants to read it."""
    status = error.status if isinstance(error, Refused) else status_of(error)
    headers = dict(error.headers) if isinstance(error, Refused) else {}
    if status == 401:
        headers.setdefault("WWW-Authenticate", 'Bearer realm="im"')
    if isinstance(error, Transient) and error.retry_after_s is not None:
        headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    if "json" in accept:
        return Response(json.dumps(_json(error, status)), status, headers, PROBLEM_TYPE)
    text = f"{error.message}\n" + (f"{error.hint}\n" if error.hint else "")
    if "html" in accept and "text/plain" not in accept:
        page = f"<!DOCTYPE html><title>{status}</title><h1>{status}</h1><pre>{html.escape(text)}</pre>\n"
        return Response(page, status, headers, "text/html")
    return Response(text, status, headers, "text/plain")


def _json(error: InfraError | Refused, status: int) -> dict[str, Any]:
    kind = error.code if isinstance(error, InfraError) else "refused"
    found: dict[str, Any] = {
        "type": f"urn:im-clues:{kind}",
        "title": kind.replace("-", " "),
        "status": status,
        "detail": error.message,
        "message": error.message,
        "code": status,
    }
    if error.hint:
        found["hint"] = error.hint
    if isinstance(error, InvalidTemplate):
        found["problems"] = [
            {
                "line": problem.line,
                "column": problem.column,
                "code": problem.code.value,
                "message": problem.message,
                "hint": problem.hint,
                "level": problem.level.value,
                "file": problem.file.rsplit("/", 1)[-1],
            }
            for problem in error.problems[:_MOST_PROBLEMS]
        ]
    return found
