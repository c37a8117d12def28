"""The service itself: version, health, metrics, statistics."""

import csv
import io
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from im_client.api.asking import CallerDep, HouseDep, in_thread
from im_client.api.measures import Measures
from im_client.api.negotiate import JSON, TEXT, choose, json_answer, property_answer
from im_client.api.problems import Refused
from im_client.api.schemas import ERRORS, errors, form, text_or_json
from im_client.services.server.statistics import statistics
from im_client.services.server.version import VERSION
from infracore.metrics import CONTENT_TYPE

__all__ = ["router"]

router: Final = APIRouter(tags=["service"])
_FIELDS: Final = (
    "inf_id", "tosca_name", "creation_date", "last_date", "vm_count", "cpu_count", "memory_size", "cloud_type",
    "cloud_host", "hybrid", "deleted", "im_user",
)  # fmt: skip


@router.get("/version", responses={**text_or_json("version"), **errors(415)})
async def version(request: Request) -> Response:
    """Say the version."""
    return property_answer(request, "version", VERSION)


@router.get("/healthz", responses={200: form("It works.", {TEXT: {"schema": {"type": "string"}}}), **errors(503)})
async def health(house: HouseDep) -> Response:
    """Say whether the server works: the state can be read."""
    await in_thread(house.ctx.store.node_counts)
    return Response("ok\n", 200, {}, TEXT)


@router.get("/metrics", responses={200: form("Metrics.", {"text/plain": {"schema": {"type": "string"}}}), **ERRORS})
async def metrics(request: Request, house: HouseDep) -> Response:
    """Return the metrics for Prometheus; nothing in them names an infrastructure or a person."""
    measures: Measures = request.app.state.measures
    return Response(await in_thread(measures.text, house), 200, {}, CONTENT_TYPE)


@router.get(
    "/stats",
    responses={
        200: form(
            "Statistics.",
            {
                JSON: {"schema": {"type": "object", "properties": {"stats": {"type": "array"}}, "required": ["stats"]}},
                "text/csv": {"schema": {"type": "string"}},
            },
        ),
        **ERRORS,
    },
)
async def stats(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    init_date: Annotated[str | None, Query(max_length=40, description="First day, YYYY-MM-DD.")] = None,
    end_date: Annotated[str | None, Query(max_length=40, description="Last day.")] = None,
) -> Response:
    """Return what was deployed between two days: one's own, or everybody's for an administrator."""
    kind = choose(request, (JSON, "text/csv"))
    if caller.infrastructure is not None:
        raise Refused(403, "this token is for one infrastructure")
    since = 0.0 if init_date is None else _day(init_date)
    until = house.ctx.clock.now() if end_date is None else _day(end_date) + 86400.0
    account = None if caller.is_admin else caller.name
    found = await in_thread(statistics, house.ctx, house.records, account, since, until)
    if kind == JSON:
        return json_answer({"stats": [_dated(facts) for facts in found]})
    out = io.StringIO()
    writer = csv.DictWriter(out, _FIELDS)
    writer.writeheader()
    writer.writerows([_dated(facts) for facts in found])
    return Response(out.getvalue(), 200, {}, "text/csv")


def _day(said: str) -> float:
    try:
        found = datetime.fromisoformat(said)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError) as error:
        raise Refused(400, f"{said!r} is no date", "write YYYY-MM-DD") from error


def _dated(facts: dict[str, Any]) -> dict[str, Any]:
    dates = {
        name: datetime.fromtimestamp(facts[name], UTC).isoformat(timespec="seconds")
        for name in ("creation_date", "last_date")
    }
    return {name: {**facts, **dates}.get(name) for name in _FIELDS}
