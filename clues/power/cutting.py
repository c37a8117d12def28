"""What drivers share that cut a machine's power: it is shut down by ssh first, and must be down before the cut.

A board whose card loses its power while it is written to is lost. What counts as down: `infracore/outlets/halting.py`.
"""

import math
import time
from abc import abstractmethod
from collections.abc import Sequence
from typing import Final

from clues.options import MachineOption, Pool
from clues.power.common import DriverSettings
from clues.power.individuals import Individuals
from clues.power.secure_shell import SaysNothing, SshSettings, ask, ask_to_go
from infracore.deadline import Deadline
from infracore.errors import CommandFailed, InfraError, Misconfigured, TimedOut, Transient, Unauthorised
from infracore.outlets.halting import HALT_S, SETTLE_S, Answer, Quiet

__all__ = ["CutSettings", "Cutting"]

_LOOK_S: Final = 15.0
"""Limit of one look beyond the time to connect: ssh gives up a silent connection after 9 s."""


class CutSettings(DriverSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a machine is shut down before its power goes."""

    call_s: float = 600.0
    parallel: int = 12
    """More than `policy.max_parallel`, so that machines that go down hold up no look and no start."""
    shutdown: bool = True
    """Shut down by ssh before power is cut."""
    grace_s: float = 180.0
    """How long a machine that was asked to go may go on answering ssh."""
    halt_s: float = HALT_S
    """How long it may refuse ssh without a break before power is cut: then its shutdown hangs."""
    settle_s: float = SETTLE_S
    """How long nothing comes from it before power is cut."""
    cut_anyway: bool = False
    """Cut a machine that still answers ssh after the grace."""
    poll_s: float = 2.0
    ssh: SshSettings = SshSettings()


class Cutting(Individuals):
    """A driver is this with `_turn_on`, `_has_power`, `_cut`, `_look` and `_faults`, which block for one machine."""

    def __init__(self, name: str, settings: CutSettings, pools: Sequence[Pool]) -> None:
        super().__init__(name, settings.limits(), pools)
        self._cutting = settings
        for key in ("grace_s", "halt_s", "settle_s", "poll_s"):
            value = getattr(settings, key)
            if not (math.isfinite(value) and value >= 0):
                raise Misconfigured(f"drivers.{name}.{key}: {value} is no number of seconds", "0 or more")
        if settings.grace_s + settings.halt_s + settings.settle_s >= settings.call_s:
            raise Misconfigured(f"drivers.{name}: grace_s, halt_s and settle_s together must be shorter than call_s")

    @abstractmethod
    def _has_power(self, machine: MachineOption, deadline: Deadline) -> bool: ...

    @abstractmethod
    def _cut(self, machine: MachineOption, deadline: Deadline) -> None: ...

    def _turn_off(self, machine: MachineOption, deadline: Deadline) -> None:
        if not self._has_power(machine, deadline):
            return
        if self._cutting.shutdown:
            self._shut_down(machine, deadline)
        self._cut(machine, deadline)

    def _shut_down(self, machine: MachineOption, deadline: Deadline) -> None:
        """Ask it to go, and wait until it is down.

        Raises:
            Unauthorised, Misconfigured, CommandFailed: it runs, and was not asked or goes on. Power stays.
            Transient, TimedOut: whether it is down cannot be told. Power stays.
        """
        settings, quiet = self._cutting, Quiet()
        going = _Going(machine, settings, deadline)
        ends_at = time.monotonic() + settings.grace_s
        while True:
            answer = going.ask(ends_at)
            now = time.monotonic()
            quiet = quiet.then(answer, now)
            if quiet.is_down(now, settle_s=settings.settle_s, halt_s=settings.halt_s):
                return
            if quiet.closed_since is None and now >= ends_at:
                if answer is Answer.OPEN and settings.cut_anyway:
                    return
                raise going.why_not(answer)
            deadline.pause(settings.poll_s if quiet.silent_since is None else min(settings.poll_s, settings.settle_s))
            deadline.left()


class _Going:
    """One machine that is to go down."""

    def __init__(self, machine: MachineOption, settings: CutSettings, deadline: Deadline) -> None:
        self._host = machine.address or machine.node or machine.name
        self._name = machine.name
        self._settings = settings
        self._deadline = deadline
        self._was_reached = False
        """Whether it was told to go, as far as can be seen: the connection may have broken meanwhile."""
        self._has_taken = False
        """Whether it said that it goes."""
        self._last: InfraError | None = None

    def ask(self, ends_at: float) -> Answer:
        """Tell it to go, or look whether it still answers where it said so."""
        settings = self._settings
        limit_s = settings.ssh.connect_s + _LOOK_S
        if not self._has_taken:
            limit_s = max(limit_s, ends_at - time.monotonic())
        limit = Deadline(f"ssh to {self._host}", min(limit_s, self._deadline.left()), self._deadline.closing)
        self._last = None
        try:
            if self._has_taken:
                done = ask(settings.ssh, self._host, ["true"], limit)
            else:
                done = ask_to_go(settings.ssh, self._host, limit)
        except (SaysNothing, TimedOut) as error:
            self._deadline.left()
            self._last = error
            return Answer.OPEN
        except Transient as error:
            self._last = error
            return Answer.UNKNOWN
        except (Unauthorised, CommandFailed) as error:
            if not self._was_reached:
                raise
            self._last = error
            return Answer.OPEN  # a machine that goes down may let nobody in any more (pam_nologin)
        if isinstance(done, Answer):
            return done
        self._was_reached = True
        self._has_taken = self._has_taken or done.status == 0
        return Answer.OPEN

    def why_not(self, answer: Answer) -> InfraError:
        """Return the error that keeps the power on."""
        why = f": {self._last.message}" if self._last is not None else ""
        if answer is not Answer.OPEN:
            return Transient(f"whether {self._name} is down cannot be told, and its power stays on{why}")
        told = "was asked" if self._was_reached else "was to be asked"
        return CommandFailed(
            f"{self._name} still answers ssh {self._settings.grace_s:g} s after it {told} to shut down, "
            f"and its power stays on{why}",
            "see why it does not go down, or set a longer grace_s; cut_anyway cuts its power all the same",
        )
