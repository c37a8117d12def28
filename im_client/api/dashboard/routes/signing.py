"""Signing in and out."""

from collections.abc import Sequence
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from im_client.api.dashboard.visit import Visit, begin_form, give_key, open_page, page, safe_next, take_key
from infracore.errors import InfraError, Transient, Unauthorised
from infracore.secrets import Secret

__all__ = ["ROUTES"]


def _front(visit: Visit) -> Response:
    return visit.go("/infrastructures")


def _ask(visit: Visit) -> Response:
    if visit.is_known:
        return visit.go(safe_next(visit.asked("next", 2000)))
    return _form(visit, 200, visit.asked("next", 2000), "", None)


def _form(visit: Visit, status: int, following: str, name: str, error: InfraError | None) -> Response:
    def page_of(csrf: str) -> Response:
        return visit.render(
            "sign_in.html",
            status,
            csrf=csrf,
            following=following,
            name=name,
            error=error,
            issuer=visit.house.ctx.settings.server.oidc.issuer,
        )

    return begin_form(visit, page_of)


def _sign_in(visit: Visit) -> Response:
    name, password, token = visit.said("name").strip(), visit.said("password"), visit.said("token").strip()
    sessions = visit.around.sessions
    if not token and not (name and password):
        return _form(visit, 401, visit.said("next"), name, Unauthorised("give a name and a password, or a token"))
    try:
        if token:
            key, _ = sessions.sign_in_by_token(Secret(token))
        else:
            key, _ = sessions.sign_in(name, Secret(password))
    except Transient as error:
        response = _form(visit, 429, visit.said("next"), name, error)
        response.headers["Retry-After"] = str(max(1, round(error.retry_after_s or 1)))
        return response
    except Unauthorised as error:
        return _form(visit, 401, visit.said("next"), name, error)
    response = visit.go(safe_next(visit.said("next")))
    give_key(visit, response, key)
    return response


def _sign_out(visit: Visit) -> Response:
    response = visit.go("/sign-in")
    take_key(visit, response)
    return response


ROUTES: Final[Sequence[Route]] = (
    Route("/", page(_front)),
    Route("/sign-in", open_page(_ask), methods=["GET"]),
    Route("/sign-in", open_page(_sign_in), methods=["POST"]),
    Route("/sign-out", page(_sign_out), methods=["POST"]),
)
