"""A BMC: OpenIPMI's simulator `ipmi_sim` on a UDP port of loopback, its chassis a script that keeps the state in files.

The simulator answers no "Get Channel Cipher Suites", as some BMCs do: without `-C`, ipmitool waits six seconds for it.
It knows the cipher suites 0 to 3.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rigs.needs import need_programs
from tests.rigs.process import Daemon, daemon
from tests.rigs.udp import free_udp_port

__all__ = ["CIPHER", "PASSWORD", "USER", "Bmc", "bmc"]

USER = "clues"
PASSWORD = "loopback-only"
CIPHER = 3

# ipmi_sim runs it as `PROGRAM get power` and `PROGRAM set power 1`, `set shutdown 1`, and reads lines `power:1`.
_CHASSIS = """#!/bin/sh
cd '{folder}' || exit 1
echo "$*" >> orders
if [ "$1" = get ]; then
    if [ -e on ]; then echo power:1; else echo power:0; fi
    exit 0
fi
shift
case "$1 $2" in
    "power 1") touch on ;;
    "power 0") rm -f on ;;
    shutdown*) [ ! -e knows-no-shutdown ] || {{ echo no such control >&2; exit 1; }}
               [ -e hears-no-shutdown ] || rm -f on ;;
esac
"""
_LAN = """
name "{name}"
set_working_mc 0x20
  startlan 1
    addr 127.0.0.1 {port}
    priv_limit admin
    allowed_auths_user none md2 md5 straight
    allowed_auths_operator none md2 md5 straight
    allowed_auths_admin none md2 md5 straight
    guid a123456789abcdefa123456789abcdef
  endlan
  chassis_control "{program}"
  user 2 true "{user}" "{password}" operator 10 none md2 md5 straight
"""
_CONTROLLER = """
mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02
mc_enable 0x20
"""


class Bmc:
    """One BMC and the machine that it controls, which is off at first."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.daemon: Daemon

    @property
    def is_on(self) -> bool:
        return (self.folder / "on").exists()

    def switch(self, on: bool) -> None:
        """Press the button."""
        if on:
            (self.folder / "on").touch()
        else:
            (self.folder / "on").unlink(missing_ok=True)

    def orders(self) -> list[str]:
        """Return what was set, in order: `power 1`, `shutdown 1`."""
        path = self.folder / "orders"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.removeprefix("set ") for line in lines if line.startswith("set ")]

    def hears_no_shutdown(self) -> None:
        """Let the machine's system ignore the ACPI button."""
        (self.folder / "hears-no-shutdown").touch()

    def knows_no_shutdown(self) -> None:
        """Let the BMC refuse the soft shutdown."""
        (self.folder / "knows-no-shutdown").touch()


@contextmanager
def bmc(folder: Path, name: str) -> Iterator[Bmc]:
    """Start a BMC; it answers when this returns."""
    need_programs("ipmi_sim", "ipmitool")
    place = folder / name
    (place / "state").mkdir(parents=True)
    program = place / "chassis"
    program.write_text(_CHASSIS.format(folder=place))
    program.chmod(0o755)
    port = free_udp_port()
    lan, controller = place / "lan.conf", place / "controller"
    lan.write_text(_LAN.format(name=name, port=port, program=program, user=USER, password=PASSWORD))
    controller.write_text(_CONTROLLER)
    started = Bmc(place, port)
    with daemon(["ipmi_sim", "-n", "-c", lan, "-f", controller, "-s", place / "state"], place) as started.daemon:
        started.daemon.wait_for(lambda: _answers(port))
        (place / "orders").unlink(missing_ok=True)
        yield started


def _answers(port: int) -> bool:
    argv = ["ipmitool", "-I", "lanplus", "-H", "127.0.0.1", "-p", str(port), "-U", USER, "-E", "-L", "OPERATOR"]
    argv += ["-C", str(CIPHER), "-N", "1", "-R", "1", "chassis", "power", "status"]
    env = {**os.environ, "IPMITOOL_PASSWORD": PASSWORD, "IPMI_PASSWORD": PASSWORD}
    return subprocess.run(argv, env=env, capture_output=True, timeout=20, check=False).returncode == 0
