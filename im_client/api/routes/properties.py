"""Properties of an infrastructure: state, contmsg, radl, tosca, outputs, data, authorization."""

from typing import Annotated, Any, Final, Literal

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from im_client.api.asking import CallerDep, HouseDep, InfraId, allow, body_text, flag, in_thread
from im_client.api.negotiate import JSON, TEXT, choose, json_answer, property_answer
from im_client.api.problems import Refused
from im_client.api.routes.infrastructures import YesNo
from im_client.api.schemas import ERRORS, form, text_or_json
from im_client.services.reading import outputs
from im_client.services.server.callers import Caller
from im_client.services.server.house import House
from im_client.services.server.moving import export_infrastructure, forget_infrastructure
from im_client.services.server.views import contmsg, look, tosca
from im_client.state.server import Role

__all__ = ["router"]

router: Final = APIRouter(tags=["properties"])
_NEEDS: Final = {"radl": Role.OPERATOR, "tosca": Role.SCALER, "data": Role.OWNER, "outputs": Role.OPERATOR}
"""Templates and outputs may hold passwords; a scaler reads the template in order to change its counts."""


@router.get("/infrastructures/{infra}/{prop}", responses=text_or_json("state"))
async def read_property(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    prop: Literal["state", "contmsg", "radl", "tosca", "outputs", "data", "authorization"],
    headeronly: Annotated[YesNo | None, Query(description="contmsg without Ansible's log.")] = None,
    delete: Annotated[YesNo | None, Query(description="data: forget it here; the machines stay.")] = None,
) -> Response:
    """Read one property of an infrastructure."""
    await in_thread(allow, house, caller, infra, _NEEDS.get(prop, Role.VIEWER))
    if prop in {"state", "outputs", "data"}:
        choose(request, (JSON,))
        found, headers = await in_thread(_structured, house, infra, prop, forget=flag(delete, default=False))
        return json_answer({prop: found}, headers)
    if prop == "authorization":
        members = await in_thread(house.records.members, infra)
        if choose(request, (TEXT, JSON)) == JSON:
            return json_answer({"authorization": list(members), "roles": members})
        return Response("\n".join(members), 200, {}, TEXT)
    text = await in_thread(_text, house, infra, prop, header_only=flag(headeronly, default=False))
    return property_answer(request, prop, text)


def _structured(house: House, infra: str, prop: str, *, forget: bool) -> tuple[Any, dict[str, str]]:
    if prop == "outputs":
        return plain(outputs(house.ctx, infra, reveal=True)), {}
    if prop == "data":
        data = export_infrastructure(house, infra)
        if forget:
            forget_infrastructure(house, infra)
        return data, {}
    picture = look(house, infra)
    states = {str(number): vm.state for number, vm in picture.vms.items()}
    return {"state": picture.state, "vm_states": states}, {"ETag": f'"v{picture.version}"'}


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    return msgspec.to_builtins(value, enc_hook=lambda thing: dict(thing) if hasattr(thing, "items") else str(thing))


def _text(house: House, infra: str, prop: str, *, header_only: bool) -> str:
    if prop == "contmsg":
        return contmsg(house, infra, header_only=header_only)
    if prop == "tosca":
        return tosca(house.ctx.store.infrastructure(infra))
    from im_client.services.server.describing import radl_of

    return radl_of(house, infra)


class _Member(msgspec.Struct, frozen=True):
    """What the original sends (`username` and `password`, or `token`), and a role of ours."""

    username: str = ""
    password: str = ""
    token: str = ""
    role: Role = Role.OWNER


@router.post(
    "/infrastructures/{infra}/authorization",
    responses={200: form("Done.", {TEXT: {"schema": {"type": "string"}}}), **ERRORS},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                JSON: {
                    "schema": {
                        "type": "object",
                        "properties": {
                            "username": {"type": "string"},
                            "token": {"type": "string"},
                            "role": {"enum": [role.value for role in Role]},
                        },
                    }
                }
            },
        }
    },
)
async def share(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    overwrite: Annotated[YesNo | None, Query(description="Take everybody else's role away.")] = None,
) -> Response:
    """Give somebody a role in an infrastructure; without `role` he becomes an owner. No password is looked at."""
    await in_thread(allow, house, caller, infra, Role.OWNER)
    alone = flag(overwrite, default=False)
    text = await body_text(request, 64 * 1024)
    try:
        member = msgspec.json.decode(text, type=_Member)
    except msgspec.DecodeError as error:
        raise Refused(400, f"the body is no member: {error}", '{"username": "ana", "role": "viewer"}') from error
    name = await in_thread(_named, house, member)
    if alone and member.role is not Role.OWNER:
        raise Refused(400, "the only member of an infrastructure must own it")
    if name == caller.name and member.role is not Role.OWNER and not caller.is_admin:
        raise Refused(400, "you would take your own role away", "let another owner do it")
    await in_thread(house.records.set_member, infra, name, member.role, alone=alone)
    return Response("", 200, {}, TEXT)


def _named(house: House, member: _Member) -> str:
    if member.token:
        found: Caller = house.callers.recognise(f"Bearer {member.token}")
        return found.name
    if not member.username or house.records.account(member.username) is None:
        raise Refused(400, "there is no account of this name", "im user list shows those that there are")
    return member.username
