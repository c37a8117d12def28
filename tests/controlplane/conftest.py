"""The control plane that the tests of this folder share: one for a session."""

from collections.abc import Iterator

import pytest

from tests.controlplane import choice
from tests.controlplane.plane import Plane
from tests.controlplane.rig import running


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """Return a running control plane without kubelets; the scheduler knows one tainted node."""
    with running(choice.make(tmp_path_factory.mktemp("controlplane"))) as started:
        yield started
