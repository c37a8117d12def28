"""Which form the client wants an answer in, and the two forms that most answers have: text and JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from im_client.api.problems import Refused

__all__ = [
    "JSON",
    "TEXT",
    "URI_LIST",
    "choose",
    "image_answer",
    "json_answer",
    "property_answer",
    "uri_answer",
    "uri_list_answer",
]

JSON: Final = "application/json"
TEXT: Final = "text/plain"
URI_LIST: Final = "text/uri-list"


def choose(request: Request, offered: Sequence[str]) -> str:
    """Return the media type that the client likes best; the first one offered where it does not say (RFC 9110, 12.5.1).

    Raises:
        Refused: 415, as the original answers (its documentation, too).
    """
    said = request.headers.get("accept", "").strip()
    if not said:
        return offered[0]
    best, liked = "", 0.0
    for kind in offered:
        weight = _weight(kind, said)
        if weight > liked:
            best, liked = kind, weight
    if not best:
        raise Refused(415, f"none of {', '.join(offered)} is accepted", "change the Accept header")
    return best


def _weight(kind: str, said: str) -> float:
    """Return how much a media type is liked: the q of the most precise range that fits it."""
    main = kind.split("/", maxsplit=1)[0]
    ranks = {kind: 3, f"{main}/*": 2, "*/*": 1, "*": 1}
    found = (0, 0.0)
    for part in said.split(","):
        name, *parameters = (word.strip().lower() for word in part.split(";"))
        rank = ranks.get(name, 0)
        if rank > found[0]:
            found = (rank, _quality(parameters))
    return found[1]


def _quality(parameters: Sequence[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


def json_answer(content: Any, headers: Mapping[str, str] | None = None, status: int = 200) -> Response:
    """Answer with JSON."""
    return Response(json.dumps(content), status, dict(headers or {}), JSON)


def property_answer(request: Request, name: str, text: str, headers: Mapping[str, str] | None = None) -> Response:
    """Answer with one property: its text, or `{"NAME": text}`."""
    if choose(request, (TEXT, JSON)) == JSON:
        return json_answer({name: text}, headers)
    return Response(text, 200, dict(headers or {}), TEXT)


def uri_answer(request: Request, uri: str, headers: Mapping[str, str]) -> Response:
    """Answer with one address."""
    if choose(request, (URI_LIST, TEXT, JSON)) == JSON:
        return json_answer({"uri": uri}, headers)
    return Response(uri, 200, dict(headers), URI_LIST)


def image_answer(request: Request, uri: str, headers: Mapping[str, str]) -> Response:
    """Answer with the address of an image: text by default, as the original."""
    kind = choose(request, (TEXT, URI_LIST, JSON))
    if kind == JSON:
        return json_answer({"uri": uri}, headers)
    return Response(uri, 200, dict(headers), kind)


def uri_list_answer(request: Request, uris: Sequence[str], headers: Mapping[str, str]) -> Response:
    """Answer with addresses, one a line."""
    if choose(request, (URI_LIST, TEXT, JSON)) == JSON:
        return json_answer({"uri-list": [{"uri": uri} for uri in uris]}, headers)
    return Response("\n".join(uris), 200, dict(headers), URI_LIST)
