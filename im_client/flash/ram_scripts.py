"""What stands in the memory of a machine that leaves its own disk: its first program, its sshd, its accounts. Pure."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["IDLE_S", "OWN", "RamFacts", "init_script", "network_script", "ram_files"]

OWN: Final = "/im-flash"
"""Folder of ours in there; `ram_system.py` knows it too."""
IDLE_S: Final = 600
"""How long it waits, unused, before its own system is started again."""
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"
_RESTART: Final = "import ctypes, os; os.sync(); ctypes.CDLL(None).reboot(0x01234567)"
"""reboot(2): LINUX_REBOOT_CMD_RESTART."""


@dataclass(frozen=True, slots=True)
class RamFacts:
    """What a machine says of itself before it leaves its disk."""

    card: str
    """The network card that it is reached by."""
    addresses: Sequence[Mapping[str, Any]]
    """Its `addr_info`, as `ip -json address` prints it."""
    routes: Sequence[Mapping[str, Any]]
    """As `ip -json route` prints them."""
    port: int
    """Of sshd."""
    host_keys: Sequence[str]
    """The names that its host keys have in `OWN`."""
    user: str
    sshd: str
    python: str
    """Where these programs are."""


def network_script(card: str, addresses: Sequence[Mapping[str, Any]], routes: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the commands that give a network card what it has now."""
    commands = [["ip", "link", "set", "dev", card, "up"]]
    for one in addresses:
        own = f"{one['local']}/{one['prefixlen']}"
        if "address" in one:  # that of the other end
            own = f"{one['local']} peer {one['address']}/{one['prefixlen']}"
        words = ["ip", "address", "replace", *own.split(), "dev", card]
        words += ["broadcast", one["broadcast"]] if "broadcast" in one else []
        words += ["nodad"] if one["family"] == "inet6" else []
        commands.append(words)
    far = [one for one in routes if one.get("protocol") != "kernel" and one.get("type", "unicast") == "unicast"]
    far.sort(key=lambda one: "gateway" in one or "via" in one)  # gateways are reached by the others
    commands += [_route(card, one) for one in far]
    return [shlex.join(words) for words in commands]


def _route(card: str, route: Mapping[str, Any]) -> list[str]:
    words = ["ip", "-6"] if ":" in route["dst"] + route.get("gateway", "") else ["ip"]
    words += ["route", "replace", route["dst"]]
    if "gateway" in route:
        words += ["via", route["gateway"]]
    if "via" in route:
        words += ["via", route["via"]["family"], route["via"]["host"]]
    words += ["dev", card]
    words += ["src", route["prefsrc"]] if "prefsrc" in route else []
    words += ["metric", str(route["metric"])] if "metric" in route else []
    words += ["onlink"] if "onlink" in route.get("flags", []) else []
    return words


def init_script(facts: RamFacts, *, disk: str, mark: str) -> str:
    """Return the first program: ssh until it is told to restart, or is left alone.

    With a disk that begins with `mark`, an unfinished one, it waits for ever: nothing else would boot.
    """
    network = "\n".join(
        f"{command} || say {shlex.quote('failed: ' + command)}"
        for command in network_script(facts.card, facts.addresses, facts.routes)
    )
    begin = f'"$(head -c {len(mark)} {shlex.quote(disk)} 2>/dev/null)"'
    return f"""#!/bin/sh
export PATH={_PATH}
say() {{ echo "im flash: $*" >/dev/kmsg; }}
[ -d /proc/1 ] || mount -t proc proc /proc
[ -d /sys/class ] || mount -t sysfs sysfs /sys
[ -e /dev/ptmx ] || mount -t devtmpfs devtmpfs /dev
echo 10 >/proc/sys/kernel/panic
say "this machine runs from its memory"
for dog in /sys/class/watchdog/watchdog*; do
  [ "$(head -n 1 "$dog/state" 2>/dev/null)" = active ] || continue
  (while echo .; do sleep 1; done) >"/dev/${{dog##*/}}" &
done
tries=0
while [ -d /oldroot/usr ] && [ $tries -lt 30 ]; do
  umount -R /oldroot 2>/dev/null || sleep 1
  tries=$((tries + 1))
done
[ -d /oldroot/usr ] && say "its disk cannot be let go"
mkdir -p /run/sshd
{network}
left={IDLE_S} server=none
while [ ! -e {OWN}/restart ] && [ $left -gt 0 ]; do
  if [ ! -d "/proc/$server" ]; then
    {shlex.quote(facts.sshd)} -D -e -f {OWN}/sshd_config >/dev/kmsg 2>&1 &
    server=$!
  fi
  session=none
  [ -e {OWN}/session ] && read -r session <{OWN}/session
  if [ -d "/proc/$session" ] || [ {begin} = {shlex.quote(mark)} ]; then left={IDLE_S}; else left=$((left - 1)); fi
  sleep 1
done
say "it restarts"
sleep 1
{shlex.quote(facts.python)} -c '{_RESTART}'
echo b >/proc/sysrq-trigger
"""


def _sshd_config(facts: RamFacts) -> str:
    keys = "".join(f"HostKey {OWN}/{name}\n" for name in facts.host_keys)
    return f"""Port {facts.port}
{keys}AuthorizedKeysFile {OWN}/authorized_keys
AllowUsers {facts.user}
PermitRootLogin prohibit-password
AuthenticationMethods publickey
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
UseDNS no
StrictModes no
AllowTcpForwarding no
X11Forwarding no
PidFile none
LoginGraceTime 60
ClientAliveInterval 15
ClientAliveCountMax 8
"""


def ram_files(facts: RamFacts, *, token: str, disk: str, mark: str) -> dict[str, str]:
    """Return path -> text; all may be executed. Keys are not among them: they never leave the machine.

    The account is there under its own name and is root. `sudo` and `systemctl reboot` are understood, so that the
    machine is spoken to as before.
    """
    shell = f"{OWN}/login"
    names = dict.fromkeys(("root", facts.user))
    accounts = "".join(f"{name}:*:0:0::/root:{shell}\n" for name in names)
    return {
        "/shutdown": init_script(facts, disk=disk, mark=mark),
        "/etc/passwd": f"{accounts}sshd:*:74:74::/run/sshd:/\n",
        "/etc/group": "root:x:0:\nsshd:x:74:\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\n",
        "/usr/bin/sudo": '#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n',
        "/usr/bin/systemctl": f"#!/bin/sh\n: >{OWN}/restart\n",
        shell: f'#!/bin/sh\necho $$ >{OWN}/session\nexec /bin/sh "$@"\n',
        f"{OWN}/sshd_config": _sshd_config(facts),
        f"{OWN}/token": token,
    }
