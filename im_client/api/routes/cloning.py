"""Another infrastructure from what is recorded of one."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from im_client.api.asking import (
    CallerDep,
    HouseDep,
    InfraId,
    allow,
    base_url,
    flag,
    in_thread,
    json_text,
    operation_headers,
)
from im_client.api.negotiate import JSON, TEXT, URI_LIST, choose, property_answer, uri_answer
from im_client.api.once import once
from im_client.api.routes.infrastructures import YesNo
from im_client.api.schemas import clone_forms
from im_client.services.server.cloning import Wanted, clone, preview_clone
from im_client.services.server.describing import radl_planned
from im_client.services.server.rights import require_creator
from im_client.services.server.strict_json import decode_strictly
from im_client.services.templates import Said
from im_client.state.server import Role
from im_client.topology.values import Value

__all__ = ["router"]

router: Final = APIRouter(tags=["infrastructures"])
_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
_MOST_NAME: Final = 63


class _Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(pattern=rf"{_NAME[:-1]}\Z", max_length=_MOST_NAME)]
    inputs: dict[str, Any] = {}


@router.post(
    "/infrastructures/{infra}/clone",
    responses=clone_forms(),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "name": {"type": "string", "pattern": _NAME, "minLength": 1, "maxLength": _MOST_NAME},
                            "inputs": {"type": "object"},
                        },
                        "required": ["name"],
                        "additionalProperties": False,
                    }
                }
            },
        }
    },
)
async def make_clone(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    dry_run: Annotated[YesNo | None, Query(description="Only say in RADL what it would be.")] = None,
) -> Response:
    """Make another infrastructure of the same template, inputs and secrets: its operators who may make some.

    `inputs` are those that differ; a text among them is read as the command line reads it.
    """
    await in_thread(allow, house, caller, infra, Role.OPERATOR)
    require_creator(caller)

    async def work() -> Response:
        is_dry = flag(dry_run, default=False)
        choose(request, (TEXT, JSON) if is_dry else (URI_LIST, TEXT, JSON))
        text = await json_text(request, house.ctx.settings.server.most_bytes)
        asked = decode_strictly(text, _Asked, "clone", '{"name": "test", "inputs": {"worker_count": 1}}')
        wanted = Wanted(asked.name, {name: _value(value) for name, value in asked.inputs.items()})
        if is_dry:
            prepared = await in_thread(preview_clone, house, caller, infra, wanted)
            return property_answer(request, "radl", radl_planned(prepared.topology))
        accepted = await in_thread(clone, house, caller, infra, wanted)
        uri = f"{base_url(request)}/infrastructures/{accepted.infrastructure}"
        return uri_answer(request, uri, operation_headers(request, accepted))

    return await once(request, house, caller, work)


def _value(said: Any) -> Value:
    return Said(said) if isinstance(said, str) else _inner(said)


def _inner(said: Any) -> Value:
    if isinstance(said, dict):
        return {name: _inner(value) for name, value in said.items()}
    found: Value = tuple(map(_inner, said)) if isinstance(said, list) else said
    return found
