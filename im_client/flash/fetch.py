"""One file over http(s): redirects followed, never from https to http; whole answers or parts."""

import http.client
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, Any, Final

from infracore.errors import InfraError, Misconfigured, NotFound, Transient, Unauthorised

__all__ = ["BROKEN", "MOST_TEXT", "fetch_text", "open_url", "refused"]

STALL_S: Final = 60.0
BROKEN: Final = (OSError, http.client.HTTPException)
"""What reading an answer may raise: urllib's own errors are OSErrors."""
MOST_TEXT: Final = 16 << 20


class _NoDowngrade(urllib.request.HTTPRedirectHandler):
    """Follows redirects, but not from https to something that can be changed on the way, nor to a file."""

    def redirect_request(self, req, fp, code, msg, headers, newurl):  # type: ignore[no-untyped-def]  # noqa: PLR0917 - urllib calls it so
        wanted = ("https://",) if req.full_url.startswith("https://") else ("http://", "https://")
        if not newurl.startswith(wanted):
            raise Misconfigured(f"{req.full_url} leads to {newurl[:200]}, which is not {wanted[-1][:-3]}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def open_url(url: str, headers: Mapping[str, str]) -> Any:
    """Ask for a file and return urllib's answer, also one of status 206, 304 or 416.

    Raises:
        As `refused`; Misconfigured: no address, or a redirect out of https. One of BROKEN: no network.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "im-clues", **headers})  # noqa: S310 - sources.py lets http(s) alone in
    try:
        return urllib.request.build_opener(_NoDowngrade).open(request, timeout=STALL_S)
    except urllib.error.HTTPError as error:
        if error.code in {304, 416}:
            return error
        error.close()
        raise refused(url, error.code) from error
    except ValueError as error:
        raise Misconfigured(f"{url} is no address: {error}") from error


def refused(url: str, status: int) -> InfraError:
    """Return the error for a status."""
    if status in {401, 403}:
        return Unauthorised(f"{url}: the server refuses it ({status})")
    if status in {404, 410}:
        return NotFound(f"{url}: the server has no such file ({status})", "check the address")
    return Transient(f"{url}: the server answers {status}", "try again later")


def fetch_text(url: str) -> bytes:
    """Return a small file. Raises as `refused`; Transient: no network; Misconfigured: larger than 16 MiB."""
    try:
        with open_url(url, {}) as answer:
            file: IO[bytes] = answer
            text = file.read(MOST_TEXT + 1)
    except BROKEN as error:
        raise Transient(f"{url} cannot be fetched: {error}", "is there a network, a proxy (https_proxy)?") from error
    if len(text) > MOST_TEXT:
        raise Misconfigured(f"{url} is larger than {MOST_TEXT >> 20} MiB")
    return text
