"""A browser without a screen and without scripts: it keeps cookies, follows redirects and fills in forms."""

import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookiejar import Cookie, CookieJar
from typing import Any

from tests.rigs.im_serve import PASSWORD

__all__ = ["Page", "Visitor"]


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@dataclass(frozen=True)
class Page:
    """What came back."""

    status: int
    path: str
    html: str
    headers: Mapping[str, str]

    @property
    def tags(self) -> list[tuple[str, dict[str, str]]]:
        """All elements with their attributes, in order."""
        return self._read().tags

    @property
    def text(self) -> str:
        """The words, with one space between them."""
        return " ".join(" ".join(self._read().words).split())

    def _read(self) -> _Tags:
        found = _Tags()
        found.feed(self.html)
        return found

    @property
    def csrf(self) -> str:
        """The token of the first form."""
        return next((a["value"] for t, a in self.tags if t == "input" and a.get("name") == "csrf"), "")

    @property
    def errors(self) -> dict[str, str]:
        """Field -> what is wrong with it."""
        return dict(re.findall(r'class="error" id="f-([^"]*)-error">([^<]*)<', self.html))

    def offers(self, path: str) -> bool:
        """Whether a form or link leads there."""
        return any(path in (attributes.get("action"), attributes.get("href")) for _, attributes in self.tags)


class Visitor:
    """One person with one browser."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self.url = url
        self.jar = CookieJar()
        handlers = [urllib.request.HTTPSHandler(context=tls)] if tls is not None else []
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.jar), *handlers)
        self.last = Page(0, "", "", {})

    def get(self, path: str, **headers: str) -> Page:
        """Ask for a page below `/dashboard`; `HX_Request="true"` is the header HX-Request."""
        return self._send(path, None, headers)

    def post(self, path: str, form: Mapping[str, str | Sequence[str]] | None = None, **headers: str) -> Page:
        """Send a form with the token of the page before."""
        said: dict[str, Any] = {"csrf": self.last.csrf, **(form or {})}
        return self._send(path, urllib.parse.urlencode(said, doseq=True).encode(), headers)

    def _send(self, path: str, data: bytes | None, headers: Mapping[str, str]) -> Page:
        said = {"Accept": "text/html", **{name.replace("_", "-"): value for name, value in headers.items()}}
        request = urllib.request.Request(f"{self.url}/dashboard{path}", data, said)
        try:
            with self._opener.open(request, timeout=60) as answer:
                found = self._page(answer)
        except urllib.error.HTTPError as error:
            with error:
                found = self._page(error)
        if found.csrf:
            self.last = found
        return found

    def _page(self, answer: Any) -> Page:
        path = answer.geturl().removeprefix(f"{self.url}/dashboard")
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Page(answer.status, path, answer.read().decode(), headers)

    def sign_in(self, name: str, password: str = PASSWORD, following: str = "") -> Page:
        """Sign in with a password."""
        self.get("/sign-in")
        return self.post("/sign-in", {"name": name, "password": password, "next": following})

    def sign_in_by_token(self, token: str) -> Page:
        """Sign in with a token."""
        self.get("/sign-in")
        return self.post("/sign-in", {"token": token})

    def cookie(self, name: str) -> Cookie:
        """Return a cookie that the browser has."""
        return next(cookie for cookie in self.jar if cookie.name == name)
