"""What drivers share that cut a machine's power: it is shut down by ssh first, and must be silent before the cut.

A board whose card loses its power while it is written to is lost.
"""

import time
from abc import abstractmethod
from collections.abc import Sequence

from clues.options import MachineOption, Pool
from clues.power.common import DriverSettings
from clues.power.individuals import Individuals
from clues.power.secure_shell import SshSettings, shut_down, ssh
from infracore.deadline import Deadline
from infracore.errors import CommandFailed, Misconfigured, TimedOut, Transient, Unauthorised

__all__ = ["CutSettings", "Cutting"]


class CutSettings(DriverSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a machine is shut down before its power goes."""

    call_s: float = 120.0
    shutdown: bool = True
    """Shut down by ssh before power is cut."""
    grace_s: float = 60.0
    """How long the shutdown may take."""
    settle_s: float = 10.0
    """How long ssh is silent before the cut: sshd ends before the file systems are unmounted."""
    poll_s: float = 2.0
    ssh: SshSettings = SshSettings()


class Cutting(Individuals):
    """A driver is this with `_turn_on`, `_has_power`, `_cut`, `_look` and `_faults`, which block for one machine."""

    def __init__(self, name: str, settings: CutSettings, pools: Sequence[Pool]) -> None:
        super().__init__(name, settings.limits(), pools)
        self._cutting = settings
        if settings.grace_s + settings.settle_s >= settings.call_s:
            raise Misconfigured(f"drivers.{name}: grace_s and settle_s together must be shorter than call_s")

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
        """Ask it to go, and wait until it is silent, at most the grace; then power goes anyway.

        Raises:
            Unauthorised, Misconfigured, CommandFailed: it runs and was not asked. Power stays.
        """
        settings = self._cutting
        host = machine.address or machine.node or machine.name
        patience = Deadline(f"shutdown of {machine.name}", settings.grace_s, self._closing)
        silent_since: float | None = None
        asked = False
        try:
            while True:
                try:
                    if asked:
                        answers = ssh(settings.ssh, host, ["true"], patience) is not None
                    else:
                        answers = asked = shut_down(settings.ssh, host, patience)
                except Transient:
                    answers = True  # asked again, or looked again
                except (Unauthorised, CommandFailed):
                    if not asked:
                        raise
                    answers = True  # a machine that goes down may let nobody in any more (pam_nologin)
                now = time.monotonic()
                silent_since = None if answers else now if silent_since is None else silent_since
                if silent_since is not None and now - silent_since >= settings.settle_s:
                    break
                patience.pause(settings.poll_s if answers else min(settings.poll_s, settings.settle_s))
        except TimedOut:
            deadline.left()
            if silent_since is not None:
                deadline.pause(max(0.0, settings.settle_s - (time.monotonic() - silent_since)))
        deadline.left()
