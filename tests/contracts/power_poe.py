"""The driver `poe` by SNMP 3: one switch, whose ports 1 and 2 are the machines."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clues.options import MachineOption
from infracore.errors import InfraError, Unauthorised
from tests.rigs.poe_switch import AUTH_PASSWORD, PRIVACY_PASSWORD, USER, Switch, poe_switch

MARKERS = ("snmp",)


class PoeHarness:
    """See `PowerHarness`."""

    machines = (MachineOption("m1", node="n1", port=1), MachineOption("m2", port=2))
    refusal: type[InfraError] = Unauthorised
    refuses_on = True

    def __init__(self, switch: Switch, text: Mapping[str, Any], refused: Mapping[str, Any]) -> None:
        common: dict[str, Any] = {"type": "poe", "switch": switch.address, "shutdown": False, "timeout_s": 1}
        common |= {"grace_s": 10.0, "settle_s": 0.1, "halt_s": 0.1}
        self._switch = switch
        self.text: Mapping[str, Any] = {**common, **text}
        self.refused: Mapping[str, Any] | None = {**common, **refused}

    def powered(self) -> Mapping[str, bool] | None:
        return {machine.name: self._switch.is_on(machine.port) for machine in self.machines}

    def switch(self, machine: str, on: bool) -> bool:
        self._switch.switch({"m1": 1, "m2": 2}[machine], on)
        return True

    def hang(self) -> bool:
        self._switch.daemon.hang()
        return True


def secret_file(path: Path, secret: str) -> dict[str, str]:
    """Write a secret and return what the settings say of it."""
    path.touch(mode=0o600)
    path.write_text(secret)
    return {"file": str(path)}


@contextmanager
def harness(folder: Path) -> Iterator[PoeHarness]:
    """Start the switch."""
    text = {"version": "3", "user": USER, "auth": "SHA-256"}
    privacy = secret_file(folder / "privacy", PRIVACY_PASSWORD)
    with poe_switch(folder / "switch") as switch:
        yield PoeHarness(
            switch,
            text | {"auth_password": secret_file(folder / "auth", AUTH_PASSWORD), "privacy_password": privacy},
            text | {"auth_password": secret_file(folder / "wrong", "another-word"), "privacy_password": privacy},
        )
