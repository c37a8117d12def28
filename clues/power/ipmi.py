"""Machines whose BMC speaks IPMI 2.0, by the program `ipmitool`. `address` is the BMC, `port` its UDP port."""

from collections.abc import Sequence

from clues.options import MachineOption, Pool
from clues.power.base import PowerState
from clues.power.common import DriverSettings
from clues.power.deadline import Deadline
from clues.power.individuals import Individuals, Seen
from clues.power.secret import SecretSource
from infracore.errors import CommandFailed, InfraError, Misconfigured, Transient, Unauthorised
from infracore.process import run

__all__ = ["IpmiDriver", "IpmiSettings"]


class IpmiSettings(DriverSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of type `ipmi`."""

    call_s: float = 120.0
    program: str = "ipmitool"
    interface: str = "lanplus"
    user: str = "ADMIN"
    password: SecretSource = SecretSource()
    cipher: int | None = None
    """Cipher suite; None: ipmitool's choice (17 where the BMC can)."""
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
                pass  # many BMCs know no soft shutdown: completion code c1 or cc
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
            env["IPMI_PASSWORD"] = settings.password.read("password").reveal()
        if settings.cipher is not None:
            argv += ["-C", str(settings.cipher)]
        done = run(
            [*argv, "chassis", "power", word], timeout_s=deadline.left(), cancel=deadline.closing, env=env, check=False
        )
        if done.status == 0:
            return done.stdout
        said = " ".join((done.stderr or done.stdout).split())[-300:]
        low = said.lower()
        what = f"ipmitool power {word} of {machine.name} ({machine.address}): {said}"
        if any(word in low for word in ("hmac", "password", "unauthorized", "insufficient privilege", "rakp 2")):
            raise Unauthorised(what, "see `user`, `password`, `privilege` and `cipher` of the driver")
        if "invalid command" in low or "not supported" in low or "command response could not be provided" in low:
            raise CommandFailed(what, status=done.status)
        if "unable to establish" in low or "get chassis power status" in low or "timeout" in low or "timed out" in low:
            raise Transient(what)
        raise CommandFailed(what, status=done.status)

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
