"""The caller's own credentials of clouds, where he puts them into the server's vault."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from im_client.api.asking import CallerDep, HouseDep, in_thread, json_text
from im_client.api.negotiate import JSON, TEXT, choose, json_answer
from im_client.api.problems import Refused
from im_client.api.schemas import ERRORS, form, json_form, one_of
from im_client.auth.credentials import Credential
from im_client.services.server.callers import Caller
from im_client.services.server.house import House
from im_client.services.server.strict_json import decode_strictly
from im_client.services.server.vault import Vault
from im_client.state.server import Role
from infracore.secrets import Secret

__all__ = ["router"]

router: Final = APIRouter(tags=["vault"])
CredentialId = Annotated[
    str, Path(max_length=64, pattern=r"^[a-zA-Z_.][a-zA-Z0-9_.-]*$", description="Id of a credential.")
]
_MOST_BYTES: Final = 64 * 1024
_DONE: Final[dict[int | str, dict[str, Any]]] = {200: form("Done.", {TEXT: {"schema": {"type": "string"}}}), **ERRORS}


def _vault(house: House, caller: Caller, needed: Role = Role.VIEWER) -> Vault:
    if house.vault is None:
        raise Refused(404, "this server has no vault", "its owner can set server.vault.kind")
    if caller.infrastructure is not None:
        raise Refused(403, "this token is for one infrastructure")
    if not caller.most.allows(needed):
        raise Refused(403, "this token changes nothing in the vault")
    return house.vault


@router.get("/vault", responses=json_form(one_of("credentials")))
async def list_credentials(request: Request, house: HouseDep, caller: CallerDep) -> Response:
    """List the ids and types of what the caller has in the vault. Values never come out again."""
    choose(request, (JSON,))
    found = await in_thread(_vault(house, caller).read, caller)
    return json_answer({"credentials": [{"id": one.id, "type": one.type} for one in found]})


@router.put(
    "/vault/{credential}",
    responses=_DONE,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {
                        "type": "object",
                        "properties": {"type": {"type": "string", "minLength": 1}},
                        "required": ["type"],
                        "additionalProperties": {"type": "string"},
                    }
                }
            },
        }
    },
)
async def put(request: Request, house: HouseDep, caller: CallerDep, credential: CredentialId) -> Response:
    """Put a credential away: the keys of an auth line, as a JSON object."""
    vault = _vault(house, caller, Role.OPERATOR)
    text = await json_text(request, _MOST_BYTES)
    words = decode_strictly(text, dict[str, str], "object of texts", '{"type": "OpenStack", "host": "..."}')
    if not words.get("type"):
        raise Refused(400, "the credential has no type")
    fields = {key: Secret(value) for key, value in words.items() if key not in {"id", "type"}}
    await in_thread(vault.put, caller, Credential(credential, words["type"], fields))
    return Response("", 200, {}, TEXT)


@router.delete("/vault/{credential}", responses=_DONE)
async def remove(request: Request, house: HouseDep, caller: CallerDep, credential: CredentialId) -> Response:
    """Remove a credential."""
    await in_thread(_vault(house, caller, Role.OPERATOR).remove, caller, credential)
    return Response("", 200, {}, TEXT)
