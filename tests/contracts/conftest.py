"""What the contract suites run against: providers are `harness_NAME.py`, power drivers `power_NAME.py`."""

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

from clues.options import Pool
from clues.power.base import PowerDriver
from clues.power.registry import load_drivers
from tests.contracts.harness import Harness
from tests.contracts.power_harness import PowerHarness


def _modules(kind: str) -> list[object]:
    """Find the harness modules; `MARKERS` of a module names the pytest markers of its tests."""
    found: list[object] = []
    for path in sorted(Path(__file__).parent.glob(f"{kind}_*.py")):
        name = path.stem.removeprefix(f"{kind}_")
        if name == "harness":
            continue
        markers = getattr(import_module(f"tests.contracts.{path.stem}"), "MARKERS", ())
        found.append(pytest.param(name, marks=[getattr(pytest.mark, marker) for marker in markers], id=name))
    return found


@pytest.fixture(scope="module", params=_modules("harness"))
def harness(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    """Open one provider for a module of tests."""
    module = import_module(f"tests.contracts.harness_{request.param}")
    fixture = getattr(module, "FIXTURE", "")
    needs = (request.getfixturevalue(fixture),) if fixture else ()
    with module.harness(tmp_path_factory.mktemp(request.param), *needs) as opened:
        yield opened


@pytest.fixture(params=_modules("power"))
def power(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[PowerHarness]:
    """Start what stands behind one power driver."""
    with import_module(f"tests.contracts.power_{request.param}").harness(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(power: PowerHarness) -> Iterator[PowerDriver]:
    """Open the driver with one pool of the two machines."""
    opened = load_drivers({"d": power.text}, [Pool("p", driver="d", machines=power.machines)])["d"]
    yield opened
    opened.close()
