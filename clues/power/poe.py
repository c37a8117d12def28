"""Boards powered over Ethernet: their switch port's power is switched by SNMP (`infracore/outlets/poe.py`).

One driver is one switch. `port` of a machine is its switch port, `address` its own address for ssh ("": the node name).
"""

import threading
from collections.abc import Sequence
from typing import Literal

from clues.options import BOOTING, MachineOption, Pool
from clues.power.base import PowerState
from clues.power.cutting import CutSettings, Cutting
from clues.power.individuals import Seen
from infracore.deadline import Deadline
from infracore.errors import Misconfigured, NoCapacity
from infracore.outlets.poe import PoeSwitch, SwitchAccess
from infracore.secret_source import SecretSource

__all__ = ["PoeDriver", "PoeSettings"]


class PoeSettings(CutSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of type `poe`; those of the switch are `SwitchAccess`'s."""

    booting: int | None = BOOTING["poe"]
    switch: str
    version: Literal["2c", "3"] = "2c"
    community: SecretSource = SecretSource()
    user: str = ""
    auth: Literal["", "SHA", "SHA-256", "SHA-512"] = "SHA"
    auth_password: SecretSource = SecretSource()
    privacy: Literal["", "AES"] = "AES"
    privacy_password: SecretSource = SecretSource()
    group: int = 1
    timeout_s: int = 2
    retries: int = 2
    budget_watts: float | None = None
    """Of the switch; None: not watched."""
    machine_watts: float = 15.4
    """Of one port (15.4: IEEE 802.3af class 0)."""

    def access(self) -> SwitchAccess:
        """Return how the switch is talked to."""
        return SwitchAccess(**{name: getattr(self, name) for name in SwitchAccess.__struct_fields__})


class PoeDriver(Cutting):
    """Switches the power of a switch's ports."""

    def __init__(self, name: str, settings: PoeSettings, pools: Sequence[Pool]) -> None:
        super().__init__(name, settings, pools)
        self._settings = settings
        self._switch = PoeSwitch(settings.access())
        self._budget = threading.Lock()
        if not settings.machine_watts > 0:
            raise Misconfigured(f"drivers.{name}.machine_watts: must be more than 0")
        taken: dict[int, str] = {}
        for pool in self._pools.values():
            for machine in pool.machines:
                where = f"pool {pool.name}: machine {machine.name}"
                if machine.port < 1:
                    raise Misconfigured(f"{where}: `port` is the switch port, from 1")
                other = taken.setdefault(machine.port, machine.name)
                if other != machine.name:
                    raise Misconfigured(f"{where}: port {machine.port} of {settings.switch} is {other}'s", "see `port`")

    def _turn_on(self, machine: MachineOption, deadline: Deadline) -> None:
        if self._settings.budget_watts is None:
            if not self._switch.is_on(machine.port, deadline):
                self._switch.switch(machine.port, True, deadline)
            return
        deadline.hold(self._budget)  # two at once would both see the last free watts
        try:
            ports = {m.port for pool in self._pools.values() for m in pool.machines}
            drawing = [port for port in sorted(ports) if self._switch.is_on(port, deadline)]
            watts = self._settings.machine_watts * (len(drawing) + 1)
            if machine.port in drawing:
                return
            if watts > self._settings.budget_watts:
                raise NoCapacity(
                    f"switch {self._settings.switch}: {machine.name} would make {watts:g} W of the budget's "
                    f"{self._settings.budget_watts:g} W"
                )
            self._switch.switch(machine.port, True, deadline)
        finally:
            self._budget.release()

    def _has_power(self, machine: MachineOption, deadline: Deadline) -> bool:
        return self._switch.is_on(machine.port, deadline)

    def _cut(self, machine: MachineOption, deadline: Deadline) -> None:
        self._switch.switch(machine.port, False, deadline)

    def _look(self, machine: MachineOption, deadline: Deadline) -> Seen:
        if not self._switch.is_on(machine.port, deadline):
            return PowerState.OFF, ""
        fault = self._switch.fault(machine.port, deadline)
        return (PowerState.FAILED, f"port {machine.port}: {fault}") if fault else (PowerState.ON, "")

    def _faults(self) -> list[str]:
        return self._switch.faults()
