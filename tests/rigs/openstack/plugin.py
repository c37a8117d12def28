"""The fixture `openstack`: one for all tests of a run, started by the first that asks."""

from collections.abc import Iterator

import pytest

from tests.rigs.openstack import OpenStack
from tests.rigs.openstack import openstack as started
from tests.rigs.openstack.programs import missing

__all__ = ["openstack"]


@pytest.fixture(scope="session")
def openstack() -> Iterator[OpenStack]:
    """A control plane of OpenStack. A test that uses it carries the marker `openstack`, and cleans up after itself."""
    if why := missing():
        pytest.skip(why)
    with started() as cloud:
        yield cloud


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("openstack") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))  # the first one starts it, on a computer that may be busy
