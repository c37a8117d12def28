"""What changes an infrastructure that is there: scale, configure again, start and stop, cancel, destroy."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from im_client.api.dashboard.visit import Visit, page
from im_client.api.problems import Refused
from im_client.services.server import changes
from im_client.services.server.rights import require
from im_client.services.server.views import look
from im_client.state.server import OperationKind, Role
from infracore.errors import InvalidUsage

__all__ = ["ROUTES", "number_of", "version_of"]

_VERBS: Final = {
    "start": OperationKind.START,
    "stop": OperationKind.STOP,
    "reboot": OperationKind.REBOOT,
    "reconfigure": OperationKind.RECONFIGURE,
}
_SAID: Final = {
    "start": "The machines are being started.",
    "stop": "The machines are being stopped.",
    "reboot": "The machines are being restarted.",
    "reconfigure": "The machines are being configured again.",
}


def version_of(visit: Visit) -> int | None:
    """Return the version of the infrastructure that the page showed."""
    said = visit.said("version")
    return int(said) if said.isascii() and said.isdigit() and len(said) < 16 else None


def number_of(said: str, what: str) -> int:
    """Read a number of machines.

    Raises:
        InvalidUsage: it is none.
    """
    text = said.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 7):
        raise InvalidUsage(f"{text[:20]!r} is no number of machines for {what}", "write 0 or more")
    return int(text)


def _scale(visit: Visit) -> Response:
    infra = visit.path("infra")
    require(visit.house.records, visit.caller, infra, Role.SCALER)
    topology = visit.house.topology(infra)
    counts = {}
    for name, group in topology.groups.items():
        said = visit.said(f"count:{name}")
        if said and number_of(said, name) != group.count:
            counts[name] = number_of(said, name)
    if not counts:
        return visit.go(f"/infrastructures/{infra}", "Nothing to do: these are the numbers of machines already.")
    changes.scale(visit.house, visit.caller, infra, counts, if_version=version_of(visit))
    words = ", ".join(f"{name} to {count}" for name, count in counts.items())
    return visit.go(f"/infrastructures/{infra}", f"Scaling {words}.")


def _again(visit: Visit) -> Response:
    """Bring it to what is recorded as wanted: what failed or was cancelled is done, what is there stays."""
    infra = visit.path("infra")
    require(visit.house.records, visit.caller, infra, Role.OPERATOR)
    changes.scale(visit.house, visit.caller, infra, {})
    return visit.go(f"/infrastructures/{infra}", "What is missing is being made; what is there stays.")


def _change(visit: Visit) -> Response:
    infra, verb = visit.path("infra"), visit.request.url.path.rsplit("/", 1)[-1]
    require(visit.house.records, visit.caller, infra, Role.OPERATOR)
    kind = _VERBS[verb]
    if kind is OperationKind.RECONFIGURE:
        changes.reconfigure(visit.house, visit.caller, infra, ())
    else:
        changes.power(visit.house, visit.caller, infra, kind, ())
    return visit.go(f"/infrastructures/{infra}", _SAID[verb])


def _cancel(visit: Visit) -> Response:
    infra = visit.path("infra")
    require(visit.house.records, visit.caller, infra, Role.OPERATOR)
    record = visit.house.operations.find(visit.path("operation"))
    if record.infrastructure != infra:
        raise Refused(404, "This operation is none of this infrastructure.")
    visit.house.operations.cancel(record.id)
    return visit.go(f"/infrastructures/{infra}", "Nothing more of it begins; what runs comes to its end.")


def _ask_destroy(visit: Visit) -> Response:
    return _destroy_page(visit, 200, "")


def _destroy_page(visit: Visit, status: int, error: str) -> Response:
    infra = visit.path("infra")
    role = require(visit.house.records, visit.caller, infra, Role.OWNER)
    picture = look(visit.house, infra)
    return visit.render("destroy.html", status, infra=infra, role=role, picture=picture, error=error)


def _destroy(visit: Visit) -> Response:
    infra = visit.path("infra")
    require(visit.house.records, visit.caller, infra, Role.OWNER)
    name = visit.house.ctx.store.infrastructure(infra).name
    if visit.said("name").strip() != name:
        return _destroy_page(visit, 422, f"This is not its name. Write: {name}")
    changes.destroy(visit.house, visit.caller, infra, force=visit.said("force") == "yes", if_version=version_of(visit))
    return visit.go(f"/infrastructures/{infra}", f"{name} is being destroyed.")


ROUTES: Final[Sequence[Route]] = (
    Route("/infrastructures/{infra}/scale", page(_scale), methods=["POST"]),
    Route("/infrastructures/{infra}/again", page(_again), methods=["POST"]),
    Route("/infrastructures/{infra}/operations/{operation}/cancel", page(_cancel), methods=["POST"]),
    Route("/infrastructures/{infra}/destroy", page(_ask_destroy), methods=["GET"]),
    Route("/infrastructures/{infra}/destroy", page(_destroy), methods=["POST"]),
    *(Route(f"/infrastructures/{{infra}}/{verb}", page(_change), methods=["POST"]) for verb in _VERBS),
)
