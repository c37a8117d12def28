"""VMs: look at one, change, remove, start, stop, restart."""

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from im_client.api.asking import (
    CallerDep,
    HouseDep,
    InfraId,
    VmNumber,
    allow,
    finished,
    flag,
    if_match,
    in_thread,
    operation_headers,
    read_template,
    vm_numbers,
)
from im_client.api.negotiate import JSON, TEXT, URI_LIST, choose, image_answer, json_answer, property_answer
from im_client.api.once import once
from im_client.api.problems import Refused
from im_client.api.routes.infrastructures import Replace, YesNo, still_going_on, wait_and_answer
from im_client.api.schemas import TEMPLATE_BODY, done_forms, snapshot_forms, text_or_json
from im_client.services.server import changes
from im_client.services.server.house import House
from im_client.services.server.views import Picture, Vm, look, vm_contmsg
from im_client.state.server import OperationKind, Role

__all__ = ["router"]

router: Final = APIRouter(tags=["vms"])


def _vm(house: House, infra: str, number: int) -> tuple[Picture, Vm]:
    picture = look(house, infra)
    vm = picture.vms.get(number)
    if vm is None:
        raise Refused(404, f"there is no VM {number} in this infrastructure")
    return picture, vm


@router.get("/infrastructures/{infra}/vms/{vm}", responses=text_or_json("radl"))
async def read_vm(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId, vm: VmNumber) -> Response:
    """Read a VM as RADL; operators and owners see its key."""
    role = await in_thread(allow, house, caller, infra, Role.VIEWER)
    picture, found = await in_thread(_vm, house, infra, vm)
    return await _answer(request, house, picture, found, role)


async def _answer(request: Request, house: House, picture: Picture, vm: Vm, role: Role) -> Response:
    from im_client.services.server.describing import as_json, as_text, vm_document

    document = await in_thread(vm_document, house, picture.record, vm, reveal=role.allows(Role.OPERATOR))
    if choose(request, (TEXT, JSON)) == JSON:
        return json_answer({"radl": as_json(document)})
    return Response(as_text(document), 200, {}, TEXT)


@router.get("/infrastructures/{infra}/vms/{vm}/{prop}", responses=text_or_json("state"))
async def read_vm_property(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    vm: VmNumber,
    prop: Annotated[str, Path(max_length=200, pattern=r"^[A-Za-z0-9_.-]+$")],
) -> Response:
    """Read one feature of a VM by its RADL name, its `state`, or its `contmsg`."""
    role = await in_thread(allow, house, caller, infra, Role.VIEWER)
    picture, found = await in_thread(_vm, house, infra, vm)
    if prop == "contmsg":
        return property_answer(request, prop, await in_thread(vm_contmsg, house, infra, found.name))
    if prop in {"start", "stop", "reboot"}:
        raise Refused(405, f"{prop} is done by PUT", headers={"Allow": "PUT"})
    if prop == "command":
        raise Refused(404, "machines of this server need no reverse SSH command")
    from im_client.services.server.describing import features_of_vm, vm_document

    document = await in_thread(vm_document, house, picture.record, found, reveal=role.allows(Role.OPERATOR))
    features = features_of_vm(document)
    if prop not in features:
        raise Refused(404, f"VM {vm} has no {prop}", f"it has: {', '.join(features)}")
    value = features[prop]
    if choose(request, (TEXT, JSON)) == JSON:
        return json_answer({prop: value})
    return Response(str(value), 200, {}, TEXT)


@router.put("/infrastructures/{infra}/vms/{vm}", responses=text_or_json("radl"), openapi_extra=TEMPLATE_BODY)
async def alter(
    request: Request, house: HouseDep, caller: CallerDep, infra: InfraId, vm: VmNumber, replace: Replace = None
) -> Response:
    """Change a VM as a template says; refused where that would change another one too, or make it anew."""
    role = await in_thread(allow, house, caller, infra, Role.OPERATOR)

    async def work() -> Response:
        choose(request, (TEXT, JSON))
        body = await read_template(request, house.ctx.settings.server.most_bytes)
        _, before = await in_thread(_vm, house, infra, vm)
        if body is None:
            raise Refused(400, "the body is empty", "send what is to change")
        accepted = await in_thread(
            changes.update,
            house,
            caller,
            infra,
            body,
            if_version=await if_match(request, house, infra),
            only_vm=before.name,
            replace=flag(replace, default=False),
        )
        await finished(accepted, house.ctx.settings.server.wait_s)
        picture, found = await in_thread(_vm, house, infra, vm)
        answer = await _answer(request, house, picture, found, role)
        answer.headers.update(operation_headers(request, accepted))
        return answer

    return await once(request, house, caller, work)


@router.delete("/infrastructures/{infra}/vms/{vm}", responses=done_forms())
async def remove(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    vm: Annotated[
        str, Path(max_length=20_000, pattern=r"^[0-9]+(,[0-9]+)*$", description="Numbers with commas between them.")
    ],
    context: Annotated[YesNo | None, Query(description="Whether to configure the others.")] = None,
    replace: Replace = None,
) -> Response:
    """Remove VMs. 200 means that they are gone."""
    await in_thread(allow, house, caller, infra, Role.SCALER)

    async def work() -> Response:
        accepted = await in_thread(
            changes.remove,
            house,
            caller,
            infra,
            vm_numbers(vm),
            configure=flag(context, default=True),
            if_version=await if_match(request, house, infra),
            replace=flag(replace, default=False),
        )
        return await wait_and_answer(request, house, accepted)

    return await once(request, house, caller, work)


async def _change_power(
    request: Request, house: House, caller: CallerDep, infra: str, vm: int, kind: OperationKind
) -> Response:
    await in_thread(allow, house, caller, infra, Role.OPERATOR)

    async def work() -> Response:
        accepted = await in_thread(
            changes.power, house, caller, infra, kind, [vm], if_version=await if_match(request, house, infra)
        )
        return await wait_and_answer(request, house, accepted)

    return await once(request, house, caller, work)


@router.put("/infrastructures/{infra}/vms/{vm}/start", responses=done_forms())
async def start_vm(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId, vm: VmNumber) -> Response:
    """Start a VM. 200 means that it runs."""
    return await _change_power(request, house, caller, infra, vm, OperationKind.START)


@router.put("/infrastructures/{infra}/vms/{vm}/stop", responses=done_forms())
async def stop_vm(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId, vm: VmNumber) -> Response:
    """Stop a VM. 200 means that it is off."""
    return await _change_power(request, house, caller, infra, vm, OperationKind.STOP)


@router.put("/infrastructures/{infra}/vms/{vm}/reboot", responses=done_forms())
async def reboot_vm(request: Request, house: HouseDep, caller: CallerDep, infra: InfraId, vm: VmNumber) -> Response:
    """Restart a VM."""
    return await _change_power(request, house, caller, infra, vm, OperationKind.REBOOT)


@router.put("/infrastructures/{infra}/vms/{vm}/disks/{disk}/snapshot", responses=snapshot_forms())
async def snapshot(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    infra: InfraId,
    vm: VmNumber,
    disk: Annotated[int, Path(ge=0, lt=1000, description="0: the one that the VM runs from. No other is saved.")],
    image_name: Annotated[str, Query(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")],
    auto_delete: Annotated[YesNo | None, Query(description="Whether it goes with the infrastructure.")] = None,
) -> Response:
    """Make an image of a VM, which is stopped meanwhile. 200 means that it is made, and that the VM runs again."""
    await in_thread(allow, house, caller, infra, Role.OPERATOR)

    async def work() -> Response:
        from im_client.services.server import snapshots

        choose(request, (TEXT, URI_LIST, JSON))
        goes = flag(auto_delete, default=False)
        accepted, address = await in_thread(
            snapshots.snapshot,
            house,
            caller,
            infra,
            vm,
            image_name,
            disk=disk,
            auto_delete=goes,
            if_version=await if_match(request, house, infra),
        )
        if await finished(accepted, house.ctx.settings.server.wait_s) is None:
            return still_going_on(request, accepted)
        return image_answer(request, address, operation_headers(request, accepted))

    return await once(request, house, caller, work)
