"""The words that a server completes. One try, and not for long: somebody has pressed the tab key."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Final

from im_client.cli.remote.session import opened
from im_client.services.remote import reading
from im_client.services.remote.server import Server

__all__ = ["infrastructures", "machines"]

_LIMIT_S: Final = 3.0


@contextmanager
def _soon() -> Iterator[Server]:
    with opened() as session:
        server = session.server
        yield Server(server.rest, replace(server.settings, request_s=_LIMIT_S), server.clock)


def infrastructures() -> list[str]:
    """Return the names of infrastructures."""
    with _soon() as server:
        return [one.name for one in reading.listing(server)]


def machines(infra: str | None) -> list[str]:
    """Return the names of the machines of one."""
    with _soon() as server:
        return [one.name for one in reading.look(server, reading.find(server, infra)).machines]
