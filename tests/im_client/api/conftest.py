"""One server for all tests of a module; each test has users of its own."""

import itertools
from collections.abc import Iterator

import pytest

from tests.rigs.im_serve import Client, Serve, im_serve

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    with im_serve(tmp_path_factory.mktemp("serve")) as running:
        yield running


@pytest.fixture
def ana(server: Serve) -> Client:
    return server.user(f"ana{next(_NUMBERS)}")


@pytest.fixture
def bob(server: Serve) -> Client:
    return server.user(f"bob{next(_NUMBERS)}")
