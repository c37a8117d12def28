"""Both servers for the same test: the original with its Dummy cloud, and ours with the provider `fake`."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.rigs.im_serve import PASSWORD, im_serve
from tests.rigs.im_server import ImServer, im_server

__all__ = ["ORIGINAL", "OURS", "Site", "site"]

OURS = "ours"
ORIGINAL = pytest.param("original", marks=pytest.mark.im_server, id="original")


@dataclass(frozen=True)
class Site:
    """A running server, and the auth file of somebody who may use it."""

    url: str
    auth_file: Path
    is_original: bool

    @property
    def auth(self) -> str:
        """The text of the auth file."""
        return self.auth_file.read_text()


@contextmanager
def site(which: str, folder: Path) -> Iterator[Site]:
    """Run one of the two."""
    auth = folder / "auth.dat"
    auth.touch(0o600)
    if which == OURS:
        with im_serve(folder) as ours:
            ours.user("ana")
            auth.write_text(f"id = im; type = InfrastructureManager; username = ana; password = {PASSWORD}\n")
            auth.write_text(auth.read_text() + "id = dummy; type = Dummy\n")
            yield Site(ours.url, auth, is_original=False)
    else:
        with im_server(folder) as original:
            auth.write_text(ImServer.auth)
            yield Site(original.url, auth, is_original=True)
