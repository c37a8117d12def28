"""Machines whose BMC speaks IPMI 2.0, by the program `ipmitool`. `address` is the BMC, `port` its UDP port."""

from collections.abc import Sequence
from typing import Final

from clues.options import MachineOption, Pool
from clues.power.base import PowerState
from clues.power.common import DriverSettings
from clues.power.individuals import Individuals, Seen
from infracore.deadline import Deadline
from infracore.errors import CommandFailed, InfraError, Misconfigured, Transient, Unauthorised
from infracore.process import Completed, run
from infracore.secret_source import SecretSource

__all__ = ["IpmiDriver", "IpmiSettings"]

_SEE: Final = "see `user`, `password` and `privilege` of the driver"
# What ipmitool says of the codes with which a BMC refuses a session (IPMI 2.0, table 13-15).
_REFUSED: Final = ("hmac is invalid", "unauthorized", "invalid role", "invalid name length", "invalid integrity check")
_NO_CIPHER: Final = (
    "invalid authentication algorithm",
    "invalid integrity algorithm",
    "invalid confidentiality algorithm",
    "no cipher suite match",
)


class IpmiSettings(DriverSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of type `ipmi`."""

    call_s: float = 120.0
    program: str = "ipmitool"
    interface: str = "lanplus"
    user: str = "ADMIN"
    password: SecretSource = SecretSource()
    cipher: int | None = None
    """Cipher suite; None: ipmitool's choice (17 where the BMC can), which costs seconds a call on a BMC that does not
    say which it has."""
    privilege: str = "OPERATOR"
    port: int = 623
    """Where a machine says none."""
    grace_s: float = 60.0
    """How long an ACPI shutdown may take before power is cut; 0: cut at once."""
    poll_s: float = 2.0
    retries: int = 3
    """Of a lost packet, each after `retry_s`."""
    retry_s: int = 1


class IpmiDriver(Individuals):
    """Turns machines on and off by their BMCs."""

    def __init__(self, name: str, settings: IpmiSettings, pools: Sequence[Pool]) -> None:
        super().__init__(name, settings.limits(), pools)
        self._settings = settings
        settings.password.check(f"drivers.{name}.password")
        if settings.grace_s >= settings.call_s:
            raise Misconfigured(f"drivers.{name}: grace_s must be shorter than call_s")
        wrong = [
            f"pool {pool.name}: machine {machine.name}: it has no address, which is its BMC's"
            for pool in self._pools.values()
            for machine in pool.machines
            if not machine.address
        ]
        if wrong:
            raise Misconfigured("\n".join(wrong), "set the machine's `address`")

    def _turn_on(self, machine: MachineOption, deadline: Deadline) -> None:
        if self._look(machine, deadline)[0] is not PowerState.ON:
            self._ask(machine, "on", deadline)

    def _turn_off(self, machine: MachineOption, deadline: Deadline) -> None:
        if self._look(machine, deadline)[0] is PowerState.OFF:
            return
        if self._settings.grace_s > 0:
            try:
                self._ask(machine, "soft", deadline)
            except CommandFailed:
                pass  # many BMCs know no soft shutdown
            else:
                if self._wait_off(machine, deadline, self._settings.grace_s, self._settings.poll_s):
                    return
        self._ask(machine, "off", deadline)

    def _look(self, machine: MachineOption, deadline: Deadline) -> Seen:
        said = self._ask(machine, "status", deadline).strip().lower()
        if said.endswith("is on"):
            return PowerState.ON, ""
        if said.endswith("is off"):
            return PowerState.OFF, ""
        return PowerState.UNKNOWN, said[:200]

    def _ask(self, machine: MachineOption, word: str, deadline: Deadline) -> str:
        """Run one power command; the password goes by the environment, which other users cannot read."""
        settings = self._settings
        argv = [
            settings.program,
            "-I",
            settings.interface,
            "-H",
            machine.address,
            "-p",
            str(machine.port or settings.port),
        ]
        argv += [
            "-U",
            settings.user,
            "-L",
            settings.privilege,
            "-N",
            str(settings.retry_s),
            "-R",
            str(settings.retries),
        ]
        env = {}
        if settings.password:
            argv.append("-E")
            secret = settings.password.read("password").reveal()
            env = {"IPMI_PASSWORD": secret, "IPMITOOL_PASSWORD": secret}  # ipmitool prefers the second
        if settings.cipher is not None:
            argv += ["-C", str(settings.cipher)]
        argv += ["-v", "chassis", "power", word]  # without -v it does not say that a password is wrong
        done = run(argv, timeout_s=deadline.left(), cancel=deadline.closing, env=env, check=False)
        if done.status == 0:
            return done.stdout
        raise _error(f"ipmitool power {word} of {machine.name} ({machine.address})", done)

    def _faults(self) -> list[str]:
        try:
            run([self._settings.program, "-V"], timeout_s=10)
            if self._settings.password:
                self._settings.password.read("password")
        except InfraError as error:
            return [error.message]
        return [
            f"machine {machine.name}: no address of a BMC"
            for pool in self._pools.values()
            for machine in pool.machines
            if not machine.address
        ]


def _error(what: str, done: Completed) -> InfraError:
    """Tell why ipmitool (1.8.18, 1.8.19) failed; its lines before the last ones also tell what does not matter."""
    lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
    said = " ".join(lines)
    low = said.lower()
    last = lines[-1].lower() if lines else ""
    what = f"{what}: {' '.join(lines[-2:])[-300:] or f'status {done.status}'}"
    if "address lookup" in low:
        return Misconfigured(what, "see the machine's `address`")
    if "unable to establish" in last:
        if any(word in low for word in _NO_CIPHER):
            return Misconfigured(what, "set `cipher` of the driver to a suite that the BMC knows (3, 17)")
        if any(word in low for word in _REFUSED):
            return Unauthorised(what, _SEE)
        return Transient(what)
    if "insufficient privilege" in last:
        return Unauthorised(what, _SEE)
    if "password is longer" in low or "unable to read password" in low:
        return Misconfigured(what, _SEE)
    if "unable to get chassis" in last or "unable to set chassis" in last or last.endswith("timeout"):
        return Transient(what)  # no answer within a session that stood
    if last.endswith(("node busy", "out of space", "bmc initialization in progress")):
        return Transient(what)
    return CommandFailed(what, status=done.status)
