"""The version that `GET /version` says."""

from importlib.metadata import PackageNotFoundError, version
from typing import Final

__all__ = ["VERSION"]


def _version() -> str:
    try:
        return version("im-clues")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"


VERSION: Final = _version()
