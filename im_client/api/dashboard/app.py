"""The dashboard as an application of its own, mounted into the server's."""

from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from im_client.api.dashboard.rendering import STATIC, render
from im_client.api.dashboard.routes import changing, deploying, infrastructures, machines, signing
from im_client.api.dashboard.visit import Surroundings
from im_client.api.problems import Refused, status_of
from im_client.services.server.catalogue import Catalogue
from im_client.services.server.house import House
from im_client.services.server.sessions import Sessions
from im_client.template.problems import InvalidTemplate, Problem
from infracore.errors import InfraError, Transient

__all__ = ["make_dashboard"]

_SERVED: Final = {
    "htmx.min.js": "text/javascript",
    "style.css": "text/css",
    "icon.svg": "image/svg+xml",
}
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_TITLES: Final = {
    400: "That cannot be done",
    401: "Sign in first",
    403: "That is not yours to do",
    404: "There is nothing here",
    409: "Somebody else is at it",
    412: "It has changed meanwhile",
    429: "Too often",
    503: "Not now",
}
_KEPT: Final = "public, max-age=31536000, immutable"


def make_dashboard(house: House) -> Starlette:
    """Make the application over an open house."""
    app = Starlette(
        routes=[
            *signing.ROUTES,
            *infrastructures.ROUTES,
            *changing.ROUTES,
            *machines.ROUTES,
            *deploying.ROUTES,
            Route("/static/{name}", _static),
        ],
        middleware=[Middleware(_Guarded)],
        exception_handlers={InfraError: _failed, Refused: _failed, HTTPException: _http, Exception: _defect},
    )
    sessions = Sessions(house.callers, house.records, house.ctx.clock)
    app.state.around = Surroundings(house, sessions, Catalogue(house.ctx.settings.server.catalogue))
    return app


class _Guarded:
    """Middleware that says what pages may do, and that nothing of them is kept on the way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
                headers.add_vary_header("HX-Request")
            await send(message)

        await self._app(scope, receive, guarded)


async def _static(request: Request) -> Response:
    kind = _SERVED.get(request.path_params["name"])
    if kind is None:
        raise HTTPException(404)
    headers = {"Cache-Control": _KEPT} if "v" in request.query_params else {"Cache-Control": "no-cache"}
    return FileResponse(STATIC / request.path_params["name"], headers=headers, media_type=kind)


def _page(status: int, message: str, hint: str = "", problems: tuple[Problem, ...] = ()) -> Response:
    title = _TITLES.get(status, "That did not work")
    text = render("error.html", status=status, title=title, message=message, hint=hint, problems=problems, caller=None)
    return Response(text, status, {}, "text/html")


async def _failed(request: Request, error: Exception) -> Response:
    del request
    if isinstance(error, Refused):
        return _page(error.status, error.message, error.hint)
    if not isinstance(error, InfraError):
        raise error
    problems = error.problems if isinstance(error, InvalidTemplate) else ()
    message = "The template has problems." if problems else error.message
    response = _page(status_of(error), message, error.hint, problems)
    if isinstance(error, Transient) and error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s)))
    return response


async def _http(request: Request, error: Exception) -> Response:
    del request
    if not isinstance(error, HTTPException):
        raise error
    response = _page(error.status_code, "There is no such page." if error.status_code == 404 else str(error.detail))
    response.headers.update(error.headers or {})
    return response


async def _defect(request: Request, error: Exception) -> Response:
    """Answer to a defect of ours; uvicorn logs its traceback."""
    del request
    return _page(500, f"A defect of this server: {type(error).__name__}.", "Please report it with the server's log.")
