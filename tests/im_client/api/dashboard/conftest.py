"""One server for a module, with templates of its owner's beside ours, and people with browsers."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.im_client.api.dashboard.templates import OWN
from tests.rigs.im_serve import Client, Serve, im_serve
from tests.rigs.visitor import Visitor

_NUMBERS = itertools.count(1)


def furnish(folder: Path) -> Path:
    """Put templates and settings where a server finds them."""
    (folder / "own").mkdir()
    for name, text in OWN.items():
        (folder / "own" / f"{name}.yaml").write_text(text)
    (folder / "im.yaml").write_text("server: {catalogue: [own]}\nproviders: {fake: {delay_s: {boot: 0.2}}}\n")
    return folder


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    with im_serve(furnish(tmp_path_factory.mktemp("dashboard"))) as running:
        yield running


@pytest.fixture
def name() -> str:
    return f"ana{next(_NUMBERS)}"


@pytest.fixture
def client(server: Serve, name: str) -> Client:
    """The same person, asking the REST API."""
    return server.user(name)


@pytest.fixture
def ana(server: Serve, client: Client, name: str) -> Visitor:
    visitor = Visitor(server.url)
    assert visitor.sign_in(name).status == 200
    return visitor
