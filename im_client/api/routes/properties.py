"""Properties of an infrastructure: state, contmsg, radl, tosca, outputs, data, authorization."""

from typing import Annotated, Any, Final

import msgspec
from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from im_client.api.asking import CallerDep, HouseDep, InfraId, allow, etag, flag, if_match, in_thread, json_text
from im_client.api.negotiate import JSON, TEXT, choose, json_answer, property_answer
from im_client.api.problems import Refused
from im_client.api.routes.infrastructures import YesNo
from im_client.api.schemas import ERRORS, form, json_form, one_of, text_or_json
from im_client.services.reading import outputs
from im_client.services.server.callers import Caller
from im_client.services.server.house import House
from im_client.services.server.moving import export_infrastructure
from im_client.services.server.refusals import check_version
from im_client.services.server.strict_json import decode_strictly
from im_client.services.server.views import contmsg, look, tosca
from im_client.state.server import Role

__all__ = ["router"]

router: Final = APIRouter(tags=["properties"])


@router.get("/infrastructures/{infra}/state", responses=json_form(one_of("state"), version=True))
async def state(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId) -> Response:
    """Read the state of an infrastructure and of its VMs."""
    await in_thread(allow, house, caller, infra, Role.VIEWER)
    choose(request, (JSON,))
    picture = await in_thread(look, house, infra)
    states = {str(number): vm.state for number, vm in picture.vms.items()}
    return json_answer({"state": {"state": picture.state, "vm_states": states}}, etag(picture.version))


@router.get("/infrastructures/{infra}/contmsg", responses=text_or_json("contmsg"))
async def read_contmsg(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    headeronly: Annotated[YesNo | None, Query(description="Without Ansible's own log.")] = None,
) -> Response:
    """Read the story of the last change."""
    await in_thread(allow, house, caller, infra, Role.VIEWER)
    only = flag(headeronly, default=False)
    return property_answer(request, "contmsg", await in_thread(contmsg, house, infra, header_only=only))


@router.get("/infrastructures/{infra}/radl", responses=text_or_json("radl", version=True))
async def read_radl(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId) -> Response:
    """Read what is wanted as RADL; recipes and passwords are for operators and owners."""
    from im_client.services.server.describing import radl_of

    role = await in_thread(allow, house, caller, infra, Role.SCALER)
    version = await in_thread(house.records.source_version, infra)  # first: an old one with a new text does no harm
    text = await in_thread(radl_of, house, infra, reveal=role.allows(Role.OPERATOR))
    return property_answer(request, "radl", text, etag(version))


@router.get("/infrastructures/{infra}/tosca", responses=text_or_json("tosca", version=True))
async def read_tosca(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId) -> Response:
    """Read the template, with the numbers of machines that are wanted now. A scaler changes these and sends it back."""
    await in_thread(allow, house, caller, infra, Role.SCALER)
    version = await in_thread(house.records.source_version, infra)
    text = await in_thread(lambda: tosca(house.ctx.store.infrastructure(infra)))
    return property_answer(request, "tosca", text, etag(version))


@router.get("/infrastructures/{infra}/outputs", responses=json_form(one_of("outputs")))
async def read_outputs(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId) -> Response:
    """Read the outputs, secrets in clear: operators and owners only."""
    await in_thread(allow, house, caller, infra, Role.OPERATOR)
    choose(request, (JSON,))
    found = await in_thread(outputs, house.ctx, infra, reveal=True)
    return json_answer({"outputs": plain(found)})


@router.get("/infrastructures/{infra}/data", responses=json_form(one_of("data")))
async def export(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    delete: Annotated[YesNo | None, Query(description="Forget it here; the machines stay.")] = None,
) -> Response:
    """Export all that is recorded, keys included, for another `im serve`: owners only."""
    await in_thread(allow, house, caller, infra, Role.OWNER)
    choose(request, (JSON,))
    forget = flag(delete, default=False)
    version = await if_match(request, house, infra)
    data = await in_thread(export_infrastructure, house, infra, forget=forget, if_version=version)
    return json_answer({"data": data})


@router.get("/infrastructures/{infra}/authorization", responses=text_or_json("authorization"))
async def read_members(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId) -> Response:
    """List who may do something with an infrastructure."""
    await in_thread(allow, house, caller, infra, Role.VIEWER)
    members = await in_thread(house.records.members, infra)
    if choose(request, (TEXT, JSON)) == JSON:
        return json_answer({"authorization": list(members), "roles": members})
    return Response("\n".join(members), 200, {}, TEXT)


def plain(value: Any) -> Any:
    """Return a value as JSON has it."""
    return msgspec.to_builtins(value, enc_hook=lambda thing: dict(thing) if hasattr(thing, "items") else str(thing))


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
    text = await json_text(request, 64 * 1024)
    member = decode_strictly(text, _Member, "member", '{"username": "ana", "role": "viewer"}')
    name = await in_thread(_named, house, member)
    if alone and member.role is not Role.OWNER:
        raise Refused(400, "the only member of an infrastructure must own it")
    if name == caller.name and member.role is not Role.OWNER and not caller.is_admin:
        raise Refused(400, "you would take your own role away", "let another owner do it")
    await in_thread(check_version, house, infra, await if_match(request, house, infra))
    await in_thread(house.records.set_member, infra, name, member.role, alone=alone)
    return Response("", 200, {}, TEXT)


def _named(house: House, member: _Member) -> str:
    if member.token:
        found: Caller = house.callers.recognise(f"Bearer {member.token}")
        if found.is_own:
            raise Refused(400, "this token stands for nobody who could have a role")
        return found.name
    if not member.username or house.records.account(member.username) is None:
        raise Refused(400, "there is no account of this name", "im user list shows those that there are")
    return member.username
