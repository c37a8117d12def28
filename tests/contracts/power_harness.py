"""What the contract suite must know of a power driver under test, beyond the protocol itself."""

from collections.abc import Mapping
from typing import Any, Protocol

from clues.options import MachineOption
from infracore.errors import InfraError

__all__ = ["PowerHarness"]


class PowerHarness(Protocol):
    """The thing behind one driver, with two machines `m1` (its node: `n1`) and `m2`, both off at first.

    Write `tests/contracts/power_NAME.py` with `harness(folder: Path) -> AbstractContextManager[PowerHarness]` and
    `MARKERS`, the names of the pytest markers that its tests carry (if any): it is found by itself.
    """

    text: Mapping[str, Any]
    """The driver's settings."""
    machines: tuple[MachineOption, MachineOption]
    refused: Mapping[str, Any] | None
    """Settings with a wrong password or key; None where there is none."""
    refusal: type[InfraError]
    """What such an order ends with: Unauthorised where the thing tells it."""
    refuses_on: bool
    """Whether also turning on needs the password."""

    def powered(self) -> Mapping[str, bool] | None:
        """Look at the machines themselves, not through the driver; None where there is nothing else to look at."""
        ...

    def switch(self, machine: str, on: bool) -> bool:
        """Turn a machine on or off behind the driver's back; False where it cannot."""
        ...

    def hang(self) -> bool:
        """Let the thing answer nobody any more; False where it cannot."""
        ...
