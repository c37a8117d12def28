"""The driver `fake`: its machines are in the driver itself, and nothing is beside it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clues.options import MachineOption
from infracore.errors import InfraError, Unauthorised


class FakeHarness:
    """See `PowerHarness`."""

    text: Mapping[str, Any] = {"type": "fake"}
    machines = (MachineOption("m1", node="n1"), MachineOption("m2"))
    refused: Mapping[str, Any] | None = None
    refusal: type[InfraError] = Unauthorised
    refuses_on = False

    def powered(self) -> Mapping[str, bool] | None:
        return None

    def switch(self, machine: str, on: bool) -> bool:
        return False

    def hang(self) -> bool:
        return False


@contextmanager
def harness(folder: Path) -> Iterator[FakeHarness]:
    """There is nothing to start."""
    yield FakeHarness()
