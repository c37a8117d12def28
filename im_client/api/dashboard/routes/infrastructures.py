"""Infrastructures: the list, one of them as it goes on, its log and its outputs."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from starlette.responses import Response
from starlette.routing import Route

from im_client.api.dashboard.rendering import trusted
from im_client.api.dashboard.renewing import answer_part, part_of
from im_client.api.dashboard.views import live_of, rows_of
from im_client.api.dashboard.visit import Visit, page
from im_client.services.reading import outputs
from im_client.services.server.rights import may_create, require, visible
from im_client.services.server.views import contmsg, listed
from im_client.state.server import Role
from im_client.topology.values import Value
from infracore.errors import NotFound
from infracore.secrets import Secret

__all__ = ["ROUTES", "shown"]

_PAGE: Final = 25
_MOST_LOG: Final = 200_000


def _list(visit: Visit) -> Response:
    house, caller = visit.house, visit.caller
    mine = visible(house.records, caller)
    words = visit.asked("q").lower().split()
    if words:
        found = [
            record.id
            for record in listed(house, mine)
            if all(word in f"{record.name} {record.id} {record.provider}".lower() for word in words)
        ]
    else:
        found = [infra for infra in house.records.infrastructure_ids() if mine is None or infra in mine]
    pages = max(1, -(-len(found) // _PAGE))
    number = min(max(1, _page_number(visit)), pages)
    rows = rows_of(house, found[(number - 1) * _PAGE : number * _PAGE])
    is_busy = any(row.is_busy for row in rows)
    values: dict[str, Any] = {"q": visit.asked("q"), "may_create": may_create(caller)}
    where = "/infrastructures?" + urlencode({"q": visit.asked("q"), "page": number})
    part = part_of(
        visit, "infrastructures_table.html", where, is_busy=is_busy, rows=rows, page=number, pages=pages, **values
    )
    if visit.is_partial:
        return answer_part(visit, part)
    return visit.render("infrastructures.html", part=trusted(part.html), total=len(found), is_busy=is_busy, **values)


def _show(visit: Visit) -> Response:
    """Answer the page, or the part of it that changes; where the infrastructure is gone, the list."""
    infra = visit.path("infra")
    try:
        role = require(visit.house.records, visit.caller, infra, Role.VIEWER)
        live = live_of(visit.house, infra, role, _page_number(visit))
    except NotFound:
        if not visit.is_partial:
            raise
        return visit.go("/infrastructures", f"{visit.asked('name') or infra} is destroyed: nothing of it is left.")
    status = live.progress.text if live.progress is not None else f"{live.picture.record.name}: {live.picture.state}"
    part = part_of(
        visit,
        "infrastructure_live.html",
        f"/infrastructures/{infra}?" + urlencode({"page": live.page, "name": live.picture.record.name}),
        is_busy=live.is_busy,
        status=status,
        live=live,
        infra=infra,
        role=role,
        outputs=_outputs(visit, infra, role),
    )
    if visit.is_partial:
        return answer_part(visit, part)
    return visit.render("infrastructure.html", live=live, infra=infra, role=role, part=trusted(part.html), said=status)


def _outputs(visit: Visit, infra: str, role: Role, *, reveal: bool = False) -> Sequence[Mapping[str, Any]] | None:
    """Return the outputs; None where the role does not see them."""
    if not role.allows(Role.OPERATOR):
        return None
    found = outputs(visit.house.ctx, infra)
    return [
        {"name": name, "text": shown(value, reveal=reveal), "is_hidden": not reveal and _holds_secret(value)}
        for name, value in found.items()
    ]


def _reveal(visit: Visit) -> Response:
    infra = visit.path("infra")
    role = require(visit.house.records, visit.caller, infra, Role.OPERATOR)
    found = _outputs(visit, infra, role, reveal=True)
    record = visit.house.ctx.store.infrastructure(infra)
    return visit.render("outputs.html", infra=infra, name=record.name, outputs=found)


def _log(visit: Visit) -> Response:
    infra = visit.path("infra")
    role = require(visit.house.records, visit.caller, infra, Role.VIEWER)
    text = contmsg(visit.house, infra)
    is_busy = bool(visit.house.operations.unfinished(infra))
    part = part_of(
        visit,
        "log_text.html",
        f"/infrastructures/{infra}/log",
        is_busy=is_busy,
        text=text[-_MOST_LOG:],
        cut=len(text) > _MOST_LOG,
    )
    if visit.is_partial:
        return answer_part(visit, part)
    name = visit.house.ctx.store.infrastructure(infra).name
    return visit.render("log.html", infra=infra, role=role, name=name, part=trusted(part.html), is_busy=is_busy)


def _page_number(visit: Visit) -> int:
    said = visit.asked("page", 6)
    return int(said) if said.isascii() and said.isdigit() else 1


def shown(value: Value, *, reveal: bool) -> str:
    """Write a value for people, secrets only with `reveal`."""
    match value:
        case Secret():
            return value.reveal() if reveal else "••••••••"
        case bool():
            return "yes" if value else "no"
        case None:
            return "not known yet"
        case Mapping():
            return "\n".join(f"{key}: {shown(item, reveal=reveal)}" for key, item in value.items()) or "none"
        case tuple():
            return "\n".join(shown(item, reveal=reveal) for item in value) or "none"
    return str(value)


def _holds_secret(value: Value) -> bool:
    match value:
        case Secret():
            return True
        case Mapping():
            return any(_holds_secret(item) for item in value.values())
        case tuple():
            return any(_holds_secret(item) for item in value)
    return False


ROUTES: Final[Sequence[Route]] = (
    Route("/infrastructures", page(_list), methods=["GET"]),
    Route("/infrastructures/{infra}", page(_show), methods=["GET"]),
    Route("/infrastructures/{infra}/outputs", page(_reveal), methods=["POST"]),
    Route("/infrastructures/{infra}/log", page(_log), methods=["GET"]),
)
