"""The control plane that the tests of this folder share: one for a session."""

from collections.abc import Iterator

import pytest

from tests.controlplane.plane import Plane
from tests.controlplane.programs import build
from tests.controlplane.rig import ControlPlane, running


@pytest.fixture(scope="session")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plane]:
    """Return a running control plane without kubelets; the scheduler knows one tainted node."""
    try:
        programs = build()
    except RuntimeError as error:
        pytest.skip(f"no Kubernetes control plane can be had: {error}")
    with running(ControlPlane(tmp_path_factory.mktemp("controlplane"), programs)) as started:
        yield started
