"""The providers that the contract suite runs against: each module `harness_NAME.py` that is there."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from tests.contracts.harness import Harness


def _harnesses() -> list[object]:
    """Find the harness modules; `MARKERS` of a module names the pytest markers of its tests."""
    found: list[object] = []
    for path in sorted(Path(__file__).parent.glob("harness_*.py")):
        name = path.stem.removeprefix("harness_")
        markers = getattr(import_module(f"tests.contracts.{path.stem}"), "MARKERS", ())
        found.append(pytest.param(name, marks=[getattr(pytest.mark, marker) for marker in markers], id=name))
    return found


@pytest.fixture(scope="module", params=_harnesses())
def harness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """Open one provider for a module of tests."""
    module = import_module(f"tests.contracts.harness_{request.param}")
    with module.harness(tmp_path_factory.mktemp(request.param)) as opened:
        yield opened
