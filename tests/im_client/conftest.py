"""PostgreSQL for the tests that want it: one for all, a database for each module."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.rigs.postgres import Postgres


@pytest.fixture(scope="session")
def running_postgres() -> "Iterator[Postgres]":
    from tests.rigs.postgres import postgres

    with postgres() as running:
        yield running


@pytest.fixture(scope="module")
def postgres_url(running_postgres: "Postgres", request: pytest.FixtureRequest) -> str:
    """Return the address of an empty database of the module's own."""
    return running_postgres.fresh(re.sub(r"\W", "_", request.module.__name__)[-60:])
