"""Tokens that are good for one infrastructure: made, listed and revoked by its owners."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import Response

from im_client.api.asking import CallerDep, HouseDep, InfraId, allow, body_text, in_thread
from im_client.api.negotiate import JSON, TEXT, choose, json_answer
from im_client.api.problems import Refused
from im_client.api.schemas import ERRORS, form, json_form
from im_client.services.server.endpoints import OWN_TOKEN
from im_client.services.server.house import House
from im_client.state.server import Role, TokenRecord
from infracore.errors import NotFound

__all__ = ["router"]

router: Final = APIRouter(tags=["tokens"])
_ROLES: Final = (Role.VIEWER, Role.SCALER)
_MOST_BYTES: Final = 64 * 1024
_DAY_S: Final = 86400.0
_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]*$"
TokenName = Annotated[str, Path(max_length=64, pattern=_NAME, description="Name of a token.")]


class TokenShape(BaseModel):
    """What is known of a token; the token itself is not kept. `account` null: it belongs to the infrastructure."""

    name: str
    role: str
    account: str | None
    created_at: float
    expires_at: float | None


class NewTokenShape(TokenShape):
    """A token that was made now, which is shown this once."""

    token: str


class TokensShape(BaseModel):
    """The tokens that are good for one infrastructure only."""

    tokens: list[TokenShape]


class _Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: Role
    name: Annotated[str, msgspec.Meta(pattern=rf"{_NAME[:-1]}\Z", max_length=64)] | None = None
    days: Annotated[float, msgspec.Meta(ge=0.001, le=36_500)] | None = None


@router.get("/infrastructures/{infra}/tokens", responses=json_form(TokensShape))
async def list_tokens(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId) -> Response:
    """List the tokens that are good for this infrastructure only: owners only. None is shown itself."""
    await in_thread(allow, house, caller, infra, Role.OWNER)
    choose(request, (JSON,))
    found = await in_thread(house.records.tokens_of, infra)
    return json_answer({"tokens": [_told(record) for record in found]})


@router.post(
    "/infrastructures/{infra}/tokens",
    responses=json_form(NewTokenShape, "Made; the token is shown this once."),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "role": {"enum": [role.value for role in _ROLES]},
                            "name": {"type": ["string", "null"], "pattern": _NAME, "maxLength": 64},
                            "days": {"type": ["number", "null"], "minimum": 0.001, "maximum": 36_500},
                        },
                        "required": ["role"],
                        "additionalProperties": False,
                    }
                }
            },
        }
    },
)
async def make_token(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId) -> Response:
    """Make a token for this infrastructure: owners only. Without `days` it is good until it is revoked.

    It belongs to the infrastructure, not to who makes it: it goes when that is destroyed.
    """
    await in_thread(allow, house, caller, infra, Role.OWNER)
    choose(request, (JSON,))
    text = await body_text(request, _MOST_BYTES)
    hint = '{"role": "scaler", "name": "cluster", "days": 30}'
    try:
        wanted = msgspec.json.decode(text, type=_Wanted)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refused(400, f"the body is no token that could be made: {error}", hint) from error
    if wanted.role not in _ROLES:
        raise Refused(400, f"a token of an infrastructure has the role viewer or scaler, not {wanted.role}", hint)
    if wanted.name == OWN_TOKEN:
        raise Refused(400, f"{OWN_TOKEN!r} is the name of the token that this server gives", "take another name")
    record, secret = await in_thread(
        house.accounts.make_token,
        None,
        role=wanted.role,
        infrastructure=infra,
        valid_s=None if wanted.days is None else wanted.days * _DAY_S,
        name=wanted.name or "",
    )
    return json_answer({**_told(record), "token": secret.reveal()}, {"Cache-Control": "no-store"})


@router.delete(
    "/infrastructures/{infra}/tokens/{token}",
    responses={200: form("Revoked.", {TEXT: {"schema": {"type": "string"}}}), **ERRORS},
)
async def revoke(house: HouseDep, caller: CallerDep, infra: InfraId, token: TokenName) -> Response:
    """Revoke a token at once: owners only. The one that this server gives is made anew with the next configuration."""
    await in_thread(allow, house, caller, infra, Role.OWNER)
    await in_thread(_revoke, house, infra, token)
    return Response("", 200, {}, TEXT)


def _revoke(house: House, infra: str, name: str) -> None:
    found = next((one for one in house.records.tokens_of(infra) if one.name == name), None)
    if found is None:
        raise NotFound(f"there is no token {name!r} for this infrastructure")
    house.records.remove_token(found.id)


def _told(record: TokenRecord) -> dict[str, Any]:
    return {
        "name": record.name,
        "role": record.role.value,
        "account": record.account,
        "created_at": record.created_at,
        "expires_at": record.expires_at,
    }
