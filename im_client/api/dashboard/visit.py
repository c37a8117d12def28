"""One request of a browser: who it is, what was sent, and how pages answer. Sessions, cookies and forged forms.

A form counts only with the token of its session (or, before there is one, with that of the page it stands on), and
never from another site: browsers say so in `Sec-Fetch-Site` and `Origin`.
"""

import asyncio
import hmac
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from im_client.api.dashboard.rendering import BASE, render
from im_client.api.problems import Refused
from im_client.services.server.callers import Caller
from im_client.services.server.catalogue import Catalogue
from im_client.services.server.house import House
from im_client.services.server.sessions import LONGEST_S, Session, Sessions

__all__ = ["Surroundings", "Visit", "is_secure", "open_page", "page", "safe_next"]

_MOST_BYTES: Final = 256 * 1024
_MOST_FIELDS: Final = 2000
_FORM_S: Final = 20.0
"""How long a form may take to come: the sign-in is open to strangers, and each connection is a file descriptor."""
_BEFORE: Final = "im_sign_in"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all pages work with."""

    house: House
    sessions: Sessions
    catalogue: Catalogue


@dataclass(slots=True)
class Visit:
    """A request that was looked at; `session` and `caller` are there but on the pages for everybody."""

    request: Request
    around: Surroundings
    form: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    _session: Session | None = None
    _caller: Caller | None = None

    @property
    def house(self) -> House:
        """Return all that the server works with."""
        return self.around.house

    @property
    def session(self) -> Session:
        """Return the session; only pages for those who have signed in ask."""
        if self._session is None:
            raise Refused(401, "nobody has signed in")
        return self._session

    @property
    def caller(self) -> Caller:
        """Return who asks."""
        if self._caller is None:
            raise Refused(401, "nobody has signed in")
        return self._caller

    @property
    def is_known(self) -> bool:
        """Whether somebody has signed in."""
        return self._session is not None

    @property
    def is_partial(self) -> bool:
        """Whether htmx asks for a part of a page."""
        return self.request.headers.get("hx-request") == "true"

    def path(self, name: str) -> str:
        """Return a part of the path."""
        return str(self.request.path_params[name])

    def number(self, name: str) -> int:
        """Return a part of the path that is a number."""
        return int(self.request.path_params[name])

    def asked(self, name: str, most: int = 200) -> str:
        """Return a word of the query, cut off where it is too long."""
        return self.request.query_params.get(name, "")[:most]

    def said(self, name: str) -> str:
        """Return a field of the form, "" where there is none."""
        found = self.form.get(name, ())
        return found[-1] if found else ""

    def render(
        self, template: str, status: int = 200, headers: Mapping[str, str] | None = None, **values: Any
    ) -> Response:
        """Answer with a page."""
        session = self._session
        notices: list[str] = []
        if session is not None and not self.is_partial:
            notices, session.notices = session.notices, []
        text = render(
            template,
            session=session,
            caller=self._caller,
            notices=notices,
            path=self.request.url.path,
            **values,
        )
        return Response(text, status, dict(headers or {}), "text/html")

    def go(self, path: str, notice: str = "") -> Response:
        """Send the browser to another page of ours, which says `notice`."""
        if notice and self._session is not None:
            self._session.notices.append(notice)
        where = f"{BASE}{path}"
        if self.is_partial:
            return Response("", 200, {"HX-Redirect": where})
        return RedirectResponse(where, 303)


Handler = Callable[[Visit], Response]


def page(handler: Handler) -> Callable[[Request], Any]:
    """Make a handler that asks who it is first; nothing of a form is read before that."""
    return _endpoint(handler, is_open=False)


def open_page(handler: Handler) -> Callable[[Request], Any]:
    """Make a handler for everybody; it knows who has signed in."""
    return _endpoint(handler, is_open=True)


def _endpoint(handler: Handler, *, is_open: bool) -> Callable[[Request], Any]:
    @wraps(handler)
    async def answer(request: Request) -> Response:
        around: Surroundings = request.app.state.around
        visit = await run_in_threadpool(_recognise, request, around)
        if not is_open and not visit.is_known:
            return _to_sign_in(visit)
        if request.method == "POST":
            _refuse_foreign(request)
            visit.form = await _read(request)
            _check_token(visit)
        return await run_in_threadpool(handler, visit)

    return answer


def _recognise(request: Request, around: Surroundings) -> Visit:
    around.house.loader.ready()
    key = request.cookies.get(_cookie(request), "")
    # what a page asks for by itself keeps nobody signed in
    by_itself = request.headers.get("hx-request") == "true" and request.headers.get("hx-trigger") == "live"
    found = around.sessions.find(key, touch=not by_itself) if key else None
    return Visit(request, around) if found is None else Visit(request, around, {}, *found)


def _to_sign_in(visit: Visit) -> Response:
    where = f"{BASE}/sign-in"
    if visit.is_partial:
        return Response("", 401, {"HX-Redirect": where})
    if visit.request.method == "GET":
        url = visit.request.url
        where += "?next=" + quote(url.path + (f"?{url.query}" if url.query else ""), safe="")
    return RedirectResponse(where, 303)


def safe_next(said: str) -> str:
    """Return the path below the dashboard that somebody wanted to see; its front page where it is anything else."""
    parts = urlsplit(said) if said.startswith(f"{BASE}/") and said.isprintable() and "\\" not in said else None
    if parts is None or parts.scheme or parts.netloc or "//" in parts.path or ".." in parts.path:
        return "/"
    return parts.path.removeprefix(BASE) + (f"?{parts.query}" if parts.query else "")


def is_secure(request: Request) -> bool:
    """Whether the connection is encrypted."""
    return request.url.scheme == "https"


def _cookie(request: Request) -> str:
    return "__Host-im" if is_secure(request) else "im_session"


def give_key(visit: Visit, response: Response, key: str) -> None:
    """Give the browser the key of its new session, and end the one that it had."""
    request = visit.request
    before = request.cookies.get(_cookie(request))
    if before:
        visit.around.sessions.sign_out(before)
    response.set_cookie(
        _cookie(request),
        key,
        max_age=int(LONGEST_S),
        path="/" if is_secure(request) else BASE,
        secure=is_secure(request),
        httponly=True,
        samesite="strict",
    )
    response.delete_cookie(_BEFORE, path=BASE)


def take_key(visit: Visit, response: Response) -> None:
    """End the session."""
    request = visit.request
    visit.around.sessions.sign_out(request.cookies.get(_cookie(request), ""))
    path = "/" if is_secure(request) else BASE
    response.delete_cookie(_cookie(request), path, secure=is_secure(request), httponly=True, samesite="strict")


def begin_form(visit: Visit, response_of: Callable[[str], Response]) -> Response:
    """Answer with a page whose form counts for this browser only, though nobody has signed in."""
    said = visit.request.cookies.get(_BEFORE, "")
    mark = said if 20 <= len(said) <= 64 else secrets.token_urlsafe(24)
    response = response_of(visit.around.sessions.seal(mark))
    response.set_cookie(_BEFORE, mark, path=BASE, secure=is_secure(visit.request), httponly=True, samesite="strict")
    return response


def _refuse_foreign(request: Request) -> None:
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    own = f"{request.url.scheme}://{request.headers.get('host', '')}"
    if site not in {"same-origin", "none"} or (
        origin is not None and origin != own and not _is_behind_proxy(origin, own)
    ):
        raise Refused(403, "this form was sent from another site", "open the page here and send it again")


def _is_behind_proxy(origin: str, own: str) -> bool:
    """Whether they differ by what a proxy that ends TLS before us takes away: the `s` of https."""
    return origin == own.replace("http://", "https://", 1)


def _check_token(visit: Visit) -> None:
    if visit.is_known:
        wanted = visit.session.csrf
    else:
        mark = visit.request.cookies.get(_BEFORE, "")
        wanted = visit.around.sessions.seal(mark) if mark else secrets.token_hex(8)
    if not hmac.compare_digest(visit.said("csrf").encode(), wanted.encode()):
        raise Refused(403, "this form does not belong to your session", "open the page again and send it once more")


async def _read(request: Request, limit_s: float = _FORM_S) -> Mapping[str, tuple[str, ...]]:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise Refused(415, "forms are sent as application/x-www-form-urlencoded")
    try:
        async with asyncio.timeout(limit_s):
            body = await _body(request)
    except TimeoutError as error:
        raise Refused(408, f"the form did not come within {limit_s:g} s") from error
    try:
        text = body.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError as error:  # UnicodeDecodeError is one
        raise Refused(400, "the form cannot be read") from error
    found: dict[str, tuple[str, ...]] = {}
    for name, value in pairs:
        found[name] = (*found.get(name, ()), value.replace("\r\n", "\n"))
    return found


async def _body(request: Request) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > _MOST_BYTES:
            raise Refused(413, f"the form is larger than {_MOST_BYTES >> 10} KiB")
        parts.append(part)
    return b"".join(parts)
