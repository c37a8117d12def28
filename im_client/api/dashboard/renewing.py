"""Parts of pages that ask for themselves again. What has not changed is not sent: focus and scrolling stay."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from im_client.api.dashboard.rendering import render, trusted
from im_client.api.dashboard.visit import Visit

__all__ = ["Part", "answer_part", "part_of"]

BUSY_S: Final = 1
QUIET_S: Final = 15


@dataclass(frozen=True, slots=True)
class Part:
    """A rendered part with the digest by which the browser says which one it has."""

    html: str
    digest: str


def part_of(visit: Visit, template: str, where: str, *, is_busy: bool, status: str = "", **values: Any) -> Part:
    """Render a part. `where` is its own address, `status` what a screen reader says when it has changed."""
    inner = render(template, session=visit.session, **values)
    digest = hashlib.sha256(inner.encode()).hexdigest()[:16]
    html = render(
        "live.html",
        inner=trusted(inner),
        digest=digest,
        where=where + ("&" if "?" in where else "?"),
        every_s=BUSY_S if is_busy else QUIET_S,
        status=status,
        is_partial=visit.is_partial,
    )
    return Part(html, digest)


def answer_part(visit: Visit, part: Part) -> Response:
    """Answer with a part; with nothing where the browser has it already."""
    if visit.asked("seen") == part.digest:
        return Response("", 204)
    return Response(part.html, 200, {}, "text/html")
