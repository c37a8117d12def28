"""Machines in memory, with delays, faults and lies by script: for tests, `clues simulate` and trying settings out."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from clues.options import Pool
from clues.power.base import MachineReport, Order, PowerState, Receipt
from clues.power.common import DriverSettings, own
from infracore.clock import Clock, SystemClock
from infracore.errors import (
    CommandFailed,
    InfraError,
    NoCapacity,
    NotFound,
    QuotaExceeded,
    TimedOut,
    Transient,
    Unauthorised,
)

__all__ = ["FakeDriver", "FakeSettings", "Fault"]

_ERRORS: Final[dict[str, type[InfraError]]] = {
    kind.code: kind for kind in (Transient, TimedOut, NoCapacity, QuotaExceeded, Unauthorised, NotFound, CommandFailed)
}


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From the `at`-th call (from 1) of `call` on, `times` calls go wrong."""

    call: Literal["on", "off", "list"]
    error: Literal[
        "transient", "timed-out", "no-capacity", "quota-exceeded", "unauthorised", "not-found", "command-failed",
        "hang", "lost-answer",
    ]  # fmt: skip
    """`hang`: TimedOut after the whole `call_s`; `lost-answer`: done, then TimedOut."""
    at: int = 1
    times: int = 1


class FakeSettings(DriverSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of type `fake`."""

    boot_s: float = 0.0
    off_s: float = 0.0
    faults: tuple[Fault, ...] = ()
    lies: tuple[str, ...] = ()
    """Machines (of unnamed ones `POOL-NUMBER`) whose orders are accepted and never carried out."""


@dataclass(slots=True)
class _Machine:
    pool: str
    node: str
    token: str
    on: bool
    since: float


class FakeDriver:
    """See the module's docstring."""

    def __init__(self, name: str, settings: FakeSettings, pools: Sequence[Pool], clock: Clock | None = None) -> None:
        self.name = name
        self.limits = settings.limits()
        self._settings = settings
        self._pools = own(pools, name)
        self._clock = clock or SystemClock()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._calls = {"on": 0, "off": 0, "list": 0}
        self._machines: dict[str, _Machine] = {}
        self._numbers = 0

    def on(self, orders: Sequence[Order]) -> Sequence[Receipt]:
        lost = self._fault("on")
        with self._lock:
            receipts = [self._order(order) for order in orders]
        if lost:
            raise TimedOut("scripted: the answer was lost")
        return receipts

    def off(self, pool: str, machines: Sequence[str], *, token: str) -> None:  # noqa: ARG002 (the contract)
        lost = self._fault("off")
        with self._lock:
            for name in machines:
                machine = self._machines.get(name)
                if machine is not None and machine.on and name not in self._settings.lies:
                    machine.on, machine.since = False, self._clock.monotonic()
        if lost:
            raise TimedOut("scripted: the answer was lost")

    def list(self, pool: str) -> Sequence[MachineReport]:
        self._fault("list")
        served = self._pools.get(pool)
        if served is None:
            raise NotFound(f"driver {self.name} serves no pool {pool!r}")
        with self._lock:
            found = [MachineReport(o.name, pool, PowerState.OFF, o.node or o.name) for o in served.machines]
            reports = {report.machine: report for report in found}
            for name, machine in self._machines.items():
                if machine.pool == pool:
                    state = self._state(machine)
                    if state is not PowerState.OFF or served.machines:
                        reports[name] = MachineReport(name, pool, state, machine.node, machine.token)
        return tuple(reports.values())

    def check(self) -> Sequence[str]:
        return ()

    def close(self) -> None:
        self._closing.set()

    def _order(self, order: Order) -> Receipt:
        for name, machine in self._machines.items():
            if machine.token == order.token:
                return Receipt(order.token, name, machine.node)
        served = self._pools.get(order.pool)
        if served is None:
            raise NotFound(f"driver {self.name} serves no pool {order.pool!r}")
        if order.machine is not None:
            name, node = order.machine.name, order.machine.node or order.machine.name
            if name not in {option.name for option in served.machines}:
                raise NotFound(f"pool {order.pool} has no machine {name!r}")
        else:
            self._numbers += 1
            name = node = f"{order.pool}-{self._numbers}"
        known = self._machines.get(name)
        if known is None or not known.on:
            on = name not in self._settings.lies
            self._machines[name] = _Machine(order.pool, node, order.token, on, self._clock.monotonic())
        return Receipt(order.token, name, node)

    def _state(self, machine: _Machine) -> PowerState:
        age = self._clock.monotonic() - machine.since
        if machine.on:
            return PowerState.ON if age >= self._settings.boot_s else PowerState.TURNING_ON
        return PowerState.OFF if age >= self._settings.off_s else PowerState.TURNING_OFF

    def _fault(self, call: str) -> bool:
        """Raise what the script says; return whether the answer is to be lost."""
        with self._lock:
            self._calls[call] += 1
            number = self._calls[call]
        for fault in self._settings.faults:
            if fault.call == call and fault.at <= number < fault.at + fault.times:
                if fault.error == "hang":
                    self._clock.wait(self._closing, self.limits.call_s)
                    raise TimedOut(f"scripted: {call} hung for {self.limits.call_s:g} s")
                if fault.error == "lost-answer":
                    return True
                raise _ERRORS[fault.error](f"scripted: {call} number {number}")
        return False
