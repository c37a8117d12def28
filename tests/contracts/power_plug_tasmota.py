"""The driver `plug` with a plug of Tasmota."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.contracts.power_plug_shelly2 import PlugHarness, plug_harness


@contextmanager
def harness(folder: Path) -> Iterator[PlugHarness]:
    """Start the plug."""
    with plug_harness("tasmota", folder) as opened:
        yield opened
