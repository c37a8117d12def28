"""The accounts of the server: for its administrators only. No password and no token comes out again."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Path, Request
from pydantic import BaseModel
from starlette.responses import Response

from im_client.api.asking import CallerDep, HouseDep, in_thread, json_text
from im_client.api.negotiate import JSON, TEXT, choose, json_answer
from im_client.api.schemas import ERRORS, form, json_form
from im_client.services.server.accounts import LEAST_PASSWORD
from im_client.services.server.house import House
from im_client.services.server.people import give_token, list_people, remove_person, require_admin, require_other
from im_client.services.server.strict_json import decode_strictly
from im_client.state.server import Role
from infracore.secrets import Secret

__all__ = ["router"]

router: Final = APIRouter(tags=["users"])
_MOST_BYTES: Final = 64 * 1024
_MOST_PASSWORD: Final = 1024
UserName = Annotated[
    str, Path(max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]*$", description="Name of an account.")
]
_DONE: Final[dict[int | str, dict[str, Any]]] = {200: form("Done.", {TEXT: {"schema": {"type": "string"}}}), **ERRORS}


class UserShape(BaseModel):
    """An account, and how many tokens it has."""

    name: str
    admin: bool
    tokens: int


class UsersShape(BaseModel):
    """The accounts of the server."""

    accounts: list[UserShape]


class UserTokenShape(BaseModel):
    """A token that was made now, which is shown this once."""

    token: str


class _User(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    password: Annotated[str, msgspec.Meta(min_length=LEAST_PASSWORD, max_length=_MOST_PASSWORD)]
    admin: bool = False


class _Token(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    role: Role = Role.OWNER
    infrastructure: Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None = None
    days: Annotated[float, msgspec.Meta(ge=0.001, le=36_500)] | None = None


def _body(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    shape = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"requestBody": {"required": True, "content": {JSON: {"schema": shape}}}}


@router.get("/users", responses=json_form(UsersShape))
async def list_users(request: Request, house: HouseDep, caller: CallerDep) -> Response:
    """List the accounts of the server with the number of their tokens: administrators only."""
    require_admin(caller)
    choose(request, (JSON,))
    found = await in_thread(list_people, house.records)
    return json_answer({"accounts": [{"name": one.name, "admin": one.is_admin, "tokens": one.tokens} for one in found]})


@router.put(
    "/users/{user}",
    responses=_DONE,
    openapi_extra=_body(
        {
            "password": {"type": "string", "minLength": LEAST_PASSWORD, "maxLength": _MOST_PASSWORD},
            "admin": {"type": "boolean"},
        },
        ["password"],
    ),
)
async def put(request: Request, house: HouseDep, caller: CallerDep, user: UserName) -> Response:
    """Make an account, or give one a new password; `admin` says whether it may see and change everything.

    Administrators only. Infrastructures and tokens of an account that there is stay.
    """
    require_admin(caller)
    text = await json_text(request, _MOST_BYTES)
    asked = decode_strictly(text, _User, "account", '{"password": "...", "admin": false}')
    if not asked.admin:
        require_other(caller, user)
    await in_thread(lambda: house.accounts.add(user, Secret(asked.password), is_admin=asked.admin))
    return Response("", 200, {}, TEXT)


@router.delete("/users/{user}", responses=_DONE)
async def remove(house: HouseDep, caller: CallerDep, user: UserName) -> Response:
    """Remove an account with its tokens: administrators only, and never themselves. Its infrastructures stay."""
    require_admin(caller)
    require_other(caller, user)
    await in_thread(remove_person, house.records, user)
    return Response("", 200, {}, TEXT)


@router.post(
    "/users/{user}/tokens",
    responses=json_form(UserTokenShape, "Made; the token is shown this once."),
    openapi_extra=_body(
        {
            "role": {"enum": [role.value for role in Role]},
            "infrastructure": {"type": ["string", "null"], "minLength": 1, "maxLength": 64},
            "days": {"type": ["number", "null"], "minimum": 0.001, "maximum": 36_500},
        },
        [],
    ),
)
async def make_token(request: Request, house: HouseDep, caller: CallerDep, user: UserName) -> Response:
    """Make a token of an account: administrators only. At most `role`, for one infrastructure or all, for some days.

    An account that had no part in the infrastructure gets this role there.
    """
    require_admin(caller)
    choose(request, (JSON,))
    text = await json_text(request, _MOST_BYTES)
    asked = decode_strictly(text, _Token, "token that could be made", '{"role": "viewer", "days": 30}')
    made = await in_thread(_make, house, user, asked)
    return json_answer({"token": made.reveal()}, {"Cache-Control": "no-store"})


def _make(house: House, name: str, asked: _Token) -> Secret:
    infra = None if asked.infrastructure is None else house.ctx.store.infrastructure(asked.infrastructure).id
    return give_token(house.records, house.accounts, name, role=asked.role, infrastructure=infra, days=asked.days)
