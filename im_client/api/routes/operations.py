"""Operations: how a change goes on, as a resource, as a stream of events, and its cancelling."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response, StreamingResponse

from im_client.api.asking import CallerDep, HouseDep, InfraId, allow, in_thread
from im_client.api.negotiate import JSON, choose, json_answer
from im_client.api.schemas import ERRORS, OperationShape, form, json_form, schema_of
from im_client.services.server.house import House
from im_client.state.server import OperationRecord, Role
from infracore.errors import NotFound
from infracore.events import Event

__all__ = ["router"]

router: Final = APIRouter(tags=["operations"])
OperationId = Annotated[str, Path(max_length=64, pattern=r"^[0-9a-f-]+$", description="Id of an operation.")]
_BEAT_S: Final = 15.0
"""A comment goes out this often where nothing happens, so that proxies keep the connection."""


def _shape(house: House, record: OperationRecord) -> dict[str, Any]:
    numbers = house.records.vm_numbers(record.infrastructure)
    progress = None
    if not record.state.is_end:
        counts = house.ctx.store.node_counts().get(record.infrastructure, {})
        states = {phase.value: count for phase, count in counts.items()}
        progress = {"total": max(len(numbers), sum(states.values())), "states": states}
    return {
        "id": record.id,
        "infrastructure": record.infrastructure,
        "kind": record.kind.value,
        "state": record.state.value,
        "created_at": record.created_at,
        "started_at": record.started_at,
        "ended_at": record.ended_at,
        "vms": [numbers[name] for name in record.nodes if name in numbers],
        "progress": progress,
        "summary": record.summary,
        "error": record.error,
        "hint": record.hint,
    }


def _find(house: House, caller: CallerDep, operation: str, needed: Role) -> OperationRecord:
    """Return an operation; that of a destroyed infrastructure is seen by who asked for it."""
    record = house.operations.find(operation)
    is_own = record.account == caller.name and caller.infrastructure in {None, record.infrastructure}
    if not (record.state.is_end and (is_own or caller.is_admin)):
        try:
            allow(house, caller, record.infrastructure, needed)
        except NotFound:  # destroyed a moment ago: its operation is just about to end
            if not (is_own or caller.is_admin):
                raise
    return record


@router.get("/operations/{operation}", responses=json_form(OperationShape))
async def read_operation(request: Request, house: HouseDep, caller: CallerDep, operation: OperationId) -> Response:
    """Read how an operation stands."""
    choose(request, (JSON,))
    record = await in_thread(_find, house, caller, operation, Role.VIEWER)
    return json_answer(await in_thread(_shape, house, record))


@router.delete("/operations/{operation}", responses=json_form(OperationShape))
async def cancel(request: Request, house: HouseDep, caller: CallerDep, operation: OperationId) -> Response:
    """Let an operation start nothing more. What was made stays, and the next change goes on from it."""
    choose(request, (JSON,))
    await in_thread(_find, house, caller, operation, Role.OPERATOR)
    record = await in_thread(house.operations.cancel, operation)
    return json_answer(await in_thread(_shape, house, record))


@router.get(
    "/infrastructures/{infra}/operations",
    responses=json_form(
        {
            "type": "object",
            "properties": {"operations": {"type": "array", "items": schema_of(OperationShape)}},
            "required": ["operations"],
        }
    ),
)
async def list_operations(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Response:
    """List the operations of an infrastructure, newest first."""
    await in_thread(allow, house, caller, infra, Role.VIEWER)
    choose(request, (JSON,))

    def find() -> list[dict[str, Any]]:
        return [_shape(house, house.operations.find(one.id)) for one in house.records.operations(infra)[:limit]]

    return json_answer({"operations": await in_thread(find)})


@router.get(
    "/operations/{operation}/events",
    responses={
        200: form("The events so far, and those to come.", {"text/event-stream": {"schema": {"type": "object"}}}),
        **ERRORS,
    },
)
async def stream(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    operation: OperationId,
) -> Response:
    """Follow an operation by server-sent events; the stream ends with it, with an event `end`.

    The header Last-Event-ID, which browsers send by themselves, says where a stream was broken off.
    """
    choose(request, ("text/event-stream",))
    record = await in_thread(_find, house, caller, operation, Role.VIEWER)
    said = request.headers.get("last-event-id", "0")
    after = int(said) if re.fullmatch(r"[0-9]{1,15}", said) else 0
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(_events(house, record, after), 200, headers, "text/event-stream")


async def _events(house: House, record: OperationRecord, after: int) -> AsyncIterator[bytes]:
    ticket = house.operations.ticket(record.id)
    if ticket is None:
        for frame in await in_thread(_stored, house, record, after):
            yield frame
    else:
        loop, woken = asyncio.get_running_loop(), asyncio.Event()
        with ticket.listening(lambda: loop.call_soon_threadsafe(woken.set)):
            while True:
                woken.clear()
                is_over = ticket.done.done()
                for number, said in await in_thread(ticket.after, after):
                    after = number
                    yield _frame(number, said.kind.value, _event(said))
                if is_over:
                    break
                try:
                    await asyncio.wait_for(woken.wait(), _BEAT_S)
                except TimeoutError:
                    yield b": still here\n\n"
        record = ticket.record
    is_end = record.state.is_end
    yield _frame(0, "end" if is_end else "interrupted", {"state": record.state.value, "error": record.error})


def _stored(house: House, record: OperationRecord, after: int) -> list[bytes]:
    events = house.ctx.store.events(record.run) if record.run else ()
    return [
        _frame(number, event.kind, {"at": event.at, "kind": event.kind, "node": event.node, "text": event.text})
        for number, event in enumerate(events, start=1)
        if number > after
    ]


def _event(event: Event) -> dict[str, Any]:
    return {"at": event.at, "kind": event.kind.value, "node": event.node, "phase": event.phase, "text": event.text}


def _frame(number: int, kind: str, shape: dict[str, Any]) -> bytes:
    head = f"id: {number}\n" if number else ""
    return f"{head}event: {kind}\ndata: ".encode() + msgspec.json.encode(shape) + b"\n\n"
