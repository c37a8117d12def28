"""One machine: what it is, its log, and what may be done with it."""

from collections.abc import Sequence
from typing import Final

from starlette.convertors import Convertor, register_url_convertor
from starlette.responses import Response
from starlette.routing import Route

from im_client.api.dashboard.visit import Visit, page
from im_client.api.problems import Refused
from im_client.services.server import changes
from im_client.services.server.rights import require
from im_client.services.server.views import Picture, Vm, look, vm_contmsg
from im_client.state.server import OperationKind, Role

__all__ = ["ROUTES"]

_HIDDEN: Final = (".private_key", ".password", "launch_time", "state", "instance_name", "instance_id", "provider.type")
"""Features that stand elsewhere on the page, and secrets."""
_POWER: Final = {
    "start": (OperationKind.START, "is being started"),
    "stop": (OperationKind.STOP, "is being stopped"),
    "reboot": (OperationKind.REBOOT, "is being restarted"),
}


def _find(visit: Visit, infra: str) -> tuple[Picture, Vm]:
    picture = look(visit.house, infra)
    vm = picture.vms.get(visit.number("vm"))
    if vm is None:
        raise Refused(404, "There is no such machine in this infrastructure.")
    return picture, vm


def _show(visit: Visit) -> Response:
    from im_client.services.server.describing import features_of_vm, vm_document

    infra = visit.path("infra")
    role = require(visit.house.records, visit.caller, infra, Role.VIEWER)
    picture, vm = _find(visit, infra)
    # the key is not shown: whoever may have it takes it with `im ssh` or by the REST API
    document = vm_document(visit.house, picture.record, vm, reveal=False)
    return visit.render(
        "machine.html",
        infra=infra,
        role=role,
        picture=picture,
        vm=vm,
        features={name: value for name, value in features_of_vm(document).items() if not name.endswith(_HIDDEN)},
        log=vm_contmsg(visit.house, infra, vm.name),
        is_busy=bool(visit.house.operations.unfinished(infra)),
    )


def _change(visit: Visit) -> Response:
    infra, verb = visit.path("infra"), visit.request.url.path.rsplit("/", 1)[-1]
    needed = Role.SCALER if verb == "remove" else Role.OPERATOR
    require(visit.house.records, visit.caller, infra, needed)
    _, vm = _find(visit, infra)
    if verb == "remove":
        changes.remove(visit.house, visit.caller, infra, [vm.number])
        return visit.go(f"/infrastructures/{infra}", f"{vm.name} is being removed.")
    if verb == "reconfigure":
        changes.reconfigure(visit.house, visit.caller, infra, [vm.number])
        return visit.go(f"/infrastructures/{infra}/vms/{vm.number}", f"{vm.name} is being configured again.")
    kind, said = _POWER[verb]
    changes.power(visit.house, visit.caller, infra, kind, [vm.number])
    return visit.go(f"/infrastructures/{infra}/vms/{vm.number}", f"{vm.name} {said}.")


class _Number(Convertor[int]):
    """The number of a VM. Starlette's own takes more digits than Python reads, before anybody has signed in."""

    regex = "[0-9]{1,9}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("vm", _Number())
ROUTES: Final[Sequence[Route]] = (
    Route("/infrastructures/{infra}/vms/{vm:vm}", page(_show), methods=["GET"]),
    *(
        Route(f"/infrastructures/{{infra}}/vms/{{vm:vm}}/{verb}", page(_change), methods=["POST"])
        for verb in ("remove", "reconfigure", *_POWER)
    ),
)
