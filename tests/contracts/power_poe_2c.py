"""The driver `poe` by SNMP 2c. It does not answer a wrong community, so that one looks like a switch that is down."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infracore.errors import InfraError, Transient
from tests.contracts.power_poe import PoeHarness, secret_file
from tests.rigs.poe_switch import COMMUNITY, poe_switch

MARKERS = ("snmp",)


class Poe2cHarness(PoeHarness):
    """See `PowerHarness`."""

    refusal: type[InfraError] = Transient


@contextmanager
def harness(folder: Path) -> Iterator[Poe2cHarness]:
    """Start the switch."""
    with poe_switch(folder / "switch") as switch:
        yield Poe2cHarness(
            switch,
            {"community": secret_file(folder / "community", COMMUNITY)},
            {"community": secret_file(folder / "wrong", "another")},
        )
