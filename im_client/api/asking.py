"""What handlers share: who calls, the body once that is known, and the shape of common parameters."""

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import Future
from typing import Annotated, Final, ParamSpec, TypeVar

from fastapi import Depends, Path, Request
from starlette.concurrency import run_in_threadpool

from im_client.api.problems import Refused
from im_client.services.server.callers import Caller
from im_client.services.server.changes import Accepted, Body, Language
from im_client.services.server.house import House
from im_client.services.server.rights import require
from im_client.state.server import OperationRecord, OperationState, Role
from infracore.errors import CommandFailed

__all__ = [
    "CallerDep",
    "HouseDep",
    "InfraId",
    "VmNumber",
    "allow",
    "base_url",
    "body_text",
    "etag",
    "finished",
    "flag",
    "if_match",
    "in_thread",
    "json_text",
    "no_terms",
    "operation_headers",
    "read_template",
    "vm_numbers",
]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_LANGUAGES: Final = {
    "": Language.RADL,
    "text/plain": Language.RADL,
    "text/radl": Language.RADL,
    "application/x-www-form-urlencoded": Language.RADL,
    "application/json": Language.RADL_JSON,
    "text/yaml": Language.TOSCA,
    "text/x-yaml": Language.TOSCA,
    "application/yaml": Language.TOSCA,
    "application/x-yaml": Language.TOSCA,
}
_JSON: Final = frozenset({"", "application/json", "application/x-www-form-urlencoded"})
"""The last one is what curl and others say where nobody has said anything."""
_DRAINED: Final = 4
"""So many times what is allowed is read and dropped before the connection is closed."""
_ETAG: Final = re.compile(r'(?:W/)?"v(\d{1,15})"')


def _house(request: Request) -> House:
    found: House = request.app.state.house
    return found


async def _caller(request: Request) -> Caller:
    """Recognise the caller; FastAPI does this before it looks at anything else of the request."""
    house = _house(request)

    def recognise() -> Caller:
        caller = house.callers.recognise(request.headers.get("authorization"))
        house.loader.ready()
        return caller

    return await run_in_threadpool(recognise)


HouseDep = Annotated[House, Depends(_house)]
CallerDep = Annotated[Caller, Depends(_caller)]
InfraId = Annotated[str, Path(description="Id of an infrastructure.", pattern=r"^[0-9a-zA-Z-]+$", max_length=64)]
VmNumber = Annotated[int, Path(description="Number of a VM.", ge=0, lt=2**31)]


async def in_thread(work: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
    """Do what blocks on a thread of the pool."""
    return await run_in_threadpool(work, *args, **kwargs)


def allow(house: House, caller: Caller, infra: str, needed: Role) -> Role:
    """Return the caller's role. Raises NotFound or Forbidden."""
    return require(house.records, caller, infra, needed)


def base_url(request: Request) -> str:
    """Return the address of this server as the client knows it."""
    return str(request.base_url).rstrip("/")


def _content_type(request: Request) -> str:
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def body_text(request: Request, most: int) -> str:
    """Read the body, as UTF-8.

    Raises:
        Refused: it is larger than `most` bytes, or not UTF-8.
    """
    known: str | None = getattr(request.state, "text", None)
    if known is not None:
        return known
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= most:
            parts.append(part)
        elif size > _DRAINED * most:
            break
    if size > most:  # read on a little: a connection that is closed under a sender loses the answer
        raise Refused(413, f"the body is larger than {most} bytes")
    try:
        request.state.text = text = b"".join(parts).decode("utf-8-sig")
        return text
    except UnicodeDecodeError as error:
        raise Refused(400, "the body is not UTF-8 text") from error


async def json_text(request: Request, most: int) -> str:
    """Read a body that is JSON.

    Raises:
        Refused: the content type says that it is something else (415), or as `body_text`.
    """
    kind = _content_type(request)
    if kind not in _JSON:
        raise Refused(415, f"the content type {kind!r} is not that of JSON", "application/json")
    return await body_text(request, most)


async def read_template(request: Request, most: int) -> Body | None:
    """Read a template, None where the body is empty.

    Raises:
        Refused: a type of content that is none of a template's (415).
    """
    kind = _content_type(request)
    if kind not in _LANGUAGES:
        raise Refused(415, f"the content type {kind!r} is none of a template's", "text/yaml, text/plain (RADL) or JSON")
    text = await body_text(request, most)
    return Body(text, _LANGUAGES[kind]) if text.strip() else None


def flag(value: str | None, *, default: bool) -> bool:
    """Read a yes/no of a query, as the original does: yes, true, 1 or no, false, 0.

    Raises:
        Refused: anything else.
    """
    if value is None:
        return default
    if value.lower() in {"yes", "true", "1"}:
        return True
    if value.lower() in {"no", "false", "0"}:
        return False
    raise Refused(400, f"{value[:40]!r} is neither yes nor no")


def no_terms(request: Request) -> None:
    """Refuse lease and budget: who runs the server sets them, and who asks could undo them.

    Raises:
        Refused: one is in the query. Passed over, it would seem to be kept.
    """
    for word in ("expire", "lease", "budget"):
        if word in request.query_params:
            raise Refused(
                400,
                f"{word}: lease and budget are set by who runs this server, not over the network",
                "there: im expire INFRA 8h; im deploy ... --budget 0.50",
            )


async def if_match(request: Request, house: House, infra: str) -> int | None:
    """Return the version that the client saw, None where it does not care. Of several, it is that of now (RFC 9110).

    Raises:
        Refused: 412, no ETag that this server ever gave.
    """
    said = ",".join(request.headers.getlist("if-match"))
    words = [word.strip() for word in said.split(",") if word.strip()]
    if not words or words == ["*"]:
        return None
    versions = [int(found[1]) for word in words if (found := _ETAG.fullmatch(word)) is not None]
    if not versions:
        raise Refused(412, "If-Match is no ETag of an infrastructure of this server")
    if len(versions) == 1:
        return versions[0]
    now = await in_thread(house.records.source_version, infra)
    return now if now in versions else versions[0]


def etag(version: int) -> dict[str, str]:
    """Return the header that names a version of what is wanted."""
    return {"ETag": f'"v{version}"'}


def vm_numbers(said: str) -> list[int]:
    """Read `0,2,5`.

    Raises:
        Refused: it is not numbers with commas between them.
    """
    words = said.split(",")
    if not all(re.fullmatch(r"[0-9]{1,9}", word) for word in words):
        raise Refused(404, f"{said[:80]!r} is not numbers of VMs with commas between them")
    return [int(word) for word in words]


def operation_headers(request: Request, accepted: Accepted) -> dict[str, str]:
    """Return the headers that name the operation behind an answer, and the version that it made where that is known."""
    return {
        "InfID": accepted.infrastructure,
        "Operation": f"{base_url(request)}/operations/{accepted.ticket.record.id}",
        **({} if accepted.version is None else etag(accepted.version)),
    }


async def finished(accepted: Accepted, limit_s: float) -> OperationRecord | None:
    """Wait for an operation; None where it still goes on after the limit.

    Raises:
        CommandFailed: it failed; the message says at which machine and why.
    """
    waiting: Future[OperationRecord] = accepted.ticket.done
    try:
        record = await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(waiting)), limit_s)
    except TimeoutError:
        return None
    if record.state in {OperationState.FAILED, OperationState.PARTLY_DONE, OperationState.CANCELLED}:
        said = record.error or record.summary or f"the operation is {record.state}"
        raise CommandFailed(said, record.hint)
    return record
