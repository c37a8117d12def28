"""Idempotency keys: a request that is sent again with the same key is answered as the first time, and not done again.

As draft-ietf-httpapi-idempotency-key-header has it: another request with a known key is 422, one whose first is still
being answered 409. Keys are the caller's own and are kept for a day. A failure is kept where the request had begun to
change something; others are not: the client may mend them.
"""

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from fastapi import Request
from starlette.responses import Response

from im_client.api.asking import base_url, body_text, in_thread
from im_client.api.negotiate import TEXT, image_answer, uri_answer
from im_client.api.problems import Refused, answer
from im_client.services.server.callers import Caller
from im_client.services.server.house import House
from im_client.services.server.operations import request_key
from im_client.state.server import AnswerRecord, OperationKind, OperationRecord, OperationState
from infracore.errors import CommandFailed, InfraError

__all__ = ["once"]

_KEPT_S: Final = 24 * 3600.0
_WAITED_FOR: Final = frozenset(OperationKind) - {
    OperationKind.CREATE,
    OperationKind.UPDATE,
    OperationKind.RECONFIGURE,
}
"""Operations whose end is the answer; the others are answered when they are recorded."""
_KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


class _Kept(msgspec.Struct, frozen=True):
    headers: dict[str, str]
    body: str


async def once(
    request: Request, house: House, caller: Caller, work: Callable[[], Awaitable[Response]], most: int | None = None
) -> Response:
    """Do `work`, or answer as it was answered before. `most` bytes of a body are read, as the settings say by default.

    Raises:
        Refused: the key was used for something else, or its first request is not answered yet.
    """
    key = request.headers.get("idempotency-key")
    if key is None:
        return await work()
    if _KEY.fullmatch(key) is None:
        raise Refused(400, "Idempotency-Key is none: 1 to 255 visible characters")
    body = await body_text(request, most or house.ctx.settings.server.most_bytes)
    target = f"{request.url.path}?{request.url.query}"
    whole = "\n".join((request.method, target, request.headers.get("content-type", ""), body))
    digest = hashlib.sha256(whole.encode()).digest()
    now = house.ctx.clock.now()
    known = await in_thread(house.records.begin_answer, caller.name, key, digest, now, now - _KEPT_S)
    if known is not None:
        return await _again(request, house, known, digest)
    answered = False
    mark = request_key.set((caller.name, key))
    try:
        try:
            response = await work()
        except (InfraError, Refused) as error:
            if await in_thread(house.records.forget_answer, caller.name, key):
                raise
            response = answer(error, request.headers.get("accept", "").lower())
        kept = _Kept(dict(response.headers), bytes(response.body).decode())
        record = AnswerRecord(digest, response.status_code, msgspec.json.encode(kept).decode())
        await in_thread(house.records.end_answer, caller.name, key, record)
        answered = True
    finally:
        request_key.reset(mark)
        if not answered:
            await in_thread(house.records.forget_answer, caller.name, key)
    return response


async def _again(request: Request, house: House, known: AnswerRecord, digest: bytes) -> Response:
    if known.digest != digest:
        raise Refused(422, "this Idempotency-Key was used for another request", "use a new key for each request")
    if known.status is None:
        operation = house.operations.find(known.operation) if known.operation else None
        if operation is None or (operation.created_at >= house.began_at and not known.is_abandoned):
            raise Refused(409, "the first request with this Idempotency-Key is still being answered", "ask again later")
        # the server was killed between recording the change and answering
        return await in_thread(_late, request, house, operation)
    kept = msgspec.json.decode(known.text, type=_Kept)
    headers = {name: value for name, value in kept.headers.items() if name not in {"content-length", "content-type"}}
    return Response(
        kept.body, known.status, {**headers, "Idempotency-Replayed": "true"}, kept.headers.get("content-type")
    )


def _late(request: Request, house: House, operation: OperationRecord) -> Response:
    base = base_url(request)
    headers = {
        "InfID": operation.infrastructure,
        "Operation": f"{base}/operations/{operation.id}",
        "Idempotency-Replayed": "true",
    }
    if operation.kind is OperationKind.CREATE:
        return uri_answer(request, f"{base}/infrastructures/{operation.infrastructure}", headers)
    if operation.kind not in _WAITED_FOR:
        return Response("", 200, headers, TEXT)
    if not operation.state.is_end:
        return Response(f"still going on: {headers['Operation']}", 202, headers, TEXT)
    if operation.state is not OperationState.DONE:
        raise CommandFailed(operation.error or f"the operation is {operation.state}", operation.hint)
    if operation.kind is OperationKind.SNAPSHOT:
        from im_client.services.server.snapshots import address_of

        address = address_of(house, operation.id)
        if address is None:
            raise Refused(404, "the image was deleted meanwhile")
        return image_answer(request, address, headers)
    return Response("", 200, headers, TEXT)
