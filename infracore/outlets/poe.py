"""Ports of a switch that powers over Ethernet, by SNMP and net-snmp's programs.

`pethPsePortAdminEnable` (RFC 3621, 1.3.6.1.2.1.105.1.1.1.3.GROUP.PORT): 1 is on, 2 is off; the port's detection
status (column 6) tells a fault.
"""

import re
import shutil
import tempfile
from pathlib import Path
from typing import Final, Literal

import msgspec

from infracore.deadline import Deadline
from infracore.errors import CommandFailed, InfraError, Misconfigured, NotFound, Transient, Unauthorised
from infracore.process import run
from infracore.secret_source import SecretSource

__all__ = ["PoeSwitch", "SwitchAccess"]

_PORT: Final = "1.3.6.1.2.1.105.1.1.1"
_ADMIN: Final = 3
_DETECTION: Final = 6
_WORD: Final = re.compile(r"[^\s\x00-\x1f-][^\s\x00-\x1f]*")
"""Neither an option of snmpget nor the end of a line of its settings."""
_FAULTS: Final = {4: "fault", 5: "test", 6: "other fault"}


class SwitchAccess(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How a switch is talked to."""

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


class PoeSwitch:
    """One switch. Safe under threads."""

    def __init__(self, access: SwitchAccess) -> None:
        self._access = access
        self.place = access.switch.lower().removeprefix("udp:").removesuffix(":161")
        """The same for the same switch, however its address is written."""

    def is_on(self, port: int, deadline: Deadline) -> bool:
        """Read whether a port gives power.

        Raises:
            CommandFailed: the switch answers what is neither on nor off, or refuses. NotFound: it has no such port.
            Transient: it does not answer. Unauthorised, Misconfigured: access to it is wrong.
        """
        said = self._get(_ADMIN, port, deadline)
        if said not in {1, 2}:
            raise CommandFailed(
                f"switch {self._access.switch}: pethPsePortAdminEnable of port {port} is {said}, neither 1 nor 2"
            )
        return said == 1

    def fault(self, port: int, deadline: Deadline) -> str:
        """Read what is wrong with a port that is on, "" where nothing is."""
        try:
            detection = self._get(_DETECTION, port, deadline)
        except NotFound:
            return ""  # a switch without the column
        return _FAULTS.get(detection, "")

    def switch(self, port: int, on: bool, deadline: Deadline) -> None:
        """Set a port, and read it back. Raises as `is_on`; CommandFailed where it is not so afterwards."""
        value = 1 if on else 2
        self._snmp("snmpset", [self._oid(_ADMIN, port), "i", str(value)], deadline)
        if self._get(_ADMIN, port, deadline) != value:
            raise CommandFailed(f"switch {self._access.switch} said yes, and port {port} is not switched")

    def faults(self) -> list[str]:
        """Return what is missing on this computer: programs, secrets. Asks the switch nothing."""
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

    def _get(self, column: int, port: int, deadline: Deadline) -> int:
        said = self._snmp("snmpget", [self._oid(column, port)], deadline)
        try:
            return int(said)
        except ValueError as error:
            raise CommandFailed(f"switch {self._access.switch}: port {port} is answered by {said[:80]!r}") from error

    def _oid(self, column: int, port: int) -> str:
        return f"{_PORT}.{column}.{self._access.group}.{port}"

    def _snmp(self, program: str, words: list[str], deadline: Deadline) -> str:
        """Run one of net-snmp's programs; the secrets stand in a private file that lives as long as it runs."""
        access = self._access
        folder = Path(tempfile.mkdtemp(prefix="im-clues-snmp-"))
        try:
            path = folder / "snmp.conf"
            path.touch(mode=0o600)
            path.write_text(self._configuration())
            argv = [program, "-m", "", "-Oqv", "-t", str(access.timeout_s), "-r", str(access.retries)]
            env = {"SNMPCONFPATH": str(folder), "SNMP_PERSISTENT_DIR": str(folder)}
            done = run(
                [*argv, access.switch, *words],
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
                f"switch {access.switch} has no {words[0]}", "see `group` of the driver, `port` of the machine"
            )
        if done.status == 0:
            return done.stdout.strip()
        what = f"{program} {words[0]} at {access.switch}: {said}"
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
        access = self._access
        for name, text in (("switch", access.switch), ("user", access.user)):
            if text and not _WORD.fullmatch(text):
                raise Misconfigured(f"{name} {text[:80]!r} is no one word", "a name or an address, and a user's name")
        lines = [f"defVersion {access.version}"]
        if access.version == "2c":
            lines.append(f"defCommunity {_quoted(access.community, 'community')}")
        else:
            level = "authPriv" if access.auth and access.privacy else "authNoPriv" if access.auth else "noAuthNoPriv"
            lines += [f"defSecurityName {access.user}", f"defSecurityLevel {level}"]
            if access.auth:
                lines.append(f"defAuthType {access.auth}")
                lines.append(f"defAuthPassphrase {_quoted(access.auth_password, 'auth_password')}")
            if access.auth and access.privacy:
                lines.append(f"defPrivType {access.privacy}")
                lines.append(f"defPrivPassphrase {_quoted(access.privacy_password, 'privacy_password')}")
        return "\n".join(lines) + "\n"


def _quoted(source: SecretSource, what: str) -> str:
    text = source.read(what).reveal()
    if "\n" in text or '"' in text or "\\" in text:
        raise Misconfigured(f"{what}: line ends, quotation marks and backslashes cannot be given to net-snmp")
    return f'"{text}"'
