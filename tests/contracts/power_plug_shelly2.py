"""The driver `plug` with a plug of Shelly's second generation, whose outlets 1 and 2 are the machines."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clues.options import MachineOption
from infracore.errors import InfraError, Unauthorised
from tests.contracts.power_poe import secret_file
from tests.rigs.plug_server import PASSWORD, PlugServer, plug_server


class PlugHarness:
    """See `PowerHarness`."""

    machines = (MachineOption("m1", node="n1", port=1), MachineOption("m2", port=2))
    refusal: type[InfraError] = Unauthorised
    refuses_on = True

    def __init__(self, plug: PlugServer, folder: Path) -> None:
        common: dict[str, Any] = {"type": "plug", "kind": plug.kind, "shutdown": False, "request_s": 2.0}
        common |= {"plugs": {"m1": plug.address, "m2": plug.address}, "grace_s": 10.0, "settle_s": 0.1, "halt_s": 0.1}
        self._plug = plug
        self.text: Mapping[str, Any] = common | {"password": secret_file(folder / "password", PASSWORD)}
        self.refused: Mapping[str, Any] | None = common | {"password": secret_file(folder / "wrong", "another")}

    def powered(self) -> Mapping[str, bool] | None:
        return {machine.name: self._plug.outlets[machine.port] for machine in self.machines}

    def switch(self, machine: str, on: bool) -> bool:
        self._plug.switch({"m1": 1, "m2": 2}[machine], on)
        return True

    def hang(self) -> bool:
        self._plug.hang()
        return True


@contextmanager
def plug_harness(kind: str, folder: Path) -> Iterator[PlugHarness]:
    """Start a plug of one kind."""
    with plug_server(kind) as plug:
        yield PlugHarness(plug, folder)


@contextmanager
def harness(folder: Path) -> Iterator[PlugHarness]:
    """Start the plug."""
    with plug_harness("shelly2", folder) as opened:
        yield opened
