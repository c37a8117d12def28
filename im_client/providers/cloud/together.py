"""Requests that do not wait for each other, sent at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["together"]

_T = TypeVar("_T")
_U = TypeVar("_U")


def together(first: Callable[[], _T], second: Callable[[], _U]) -> tuple[_T, _U]:
    """Return both answers, when both are there. Raises the first's error rather than the second's."""
    with ThreadPoolExecutor(1, thread_name_prefix="together") as pool:
        other = pool.submit(second)
        answer = first()
        return answer, other.result()
