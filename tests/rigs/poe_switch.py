"""A PoE switch: net-snmp's `snmpd` on a UDP port of loopback, RFC 3621's port table from a script.

SNMP 2c with a community that may write and one that may only read; SNMP 3 with a user that authenticates and encrypts.
"""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.rigs.needs import need_programs
from tests.rigs.process import Daemon, daemon
from tests.rigs.udp import free_udp_port

__all__ = ["AUTH_PASSWORD", "COMMUNITY", "PRIVACY_PASSWORD", "READ_COMMUNITY", "USER", "Switch", "poe_switch"]

COMMUNITY = "may-write"
READ_COMMUNITY = "may-read"
USER = "clues"
AUTH_PASSWORD = "loopback-only"
PRIVACY_PASSWORD = "loopback-too"

# snmpd talks with it as snmpd.conf(5) says of "pass_persist" ("pass" would answer from its cache for half a minute).
# Two columns of the table: 3 pethPsePortAdminEnable, 6 pethPsePortDetectionStatus.
_TABLE = """#!/bin/sh
cd '{folder}' || exit 1
while read -r word; do
    case "$word" in
        PING) echo PONG; continue ;;
        "") continue ;;  # after the value of a set
    esac
    read -r oid
    row=${{oid#.1.3.6.1.2.1.105.1.1.1.}}
    case "$word" in
        get) if [ -e "$row" ]; then printf '%s\\ninteger\\n' "$oid"; cat "$row"; else echo NONE; fi ;;
        set) read -r kind value
             case "$row" in 3.*) ;; *) echo not-writable; continue ;; esac
             [ -e "$row" ] || {{ echo no-creation; continue; }}
             echo "$row $value" >> orders
             [ -e stuck ] || echo "$value" > "$row"
             echo DONE ;;
        *) echo NONE ;;
    esac
done
"""
_CONFIGURATION = """
rwcommunity {write} 127.0.0.1 .1.3.6.1.2.1.105
rocommunity {read} 127.0.0.1 .1.3.6.1.2.1.105
createUser {user} SHA-256 "{auth}" AES "{privacy}"
rwuser {user} priv .1.3.6.1.2.1.105
pass_persist .1.3.6.1.2.1.105.1.1.1 {program}
"""


class Switch:
    """The switch; its ports 1 and 2 are off at first."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        self.port = port
        self.daemon: Daemon

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def is_on(self, port: int) -> bool:
        return (self.folder / f"3.1.{port}").read_text().strip() == "1"

    def switch(self, port: int, on: bool) -> None:
        """Switch a port by the console."""
        (self.folder / f"3.1.{port}").write_text("1\n" if on else "2\n")

    def detect(self, port: int, status: int) -> None:
        """Let a port's detection status be one of RFC 3621's (3: deliveringPower, 4: fault)."""
        (self.folder / f"6.1.{port}").write_text(f"{status}\n")

    def stick(self) -> None:
        """Say yes to orders and carry none out."""
        (self.folder / "stuck").touch()

    def orders(self) -> list[str]:
        """Return what was set, in order: `3.1.PORT VALUE`."""
        path = self.folder / "orders"
        return path.read_text().splitlines() if path.exists() else []


@contextmanager
def poe_switch(folder: Path) -> Iterator[Switch]:
    """Start a switch; it answers when this returns."""
    need_programs("snmpd", "snmpget", "snmpset")
    folder.mkdir(parents=True, exist_ok=True)
    started = Switch(folder, free_udp_port())
    for port in (1, 2):
        started.switch(port, on=False)
        started.detect(port, 3)
    program, configuration = folder / "table", folder / "snmpd.conf"
    program.write_text(_TABLE.format(folder=folder))
    program.chmod(0o755)
    configuration.write_text(
        _CONFIGURATION.format(
            write=COMMUNITY,
            read=READ_COMMUNITY,
            user=USER,
            auth=AUTH_PASSWORD,
            privacy=PRIVACY_PASSWORD,
            program=program,
        )
    )
    argv: list[str | Path] = [
        "snmpd",
        "-f",
        "-Lo",
        "-C",
        "-c",
        configuration,
        "-p",
        folder / "pid",
        "-I",
        "-smux",
        "-r",
    ]
    env = {"SNMP_PERSISTENT_DIR": str(folder / "persistent"), "SNMPCONFPATH": str(folder)}
    with daemon([*argv, f"udp:{started.address}"], folder, env) as started.daemon:
        started.daemon.wait_for(lambda: _answers(started))
        yield started


def _answers(switch: Switch) -> bool:
    argv = ["snmpget", "-v2c", "-c", READ_COMMUNITY, "-m", "", "-t", "0.5", "-r", "0", switch.address]
    env = {**os.environ, "SNMP_PERSISTENT_DIR": str(switch.folder / "asker"), "SNMPCONFPATH": str(switch.folder)}
    done = subprocess.run(
        [*argv, "1.3.6.1.2.1.105.1.1.1.3.1.1"], env=env, capture_output=True, text=True, timeout=20, check=False
    )
    return "INTEGER: 2" in done.stdout
