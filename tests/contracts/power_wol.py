"""The driver `wol`: two machines at the far end of a veth pair, which a magic packet turns on and ssh off."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clues.options import MachineOption
from im_client.remote.hostkeys import new_key_pair
from infracore.errors import InfraError, Unauthorised
from tests.rigs.wol_machines import BROADCAST, Network, wol_machines

MARKERS = ("netns", "sshd")


class WolHarness:
    """See `PowerHarness`."""

    refusal: type[InfraError] = Unauthorised
    refuses_on = False

    def __init__(self, folder: Path, network: Network) -> None:
        first, second = network.machines
        self._network = network
        self.machines = (MachineOption("m1", node="n1", address=first.mac), MachineOption("m2", address=second.mac))
        text = {"type": "wol", "broadcast": BROADCAST, "hosts": {"m1": first.address, "m2": second.address}}
        wrong = folder / "wrong"
        wrong.touch(mode=0o600)
        wrong.write_text(new_key_pair()[1].reveal())
        self.text: Mapping[str, Any] = text | {"ssh": network.ssh}
        self.refused: Mapping[str, Any] | None = text | {"ssh": {**network.ssh, "key": str(wrong)}}

    def powered(self) -> Mapping[str, bool] | None:
        return {name: machine.is_on for name, machine in zip(("m1", "m2"), self._network.machines, strict=True)}

    def switch(self, machine: str, on: bool) -> bool:
        found = self._network.machines[{"m1": 0, "m2": 1}[machine]]
        if on:
            self._network.turn_on(found)
        else:
            found.turn_off()
        return True

    def hang(self) -> bool:
        return False  # a packet is answered by nobody


@contextmanager
def harness(folder: Path) -> Iterator[WolHarness]:
    """Make the machines, and be in their network."""
    with wol_machines(folder) as network:
        yield WolHarness(folder, network)
