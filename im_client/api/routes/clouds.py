"""Clouds: the images that the caller may use there, and how much room there is."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from im_client.api.asking import CallerDep, HouseDep, in_thread
from im_client.api.negotiate import JSON, TEXT, choose, json_answer
from im_client.api.problems import Refused
from im_client.api.schemas import Images, QuotasShape, done_forms, json_form
from im_client.providers.quotas import Quota, Share
from im_client.services.room import quota_at
from im_client.services.server.callers import Caller
from im_client.services.server.clouds import known_clouds, provider_of_cloud
from im_client.services.server.house import House
from im_client.services.server.images import delete_image, list_images
from im_client.services.server.lending import known_caller, of_caller
from infracore.errors import Unsupported

__all__ = ["router"]

router: Final = APIRouter(tags=["clouds"])
_GIB: Final = 2**30
CloudId = Annotated[
    str,
    Path(
        max_length=64,
        pattern=r"^[a-zA-Z_.][a-zA-Z0-9_.-]*$",
        description="Id of a line of the auth header, or of `GET /clouds`.",
    ),
]


class CloudShape(BaseModel):
    """A cloud: the id by which the caller names it, and the provider of this server that it is."""

    id: str
    provider: str


class CloudsShape(BaseModel):
    """The caller's clouds."""

    clouds: list[CloudShape]


@router.get("/clouds", responses=json_form(CloudsShape))
async def clouds(request: Request, house: HouseDep, caller: CallerDep) -> Response:
    """List the caller's clouds: the lines of the header and vault that this server offers; without one, its own."""
    choose(request, (JSON,))
    found = await in_thread(lambda: known_clouds(of_caller(house, caller).ctx, known_caller(house, caller)))
    return json_answer({"clouds": [{"id": one, "provider": provider} for one, provider in found.items()]})


@router.get("/clouds/{cloud}/images", responses=json_form(Images))
async def images(
    request: Request,
    house: HouseDep,
    caller: CallerDep,
    cloud: CloudId,
    filters: Annotated[
        str | None, Query(max_length=1000, description="KEY=VALUE,KEY=VALUE; keys are `name` and `uri`.")
    ] = None,
) -> Response:
    """List the images that the caller may use, newest first: those of VMs, made by the caller."""
    choose(request, (JSON,))
    wanted = _filters(filters or "")

    def find() -> list[dict[str, str]]:
        lent, site = _site(house, caller, cloud)
        found = list_images(lent, caller, site)
        return [{"uri": one.address, "name": one.title} for one in found]

    found = await in_thread(find)
    return json_answer({"images": [one for one in found if all(one[key] == value for key, value in wanted.items())]})


def _filters(said: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in said.split(",") if said else ():
        key, _, value = part.partition("=")
        if key not in {"name", "uri"} or not value:
            raise Refused(400, f"{part[:80]!r} is no filter", "write name=NAME or uri=URI")
        found[key] = value
    return found


@router.delete("/clouds/{cloud}/images/{name}", responses=done_forms())
async def remove(
    house: HouseDep,
    caller: CallerDep,
    cloud: CloudId,
    name: Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$", description="The last part of the image's uri.")],
) -> Response:
    """Delete an image of the caller's own that no VM stands on."""

    def delete() -> None:
        lent, site = _site(house, caller, cloud)
        delete_image(lent, caller, site, name)

    await in_thread(delete)
    return Response("", 200, {}, TEXT)


@router.get("/clouds/{cloud}/quotas", responses=json_form(QuotasShape))
async def quotas(request: Request, house: HouseDep, caller: CallerDep, cloud: CloudId) -> Response:
    """Say how much is used and how much there is; providers that do not know say so (400)."""
    choose(request, (JSON,))

    def find() -> dict[str, Any]:
        lent, site = _site(house, caller, cloud)
        try:
            quota = quota_at(lent.ctx.provider(site))
        finally:
            lent.ctx.close_lent()
        if quota is None:
            raise Unsupported(f"the provider {site!r} has no quotas")
        return _quotas(quota)

    return json_answer({"quotas": await in_thread(find)})


def _site(house: House, caller: Caller, cloud: str) -> tuple[House, str]:
    """Return the house as the caller sees it, and the site that they mean."""
    lent = of_caller(house, caller)
    return lent, provider_of_cloud(lent.ctx, known_caller(house, caller), cloud)


def _quotas(quota: Quota) -> dict[str, Any]:
    """Put them in the words of the Infrastructure Manager: sizes in GiB, a limit of -1 where there is none."""
    return {
        "cores": _share(quota.cpus),
        "ram": _share(quota.memory_bytes, _GIB),
        "instances": _share(quota.machines),
        "volume_storage": _share(quota.disk_bytes, _GIB),
    }


def _share(share: Share, unit: int = 1) -> dict[str, int | float]:
    def said(count: int) -> int | float:
        return count if unit == 1 else round(count / unit, 3)

    return {"used": said(share.used or 0), "limit": -1 if share.limit is None else said(share.limit)}
