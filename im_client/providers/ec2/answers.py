"""Whether an answer is EC2's: portals and proxies answer too, and botocore reads a page of HTML as "nothing there"."""

import re
from typing import Any, Final

from infracore.errors import Transient

__all__ = ["checked", "told"]

_ROOT: Final = re.compile(rb"\A(?:\xef\xbb\xbf)?\s*(?:<\?xml[^>]*\?>\s*)?<([A-Za-z]+)[\s/>]")
_REFUSALS: Final = frozenset({b"Response", b"ErrorResponse"})
_HINT: Final = "is there a proxy or a portal in between, and is the endpoint that of EC2's API?"


def checked(place: str, operation_model: Any, response_dict: Any, **_: object) -> None:
    """Look at an answer before botocore parses it.

    Raises:
        Transient: it is not the operation's, and no refusal of EC2.
    """
    body: bytes = response_dict["body"]
    if response_dict["status_code"] < 300:
        wanted = frozenset({f"{operation_model.name}Response".encode()})
    elif response_dict["status_code"] < 500 and body.strip():
        wanted = _REFUSALS
    else:
        return
    root = _ROOT.match(body)
    if root is None or root[1] not in wanted:
        raise _strange(f"{operation_model.name} at {place}", f"status {response_dict['status_code']}")


class _Told(dict[str, Any]):
    """An answer, or a part of one, in which what is missing is the fault of who answered."""

    def __init__(self, parts: dict[str, Any], where: str) -> None:
        super().__init__((key, told(value, where)) for key, value in parts.items())
        self._where = where

    def __missing__(self, key: str) -> Any:
        raise _strange(self._where, f"no {key}")


class _Items(list[Any]):
    """A list of an answer, likewise."""

    def __init__(self, items: list[Any], where: str) -> None:
        super().__init__(told(one, where) for one in items)
        self._where = where

    def __getitem__(self, index: Any) -> Any:
        try:
            return super().__getitem__(index)
        except IndexError as error:
            raise _strange(self._where, f"a list of {len(self)}") from error


def told(answer: Any, where: str) -> Any:
    """Return an answer whose missing members and items raise `Transient` when they are asked for by `[]`."""
    if isinstance(answer, dict):
        return _Told(answer, where)
    if isinstance(answer, list):
        return _Items(answer, where)
    return answer


def _strange(where: str, why: str) -> Transient:
    return Transient(f"{where} did not answer as EC2 does: {why}", _HINT)
