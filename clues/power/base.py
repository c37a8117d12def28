"""What a power driver is.

A driver turns machines on and off. Its methods block for as long as the order takes to be *accepted* (seconds, at
most `limits.call_s`), never until a machine has booted; they run in worker threads beside the loop, at most
`limits.parallel` at once for one driver, and may be called from several threads at once. All may be repeated:

* `on` with a token that was accepted before returns the same receipt and orders nothing; the token stands in the
  machine's name, tag or metadata where the thing behind the driver has such, so that an order whose answer was lost
  is found again by `list`.
* `off` of a machine that is off, or that does not exist any more, succeeds.
* `list` tells what is there now, whoever turned it on.

Errors are `infracore.errors`: `Transient` and `TimedOut` are tried again, `NoCapacity` and `QuotaExceeded` make the
pool rest and the next pool serve at once, `Unauthorised`, `Misconfigured` and `NotFound` are not tried again,
`CommandFailed` counts as a failure of the machine, `Locked` says that another program holds what the driver needs,
`Cancelled` that it was closed meanwhile. Nothing else may leave a driver.

Tests: `tests/contracts/test_power.py` runs against every driver.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from clues.options import MachineOption

__all__ = ["Limits", "MachineReport", "Order", "PowerDriver", "PowerState", "Receipt"]


class PowerState(StrEnum):
    """As the driver sees it; whether a node is ready is the cluster's word, not the driver's."""

    ON = "on"
    OFF = "off"
    TURNING_ON = "turning-on"
    TURNING_OFF = "turning-off"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """Cannot be told (wake-on-LAN without a status command, an unreachable BMC)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How a driver may be used."""

    call_s: float = 60.0
    """Longest time of one call; the driver ends it itself with TimedOut."""
    parallel: int = 8
    """Calls at once."""
    booting: int | None = None
    """Machines booting at once (power supply, PoE budget); None: no limit of its own."""


@dataclass(frozen=True, slots=True)
class Order:
    """One machine is to come."""

    token: str
    """Of this order; unique for ever."""
    pool: str
    machine: MachineOption | None = None
    """Of a pool of individuals: which; None: any new one of the pool."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """An accepted order."""

    token: str
    machine: str
    """Name of the machine: the option's, or the driver's identifier of a new one."""
    node: str = ""
    """Node name that it will register with, where already known."""


@dataclass(frozen=True, slots=True)
class MachineReport:
    """One machine as the driver sees it."""

    machine: str
    pool: str
    state: PowerState
    node: str = ""
    token: str = ""
    """Of the order that made it, where the thing behind the driver keeps it."""
    detail: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    """Addresses and the like, for people."""


class PowerDriver(Protocol):
    """See the module's docstring."""

    name: str
    """As under `drivers` in the settings."""
    limits: Limits

    def on(self, orders: Sequence[Order]) -> Sequence[Receipt]:
        """Order machines, all of one pool; returns a receipt per order that was accepted, in any order.

        What was accepted before an error is found again by `list` or by calling `on` with the same tokens.
        """
        ...

    def off(self, pool: str, machines: Sequence[str], *, token: str) -> None:
        """Turn machines off, or delete them where machines are made anew; graceful first where there is such."""
        ...

    def list(self, pool: str) -> Sequence[MachineReport]:
        """Report the machines of a pool; individuals all, also those that are off."""
        ...

    def check(self) -> Sequence[str]:
        """Say what is wrong with settings, programs and credentials without changing anything; () if nothing."""
        ...

    def close(self) -> None:
        """Let go of connections; nothing is called afterwards."""
        ...
