"""Infrastructures: list, make, change, destroy."""

from typing import Annotated, Final, Literal, TypeAlias

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from im_client.api.asking import (
    CallerDep,
    HouseDep,
    InfraId,
    allow,
    base_url,
    etag,
    finished,
    flag,
    if_match,
    in_thread,
    json_text,
    no_terms,
    operation_headers,
    read_template,
    vm_numbers,
)
from im_client.api.negotiate import TEXT, choose, json_answer, uri_answer, uri_list_answer
from im_client.api.once import once
from im_client.api.problems import Refused
from im_client.api.schemas import TEMPLATE_BODY, done_forms, uri_forms
from im_client.services.server import changes
from im_client.services.server.changes import Accepted
from im_client.services.server.house import House
from im_client.services.server.moving import import_infrastructure
from im_client.services.server.preview import dry_run_answer
from im_client.services.server.rights import require_creator, visible
from im_client.services.server.searching import matching
from im_client.services.server.views import listed, look
from im_client.state.server import OperationKind, Role

__all__ = ["Replace", "YesNo", "router", "still_going_on", "wait_and_answer"]

router: Final = APIRouter(tags=["infrastructures"], dependencies=[Depends(no_terms)])
YesNo: TypeAlias = Literal["yes", "no", "true", "false", "1", "0"]
Replace: TypeAlias = Annotated[
    YesNo | None,
    Query(description="Whether machines that cannot be changed so are deleted, with all on them, and made anew."),
]
_PAGE: Final = 1000


@router.get("/infrastructures", responses=uri_forms(many=True))
async def list_infrastructures(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    filter: Annotated[str | None, Query(max_length=500, description="Regular expression over the template.")] = None,  # noqa: A002
    limit: Annotated[int, Query(ge=1, le=_PAGE, description="Page size.")] = _PAGE,
    after: Annotated[str | None, Query(max_length=64, description="Id that the page follows.")] = None,
) -> Response:
    """List the infrastructures that the caller sees, newest first; `Link: rel=next` names the next page."""

    def find() -> list[str]:
        mine = visible(house.records, caller)
        if filter:
            return [record.id for record in matching(listed(house, mine), filter)]
        return [infra for infra in house.records.infrastructure_ids() if mine is None or infra in mine]

    ids = await in_thread(find)
    if after is not None:
        if after not in ids:
            raise Refused(400, "there is no infrastructure of yours with the id in `after`")
        ids = ids[ids.index(after) + 1 :]
    headers = {}
    if len(ids) > limit:
        ids = ids[:limit]
        following = request.url.include_query_params(after=ids[-1], limit=limit)
        headers["Link"] = f'<{following}>; rel="next"'
    return uri_list_answer(request, [f"{base_url(request)}/infrastructures/{one}" for one in ids], headers)


@router.post("/infrastructures", responses=uri_forms(many=False, operation=True), openapi_extra=TEMPLATE_BODY)
async def create(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    dry_run: Annotated[YesNo | None, Query()] = None,
    asynchronous: Annotated[YesNo | None, Query(alias="async")] = None,
) -> Response:
    """Make an infrastructure. The answer comes when it is recorded; its machines come by and by."""
    require_creator(caller)

    async def work() -> Response:
        choose(request, ("text/uri-list", TEXT, "application/json"))
        body = await read_template(request, house.ctx.settings.server.most_bytes)
        if body is None:
            raise Refused(400, "the body is empty", "send a template")
        if flag(dry_run, default=False):
            prepared = await in_thread(changes.preview, house, caller, body)
            return json_answer(dry_run_answer(prepared, caller))
        accepted = await in_thread(changes.create, house, caller, body)
        uri = f"{base_url(request)}/infrastructures/{accepted.infrastructure}"
        return uri_answer(request, uri, operation_headers(request, accepted))

    return await once(request, house, caller, work)


@router.put(
    "/infrastructures",
    responses=uri_forms(many=False),
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {"type": "object"}}}}},
)
async def take_over(request: Request, house: HouseDep, caller: CallerDep) -> Response:
    """Take over an infrastructure that another `im serve` has exported (`GET .../data`)."""
    if caller.infrastructure is not None or not caller.most.allows(Role.OWNER):
        raise Refused(403, "this token takes no infrastructures over")

    most = house.ctx.settings.server.most_bytes * 4

    async def work() -> Response:
        text = await json_text(request, most)
        infra = await in_thread(import_infrastructure, house, caller, text)
        return uri_answer(request, f"{base_url(request)}/infrastructures/{infra}", {"InfID": infra})

    return await once(request, house, caller, work, most)


@router.get("/infrastructures/{infra}", responses=uri_forms(many=True, version=True))
async def list_vms(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId) -> Response:
    """List the VMs of an infrastructure."""
    await in_thread(allow, house, caller, infra, Role.VIEWER)
    picture = await in_thread(look, house, infra)
    uris = [_vm_uri(request, infra, number) for number in picture.vms]
    return uri_list_answer(request, uris, {**etag(picture.version), "InfID": infra})


@router.post("/infrastructures/{infra}", responses=uri_forms(many=True, operation=True), openapi_extra=TEMPLATE_BODY)
async def change(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    context: Annotated[YesNo | None, Query(description="Whether to configure.")] = None,
    replace: Replace = None,
) -> Response:
    """Add what a template says, or bring an infrastructure to its `count`; without a change: configure it again."""
    await in_thread(allow, house, caller, infra, Role.SCALER)

    async def work() -> Response:
        choose(request, ("text/uri-list", TEXT, "application/json"))
        body = await read_template(request, house.ctx.settings.server.most_bytes)
        if body is None:
            raise Refused(400, "the body is empty", "send a template")
        scales_only = not await in_thread(_may_all, house, caller, infra)
        accepted = await in_thread(
            changes.update,
            house,
            caller,
            infra,
            body,
            configure=flag(context, default=True),
            if_version=await if_match(request, house, infra),
            scales_only=scales_only,
            replace=flag(replace, default=False),
        )
        uris = [_vm_uri(request, infra, number) for number in accepted.new_vms]
        return uri_list_answer(request, uris, operation_headers(request, accepted))

    return await once(request, house, caller, work)


def _may_all(house: House, caller: CallerDep, infra: str) -> bool:
    return allow(house, caller, infra, Role.SCALER).allows(Role.OPERATOR)


@router.delete("/infrastructures/{infra}", responses=done_forms())
async def destroy(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    force: Annotated[YesNo | None, Query(description="Leave hooks out.")] = None,
    asynchronous: Annotated[YesNo | None, Query(alias="async")] = None,
) -> Response:
    """Destroy an infrastructure; what else goes on with it is cancelled. 200 means that nothing of it is left."""
    await in_thread(allow, house, caller, infra, Role.OWNER)

    async def work() -> Response:
        accepted = await in_thread(
            changes.destroy,
            house,
            caller,
            infra,
            force=flag(force, default=False),
            if_version=await if_match(request, house, infra),
        )
        return await wait_and_answer(request, house, accepted, is_async=flag(asynchronous, default=False))

    return await once(request, house, caller, work)


async def _change_all(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    kind: OperationKind,
    vm_list: str | None,
    replace: str | None = None,
) -> Response:
    await in_thread(allow, house, caller, infra, Role.OPERATOR)

    async def work() -> Response:
        vms = vm_numbers(vm_list) if vm_list is not None else []
        version = await if_match(request, house, infra)
        if kind is not OperationKind.RECONFIGURE:
            accepted = await in_thread(changes.power, house, caller, infra, kind, vms, if_version=version)
            return await wait_and_answer(request, house, accepted)
        body = await read_template(request, house.ctx.settings.server.most_bytes)
        anew = flag(replace, default=False)
        accepted = await in_thread(
            changes.reconfigure, house, caller, infra, vms, body=body, if_version=version, replace=anew
        )
        return Response("", 200, operation_headers(request, accepted), TEXT)

    return await once(request, house, caller, work)


VmList: TypeAlias = Annotated[str | None, Query(max_length=20_000, description="Only these VMs: 0,2.")]


@router.put("/infrastructures/{infra}/start", responses=done_forms())
async def start(
    request: Request, house: HouseDep, caller: CallerDep, infra: InfraId, vm_list: VmList = None
) -> Response:
    """Start all VMs, or those of `vm_list`. 200 means that they run."""
    return await _change_all(request, house, caller, infra, OperationKind.START, vm_list)


@router.put("/infrastructures/{infra}/stop", responses=done_forms())
async def stop(
    request: Request, house: HouseDep, caller: CallerDep, infra: InfraId, vm_list: VmList = None
) -> Response:
    """Stop all VMs, or those of `vm_list`. 200 means that they are off."""
    return await _change_all(request, house, caller, infra, OperationKind.STOP, vm_list)


@router.put("/infrastructures/{infra}/reboot", responses=done_forms())
async def reboot(
    request: Request, house: HouseDep, caller: CallerDep, infra: InfraId, vm_list: VmList = None
) -> Response:
    """Restart all VMs, or those of `vm_list`."""
    return await _change_all(request, house, caller, infra, OperationKind.REBOOT, vm_list)


@router.put("/infrastructures/{infra}/reconfigure", responses=done_forms())
async def reconfigure(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    vm_list: VmList = None,
    replace: Replace = None,
) -> Response:
    """Configure all VMs again, or those of `vm_list`; with a template in the body it is merged in first."""
    return await _change_all(request, house, caller, infra, OperationKind.RECONFIGURE, vm_list, replace)


async def wait_and_answer(request: Request, house: House, accepted: Accepted, *, is_async: bool = False) -> Response:
    """Answer when an operation has ended; where that takes longer than the server waits, say so (202)."""
    headers = operation_headers(request, accepted)
    if is_async:
        return Response("", 200, headers, TEXT)
    if await finished(accepted, house.ctx.settings.server.wait_s) is None:
        return still_going_on(request, accepted)
    return Response("", 200, headers, TEXT)


def still_going_on(request: Request, accepted: Accepted) -> Response:
    """Answer that an operation takes longer than the server waits."""
    headers = operation_headers(request, accepted)
    return Response(f"still going on: {headers['Operation']}", 202, headers, TEXT)


def _vm_uri(request: Request, infra: str, number: int) -> str:
    return f"{base_url(request)}/infrastructures/{infra}/vms/{number}"
