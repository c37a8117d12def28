"""The application: routes, errors, and the OpenAPI document."""

from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from im_client.api.late import DASHBOARD, LateDashboard
from im_client.api.measures import Counting, Measures
from im_client.api.problems import Refused, answer
from im_client.api.routes import (
    cloning,
    clouds,
    infrastructures,
    operations,
    properties,
    service,
    tokens,
    users,
    vault,
    vms,
)
from im_client.services.server.house import House
from im_client.services.server.version import VERSION
from infracore.errors import InfraError

__all__ = ["make_app"]

_DESCRIPTION: Final = (
    "The REST API of the Infrastructure Manager, served by im-clues. Every path but `/version`, `/healthz`, "
    "`/metrics` and this document asks for an Authorization header."
)
_MODULES: Final = (service, clouds, operations, vms, infrastructures, cloning, properties, tokens, users, vault)
_OPEN: Final = frozenset({"/version", "/healthz", "/metrics"})


def make_app(house: House) -> FastAPI:
    """Make the application over an open house."""
    app = FastAPI(
        title="im-clues",
        version=VERSION,
        description=_DESCRIPTION,
        redirect_slashes=False,
        docs_url=None,
        redoc_url=None,
    )
    app.state.house = house
    app.state.measures = measures = Measures()
    app.add_middleware(Counting, measures=measures)
    app.add_exception_handler(InfraError, _failed)
    app.add_exception_handler(Refused, _failed)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _defect)
    for module in _MODULES:
        app.include_router(module.router)
    if house.ctx.settings.server.dashboard:
        app.mount(DASHBOARD, LateDashboard(house))
        for path in ("/", DASHBOARD):
            app.add_route(path, _to_dashboard, methods=["GET"], include_in_schema=False)
    plain = app.openapi

    def described() -> dict[str, Any]:
        return app.openapi_schema or _described(plain())

    app.openapi = described  # type: ignore[method-assign]
    return app


async def _to_dashboard(request: Request) -> Response:
    """Send a browser to the pages; other clients find nothing here, as ever."""
    if "text/html" in _accept(request):
        return RedirectResponse(f"{DASHBOARD}/", 303)
    raise HTTPException(404, "Not Found")


def _accept(request: Request) -> str:
    return request.headers.get("accept", "").lower()


async def _failed(request: Request, error: Exception) -> Response:
    if not isinstance(error, InfraError | Refused):
        raise error
    return answer(error, _accept(request))


async def _invalid(request: Request, error: Exception) -> Response:
    """Answer to a parameter that does not fit: 404 where it is a part of the path, else 400."""
    if not isinstance(error, RequestValidationError):
        raise error
    first = error.errors()[0]
    place = first["loc"]
    what = f"{place[0]} parameter {'.'.join(str(part) for part in place[1:])}: {first['msg']}"
    return answer(Refused(404 if place[0] == "path" else 400, what), _accept(request))


async def _http(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    if error.status_code == 405:  # Starlette names the methods of the first route that fits only
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    return answer(Refused(error.status_code, str(error.detail), headers=headers), _accept(request))


def _methods(request: Request) -> set[str]:
    """Return the methods of a path. Of the routes that it fits, those with the fewest parameters count: the others
    are for what none of these is for.
    """
    own = [*request.app.routes, *(route for module in _MODULES for route in module.router.routes)]
    fitting = [
        route for route in own if isinstance(route, Route) and route.path_regex.match(request.scope["path"]) is not None
    ]
    fewest = min((len(route.param_convertors) for route in fitting), default=0)
    return {method for route in fitting if len(route.param_convertors) == fewest for method in route.methods or ()}


async def _defect(request: Request, error: Exception) -> Response:
    """Answer to a defect of ours; uvicorn logs its traceback."""
    what = Refused(500, f"a defect of this server: {type(error).__name__}", "please report it with the server's log")
    return answer(what, _accept(request))


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """Complete the document: how callers authenticate, and no 422 of FastAPI's own shape."""
    schema.setdefault("components", {})["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "auth": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "The auth file in one line, its lines joined by the two characters backslash and n.",
        },
    }
    for path, item in schema["paths"].items():
        if path not in _OPEN:
            for operation in item.values():
                operation["security"] = [{"bearer": []}, {"auth": []}]
                operation.setdefault("parameters", [])
    return schema
