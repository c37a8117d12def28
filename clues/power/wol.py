"""Wake-on-LAN: on by a magic packet, off by ssh.

The packet is six bytes ff, sixteen times the MAC, and the SecureOn password where the card asks for one (AMD,
Magic Packet Technology, publication 20213). `MachineOption.address` is the MAC; the node name is the ssh host.
"""

import errno
import ipaddress
import re
import shutil
import socket
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import msgspec

from clues.options import MachineOption, Pool
from clues.power.base import PowerState
from clues.power.common import DriverSettings
from clues.power.individuals import Individuals, Seen
from clues.power.secure_shell import SshSettings, shut_down, ssh
from infracore.deadline import Deadline
from infracore.errors import CommandFailed, Misconfigured, TimedOut, Transient
from infracore.process import run
from infracore.secret_source import SecretSource

__all__ = ["WolDriver", "WolSettings", "magic_packet"]

_MAC: Final = re.compile(r"^[0-9A-Fa-f]{2}([:-]?)(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}$")
_EXAMPLE: Final = "write 52:54:00:12:34:56 as the machine's `address`"
_SEE: Final = "see the machine's `node`, and `hosts` of the driver"


class WolSettings(DriverSettings, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of type `wol`."""

    broadcast: str = "255.255.255.255"
    port: int = 9
    interface: str = ""
    """Send out of this one (needs CAP_NET_RAW on older kernels); "": as the routes say."""
    packets: int = 3
    pause_s: float = 0.1
    password: SecretSource = SecretSource()
    """SecureOn: six bytes as `aa:bb:cc:dd:ee:ff`."""
    hosts: Mapping[str, str] = msgspec.field(default_factory=dict)
    """Machine name to the host that is asked and shut down; missing: the node name."""
    status: Literal["ssh", "ping", "tcp", "none"] = "ssh"
    status_port: int = 22
    status_s: float = 3.0
    ssh: SshSettings = SshSettings()


def magic_packet(mac: str, password: str = "") -> bytes:
    """Return the packet's payload.

    Raises:
        Misconfigured: no MAC, or no SecureOn password of four or six bytes.
    """
    if not _MAC.match(mac):
        raise Misconfigured(f"{mac!r} is no MAC address", _EXAMPLE)
    try:
        secret = bytes.fromhex(re.sub("[:-]", "", password))
    except ValueError as error:
        raise Misconfigured("the SecureOn password is not written as hexadecimal bytes") from error
    if len(secret) not in {0, 4, 6}:
        raise Misconfigured("the SecureOn password has neither four nor six bytes")
    return b"\xff" * 6 + bytes.fromhex(re.sub("[:-]", "", mac)) * 16 + secret


class WolDriver(Individuals):
    """Wakes machines by their network cards."""

    def __init__(self, name: str, settings: WolSettings, pools: Sequence[Pool]) -> None:
        super().__init__(name, settings.limits(), pools)
        self._settings = settings
        try:
            ipaddress.ip_address(settings.broadcast)
        except ValueError as error:
            raise Misconfigured(f"drivers.{name}.broadcast: {settings.broadcast!r} is no address") from error
        if not 1 <= settings.packets <= 100 or not 0 <= settings.port <= 65535:
            raise Misconfigured(f"drivers.{name}: `packets` must be 1 to 100, `port` 0 to 65535")
        wrong = [
            f"pool {pool.name}: machine {machine.name}: {machine.address!r} is no MAC address"
            for pool in self._pools.values()
            for machine in pool.machines
            if not _MAC.match(machine.address)
        ]
        if wrong:
            raise Misconfigured("\n".join(wrong), _EXAMPLE)

    def _turn_on(self, machine: MachineOption, deadline: Deadline) -> None:
        secret = self._settings.password.read("password").reveal() if self._settings.password else ""
        packet = magic_packet(machine.address, secret)
        family = socket.AF_INET6 if ":" in self._settings.broadcast else socket.AF_INET
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as out:
                out.settimeout(deadline.left())
                out.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
                if self._settings.interface:
                    out.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, self._settings.interface.encode() + b"\0")
                for number in range(self._settings.packets):
                    if number:
                        deadline.pause(self._settings.pause_s)
                    out.sendto(packet, (self._settings.broadcast, self._settings.port))
        except OSError as error:
            what = f"cannot send to {self._settings.broadcast}: {error.strerror or error}"
            if error.errno in {errno.ENODEV, errno.EPERM}:
                raise Misconfigured(what, "see `interface` of the driver; cluesd needs CAP_NET_RAW for it") from error
            raise Transient(what) from error

    def _turn_off(self, machine: MachineOption, deadline: Deadline) -> None:
        state, _ = self._look(machine, deadline)
        if state is PowerState.OFF or shut_down(self._settings.ssh, self._host(machine), deadline):
            return
        if state is PowerState.ON and self._look(machine, deadline)[0] is PowerState.ON:
            raise Transient(f"{self._host(machine)} is on, and its ssh does not answer")

    def _look(self, machine: MachineOption, deadline: Deadline) -> Seen:
        host = self._host(machine)
        limit = min(self._settings.status_s, deadline.left())
        match self._settings.status:
            case "ssh":
                answered = ssh(self._settings.ssh, host, ["true"], deadline)
                return (PowerState.ON, "") if answered is not None else (PowerState.OFF, "ssh does not answer")
            case "ping":
                whole = max(1, int(limit))
                try:
                    done = run(
                        ["ping", "-n", "-c", "1", "-W", str(whole), "--", host],
                        timeout_s=min(whole + 2, deadline.left()),
                        cancel=deadline.closing,
                        check=False,
                    )
                except TimedOut:
                    return PowerState.UNKNOWN, "ping did not end"
                if "not known" in done.stderr:
                    raise Misconfigured(f"{host}: no such host", _SEE)
                if done.status == 0:
                    return PowerState.ON, ""
                return (PowerState.OFF, "no echo") if done.status == 1 else (PowerState.UNKNOWN, done.stderr.strip())
            case "tcp":
                try:
                    socket.create_connection((host, self._settings.status_port), timeout=limit).close()
                except ConnectionRefusedError:
                    return PowerState.UNKNOWN, f"the address answers, port {self._settings.status_port} is closed"
                except socket.gaierror as error:
                    if error.errno == socket.EAI_NONAME:
                        raise Misconfigured(f"{host}: no such host", _SEE) from error
                    return PowerState.UNKNOWN, f"{host}: {error.strerror}"
                except UnicodeError as error:  # what Python says of a name with an empty or too long label
                    raise Misconfigured(f"{host}: no such host", _SEE) from error
                except OSError as error:
                    return PowerState.OFF, str(error)
                return PowerState.ON, ""
        return PowerState.UNKNOWN, "no status is asked for"

    def _faults(self) -> list[str]:
        if self._settings.password:
            magic_packet("00:00:00:00:00:00", self._settings.password.read("password").reveal())
        try:
            done = run([*self._settings.ssh.program, "-V"], timeout_s=10, check=False)
        except (Misconfigured, CommandFailed, TimedOut) as error:
            return [error.message]
        found = [] if done.status == 0 else [f"{self._settings.ssh.program[0]} -V ended with status {done.status}"]
        if self._settings.status == "ping" and shutil.which("ping") is None:
            found.append("the program 'ping' is not installed (Debian package iputils-ping)")
        return found

    def _host(self, machine: MachineOption) -> str:
        return self._settings.hosts.get(machine.name) or machine.node or machine.name
