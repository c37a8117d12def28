"""Boards behind smart plugs or relays, switched by HTTP (`infracore/outlets/plug.py`).

`plugs` says which machine hangs on which plug, `port` of a machine is its outlet there (0: the first), `address` its
own address for ssh ("": the node name).
"""

from collections.abc import Mapping, Sequence
from typing import Literal

from clues.options import BOOTING, MachineOption, Pool
from clues.power.base import PowerState
from clues.power.cutting import CutSettings, Cutting
from clues.power.individuals import Seen
from infracore.deadline import Deadline
from infracore.errors import InfraError, Misconfigured
from infracore.outlets.plug import Plug, PlugAccess
from infracore.secret_source import SecretSource

__all__ = ["PlugDriver", "PlugSettings"]


class PlugSettings(CutSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of type `plug`."""

    booting: int | None = BOOTING["plug"]
    kind: Literal["shelly1", "shelly2", "tasmota"]
    plugs: Mapping[str, str]
    """Machine name to its plug: host, `host:port` or URL."""
    user: str = "admin"
    password: SecretSource = SecretSource()
    """Of all of them; none: they ask for none."""
    request_s: float = 5.0


class PlugDriver(Cutting):
    """Switches smart plugs."""

    def __init__(self, name: str, settings: PlugSettings, pools: Sequence[Pool]) -> None:
        super().__init__(name, settings, pools)
        self._password = settings.password
        settings.password.check(f"drivers.{name}.password")
        if not settings.request_s > 0:
            raise Misconfigured(f"drivers.{name}.request_s: must be more than 0")
        access = PlugAccess(
            kind=settings.kind, user=settings.user, password=settings.password, request_s=settings.request_s
        )
        self._outlets: dict[str, Plug] = {}
        taken: dict[str, str] = {}
        for pool in self._pools.values():
            for machine in pool.machines:
                where = f"pool {pool.name}: machine {machine.name}"
                address, outlet = settings.plugs.get(machine.name), machine.port or 1
                if not address:
                    raise Misconfigured(f"{where}: drivers.{name}.plugs does not name it")
                try:
                    plug = self._outlets[machine.name] = Plug(access, address, outlet)
                except Misconfigured as error:
                    raise Misconfigured(f"{where}: {error.message}", error.hint) from error
                other = taken.setdefault(plug.place, machine.name)
                if other != machine.name:
                    raise Misconfigured(f"{where}: outlet {outlet} of {address} is {other}'s", "see `port`")

    def _turn_on(self, machine: MachineOption, deadline: Deadline) -> None:
        outlet = self._outlets[machine.name]
        if not outlet.is_on(deadline):
            outlet.switch(True, deadline)

    def _has_power(self, machine: MachineOption, deadline: Deadline) -> bool:
        return self._outlets[machine.name].is_on(deadline)

    def _cut(self, machine: MachineOption, deadline: Deadline) -> None:
        self._outlets[machine.name].switch(False, deadline)

    def _look(self, machine: MachineOption, deadline: Deadline) -> Seen:
        return (PowerState.ON if self._outlets[machine.name].is_on(deadline) else PowerState.OFF), ""

    def _faults(self) -> list[str]:
        try:
            if self._password:
                self._password.read("password")
        except InfraError as error:
            return [error.message]
        return []
