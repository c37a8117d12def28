"""Boards powered over Ethernet: their switch port's power is switched by SNMP.

`pethPsePortAdminEnable` (RFC 3621, 1.3.6.1.2.1.105.1.1.1.3.GROUP.PORT): 1 is on, 2 is off; the port's detection
status (column 6) tells a fault. One driver is one switch. `port` of a machine is its switch port, `address` its own
address for ssh ("": the node name).
"""

import shutil
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from clues.options import MachineOption, Pool
from clues.power.base import PowerState
from clues.power.common import DriverSettings
from clues.power.deadline import Deadline
from clues.power.individuals import Individuals, Seen
from clues.power.secret import SecretSource
from clues.power.secure_shell import SshSettings, shut_down, ssh
from infracore.errors import (
    CommandFailed,
    InfraError,
    Misconfigured,
    NoCapacity,
    NotFound,
    TimedOut,
    Transient,
    Unauthorised,
)
from infracore.process import run

__all__ = ["PoeDriver", "PoeSettings"]

_PORT: Final = "1.3.6.1.2.1.105.1.1.1"
_ADMIN: Final = 3
_DETECTION: Final = 6
_FAULTS: Final = {4: "fault", 5: "test", 6: "other fault"}


class PoeSettings(DriverSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of type `poe`."""

    call_s: float = 120.0
    switch: str
    """Host, or `host:udp-port`."""
    version: Literal["2c", "3"] = "2c"
    community: SecretSource = SecretSource()
    user: str = ""
    auth: Literal["", "SHA", "SHA-256", "SHA-512"] = "SHA"
    auth_password: SecretSource = SecretSource()
    privacy: Literal["", "AES"] = "AES"
    privacy_password: SecretSource = SecretSource()
    group: int = 1
    """Of the ports (the unit in a stack)."""
    timeout_s: int = 2
    retries: int = 2
    shutdown: bool = True
    """Shut down by ssh before power is cut."""
    grace_s: float = 60.0
    """How long the shutdown may take."""
    settle_s: float = 10.0
    """From ssh's last answer to the cut: sshd ends before the file systems are unmounted."""
    poll_s: float = 2.0
    ssh: SshSettings = SshSettings()
    budget_watts: float | None = None
    """Of the switch; None: not watched."""
    machine_watts: float = 15.4
    """Of one port (15.4: IEEE 802.3af class 0)."""


class PoeDriver(Individuals):
    """Switches the power of a switch's ports."""

    def __init__(self, name: str, settings: PoeSettings, pools: Sequence[Pool]) -> None:
        super().__init__(name, settings.limits(), pools)
        self._settings = settings
        self._budget = threading.Lock()
        if settings.grace_s + settings.settle_s >= settings.call_s:
            raise Misconfigured(f"drivers.{name}: grace_s and settle_s together must be shorter than call_s")
        if not settings.machine_watts > 0:
            raise Misconfigured(f"drivers.{name}.machine_watts: must be more than 0")
        for pool in self._pools.values():
            for machine in pool.machines:
                if machine.port < 1:
                    raise Misconfigured(f"pool {pool.name}: machine {machine.name}: `port` is the switch port, from 1")

    def _turn_on(self, machine: MachineOption, deadline: Deadline) -> None:
        if self._settings.budget_watts is None:
            if self._get(_ADMIN, machine.port, deadline) != 1:
                self._set(machine, 1, deadline)
            return
        deadline.hold(self._budget)  # two at once would both see the last free watts
        try:
            ports = {m.port for pool in self._pools.values() for m in pool.machines}
            drawing = [port for port in sorted(ports) if self._get(_ADMIN, port, deadline) == 1]
            watts = self._settings.machine_watts * (len(drawing) + 1)
            if machine.port in drawing:
                return
            if watts > self._settings.budget_watts:
                raise NoCapacity(
                    f"switch {self._settings.switch}: {machine.name} would make {watts:g} W of the budget's "
                    f"{self._settings.budget_watts:g} W"
                )
            self._set(machine, 1, deadline)
        finally:
            self._budget.release()

    def _turn_off(self, machine: MachineOption, deadline: Deadline) -> None:
        if self._get(_ADMIN, machine.port, deadline) == 2:
            return
        if self._settings.shutdown:
            self._shut_down(machine, deadline)
        self._set(machine, 2, deadline)

    def _shut_down(self, machine: MachineOption, deadline: Deadline) -> None:
        """Ask it to go, and wait until it does not answer any more, at most the grace; then power goes anyway.

        Raises:
            Unauthorised, Misconfigured, CommandFailed: it runs and was not asked. Power stays: cards that lose it while
                they are written to are lost.
        """
        host = machine.address or machine.node or machine.name
        patience = Deadline(f"shutdown of {machine.name}", self._settings.grace_s, self._closing)
        asked = False
        try:
            while True:
                try:
                    if not asked:
                        if not shut_down(self._settings.ssh, host, patience):
                            return  # nothing runs there that could be asked
                        asked = True
                    elif ssh(self._settings.ssh, host, ["true"], patience) is None:
                        break
                except Transient:
                    pass  # asked again, or looked again
                except (Unauthorised, CommandFailed):
                    if not asked:
                        raise
                    # a machine that goes down may let nobody in any more (pam_nologin)
                patience.pause(self._settings.poll_s)
        except TimedOut:
            deadline.left()
            return
        deadline.pause(self._settings.settle_s)
        deadline.left()

    def _look(self, machine: MachineOption, deadline: Deadline) -> Seen:
        admin = self._get(_ADMIN, machine.port, deadline)
        if admin == 2:
            return PowerState.OFF, ""
        if admin != 1:
            return PowerState.UNKNOWN, f"pethPsePortAdminEnable is {admin}"
        try:
            detection = self._get(_DETECTION, machine.port, deadline)
        except NotFound:
            detection = 3  # a switch without the column
        if detection in _FAULTS:
            return PowerState.FAILED, f"port {machine.port}: {_FAULTS[detection]}"
        return PowerState.ON, ""

    def _get(self, column: int, port: int, deadline: Deadline) -> int:
        said = self._snmp("snmpget", [self._oid(column, port)], deadline)
        try:
            return int(said)
        except ValueError as error:
            raise CommandFailed(f"switch {self._settings.switch}: port {port} is answered by {said[:80]!r}") from error

    def _set(self, machine: MachineOption, value: int, deadline: Deadline) -> None:
        self._snmp("snmpset", [self._oid(_ADMIN, machine.port), "i", str(value)], deadline)
        if self._get(_ADMIN, machine.port, deadline) != value:
            raise CommandFailed(f"switch {self._settings.switch} said yes, and port {machine.port} is not switched")

    def _oid(self, column: int, port: int) -> str:
        return f"{_PORT}.{column}.{self._settings.group}.{port}"

    def _snmp(self, program: str, words: list[str], deadline: Deadline) -> str:
        """Run one of net-snmp's programs; the secrets stand in a private file that lives as long as it runs."""
        settings = self._settings
        folder = Path(tempfile.mkdtemp(prefix="clues-snmp-"))
        try:
            path = folder / "snmp.conf"
            path.touch(mode=0o600)
            path.write_text(self._configuration())
            argv = [program, "-m", "", "-Oqv", "-t", str(settings.timeout_s), "-r", str(settings.retries)]
            env = {"SNMPCONFPATH": str(folder), "SNMP_PERSISTENT_DIR": str(folder)}
            done = run(
                [*argv, settings.switch, *words],
                timeout_s=deadline.left(),
                cancel=deadline.closing,
                env=env,
                check=False,
            )
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        lines = (done.stderr + done.stdout).splitlines()
        said = " ".join(" ".join(line for line in lines if not line.startswith("Created directory")).split())[-300:]
        if any(word in said for word in ("No Such Instance", "No Such Object", "noSuchName", "noCreation")):
            raise NotFound(
                f"switch {settings.switch} has no {words[0]}", "see `group` of the driver, `port` of the machine"
            )
        if done.status == 0:
            return done.stdout.strip()
        what = f"{program} {words[0]} at {settings.switch}: {said}"
        low = said.lower()
        if "timeout" in low or "no response" in low:
            raise Transient(what, "the switch is down, or the community is wrong: SNMP 2c answers neither")
        if "unknown host" in low or "passphrase chosen is below" in low:
            raise Misconfigured(
                what, "see `switch` and the passwords of the driver: SNMP 3's have eight letters or more"
            )
        if any(word in low for word in ("authorization", "noaccess", "notwritable", "authentication", "unknown user")):
            raise Unauthorised(what, "see `community` or `user` and the passwords of the driver")
        raise CommandFailed(what, status=done.status)

    def _configuration(self) -> str:
        settings = self._settings
        lines = [f"defVersion {settings.version}"]
        if settings.version == "2c":
            lines.append(f"defCommunity {_quoted(settings.community, 'community')}")
        else:
            level = (
                "authPriv" if settings.auth and settings.privacy else "authNoPriv" if settings.auth else "noAuthNoPriv"
            )
            lines += [f"defSecurityName {settings.user}", f"defSecurityLevel {level}"]
            if settings.auth:
                lines.append(f"defAuthType {settings.auth}")
                lines.append(f"defAuthPassphrase {_quoted(settings.auth_password, 'auth_password')}")
            if settings.auth and settings.privacy:
                lines.append(f"defPrivType {settings.privacy}")
                lines.append(f"defPrivPassphrase {_quoted(settings.privacy_password, 'privacy_password')}")
        return "\n".join(lines) + "\n"

    def _faults(self) -> list[str]:
        found = [
            f"the program {program!r} is not installed (Debian package snmp)"
            for program in ("snmpget", "snmpset")
            if shutil.which(program) is None
        ]
        try:
            self._configuration()
        except InfraError as error:
            found.append(error.message)
        return found


def _quoted(source: SecretSource, what: str) -> str:
    text = source.read(what).reveal()
    if "\n" in text or '"' in text or "\\" in text:
        raise Misconfigured(f"{what}: line ends, quotation marks and backslashes cannot be given to net-snmp")
    return f'"{text}"'
