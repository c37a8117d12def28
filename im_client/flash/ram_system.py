"""What runs on a machine that is to leave its own disk: sent there as text, it needs Python 3.9 and systemd.

At the end of a shutdown systemd makes /run/initramfs the root and runs `shutdown` in it, if there is one
(bootup(7); systemd.io, "The initrd Interface"). Here it is a tmpfs with ssh,
Python and a script that lets nobody in but who may come in now, and restarts the machine after ten minutes without use.
Everything is tried in place before the restart; what fails there changes nothing.
"""
# ruff: noqa: PTH103, PTH108, PTH112, PTH114, PTH115, PTH116, PTH118, PTH119, PTH120, PTH123, S602, S603, S607 - no more modules

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import glob
import hashlib
import json
import os
import pwd
import re
import shlex
import shutil
import signal
import stat
import struct
import subprocess
import sys
from typing import Any

__all__ = ["IDLE_S", "MODULES", "enough", "init_script", "libraries", "main", "network_script"]

ROOT = "/run/initramfs"
OWN = "/im-flash"
"""Folder of ours in there: token, settings of sshd, what is to be done."""
IDLE_S = 600
SLACK = 32 << 20
"""Bytes for what Python compiles and sshd writes."""
SPARE = 96 << 20
"""Bytes that its programs need."""
MODULES = (contextlib, ctypes, errno, fcntl, hashlib, json, os, re, signal, stat, struct)
"""What the receiver and the restart import."""
PROGRAMS = ("sh", "sshd", "ip", "mount", "umount", "mkdir", "sleep", "head")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
EMPTY = (
    "/run/sshd",
    "/var/empty/sshd",
    "/usr/share/empty.sshd",
    "/var/empty",
    "/root",
    "/tmp",
    "/proc",
    "/sys",
    "/dev",
)
"""Folders; sshd is built with one of the first four as its empty one."""
RIVALS = ("finalrd.service", "dracut-shutdown.service")
"""They fill /run/initramfs when they are stopped."""


class Refused(Exception):
    """It stays as it is. The message says why."""


def tell(**words: Any) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def read_text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().replace("\0", "").strip()
    except OSError:
        return ""


def said(*argv: str) -> str:
    """Return what a program prints."""
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False, env={"PATH": PATH})
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{argv[0]}: {error}") from error
    if done.returncode:
        why = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise Refused(f"{' '.join(argv[:4])}: {why[-1]}")
    return done.stdout


def libraries(text: str) -> set[str]:
    """Return the files that ldd(1) names."""
    if lost := re.search(r"^\s*(\S+) => not found", text, re.MULTILINE):
        raise Refused(f"the library {lost[1]} is not found")
    return set(re.findall(r"(?:=> |^\s*)(/\S+) \(0x", text, re.MULTILINE))


def enough(meminfo: str, need: int) -> str:
    """Return why memory is not enough, or ""."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    free = int(found[1]) * 1024 if found else 0
    if free >= need + SPARE:
        return ""
    return f"its memory is too small: {(need + SPARE) >> 20} MiB are needed, {free >> 20} MiB are free"


def network_script(name: str, addresses: list[dict[str, Any]], routes: list[dict[str, Any]]) -> list[str]:
    """Return the commands that give a network card what it has now: `addr_info` and routes as `ip -json` prints them."""
    quoted = shlex.quote(name)
    lines = [f"ip link set dev {quoted} up"]
    for one in addresses:
        words = ["ip", "address", "replace", f"{one.get('address', one['local'])}/{one['prefixlen']}"]
        if "address" in one:  # of the other end
            words[3:] = [one["local"], "peer", words[3]]
        words += ["broadcast", one["broadcast"]] if "broadcast" in one else []
        words += ["nodad"] if one["family"] == "inet6" else []
        lines.append(" ".join([*map(shlex.quote, words), "dev", quoted]))
    far = [one for one in routes if one.get("protocol") != "kernel" and one.get("type", "unicast") == "unicast"]
    for one in sorted(far, key=lambda one: "gateway" in one or "via" in one):  # gateways are reached by the others
        via = one.get("via", {"family": "", "host": one.get("gateway", "")})
        words = ["ip", "-6"] if ":" in one["dst"] + one.get("gateway", "") else ["ip"]
        words += ["route", "replace", one["dst"]]
        words += ["via", *filter(None, [via["family"], via["host"]])] if via["host"] else []
        words += ["dev", name]
        words += ["src", one["prefsrc"]] if "prefsrc" in one else []
        words += ["metric", str(one["metric"])] if "metric" in one else []
        words += ["onlink"] if "onlink" in one.get("flags", []) else []
        lines.append(" ".join(map(shlex.quote, words)))
    return lines


def init_script(*, python: str, sshd: str, disk: str, mark: str, network: list[str]) -> str:
    """Return the program that is the machine's first one: ssh until it is told to restart, or is left alone.

    With a disk that begins with the mark of an unfinished one it waits for ever: nothing else would boot.
    """
    restart = "import ctypes, os; os.sync(); ctypes.CDLL(None).reboot(0x01234567)"  # reboot(2)
    begin = f'"$(head -c {len(mark)} {shlex.quote(disk)} 2>/dev/null)"'
    cards = "\n".join(f"{line} || say 'failed: {line}'" for line in network)
    return f"""#!/bin/sh
export PATH={PATH}
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
{cards}
left={IDLE_S} server=none
while [ ! -e {OWN}/restart ] && [ $left -gt 0 ]; do
  if [ ! -d "/proc/$server" ]; then
    {sshd} -D -e -f {OWN}/sshd_config >/dev/kmsg 2>&1 &
    server=$!
  fi
  session=none
  [ -e {OWN}/session ] && read -r session <{OWN}/session
  if [ -d "/proc/$session" ] || [ {begin} = {shlex.quote(mark)} ]; then left={IDLE_S}; else left=$((left - 1)); fi
  sleep 1
done
say "it restarts"
sleep 1
{python} -c '{restart}'
echo b >/proc/sysrq-trigger
"""


class Wire:
    """How the one who asks comes in."""

    def __init__(self, connection: str) -> None:
        words = connection.split()
        if len(words) != 4:
            raise Refused("it does not say how it is reached (SSH_CONNECTION)")
        self.peer, _, address, self.port = words
        address = re.sub(r"^::ffff:(?=\d+\.)", "", address.partition("%")[0])
        cards = json.loads(said("ip", "-json", "address", "show"))
        held = [one for one in cards if any(a.get("local") == address for a in one["addr_info"])]
        if not held:
            raise Refused(f"no network card has the address {address}")
        self.name, self.addresses = held[0]["ifname"], held[0]["addr_info"]
        folder = f"/sys/class/net/{self.name}"
        if os.path.exists(f"{folder}/wireless") or os.path.exists(f"{folder}/phy80211"):
            raise Refused(
                f"it is reached by wifi ({self.name}): plug a cable in, and use the address that it has there"
            )
        if not os.path.exists(f"{folder}/device"):
            raise Refused(f"it is reached through {self.name}, which is no network card")

    def script(self) -> list[str]:
        routes = [
            json.loads(said("ip", "-json", family, "route", "show", "dev", self.name) or "[]")
            for family in ("-4", "-6")
        ]
        return network_script(self.name, self.addresses, [*routes[0], *routes[1]])


class Door:
    """Its sshd: the keys that it shows, and those that open it."""

    def __init__(self, user: str, peer: str) -> None:
        self.user = user
        home = pwd.getpwnam(user)
        self.settings: dict[str, list[str]] = {}
        for line in said("sshd", "-T", "-C", f"user={user},host={peer},addr={peer}").splitlines():
            word, _, value = line.partition(" ")
            self.settings.setdefault(word, []).append(value)
        self.host_keys = [path for path in self.settings.get("hostkey", []) if os.path.isfile(path)]
        if not self.host_keys:
            raise Refused("its sshd has no host key in a file")
        self.keys = ""
        for pattern in " ".join(self.settings.get("authorizedkeysfile", [])).split():
            words = {"%%": "%", "%h": home.pw_dir, "%u": user, "%U": str(home.pw_uid)}
            path = re.sub("%.", lambda found: words.get(found[0], found[0]), pattern)  # noqa: B023 - used at once
            self.keys += read_text(os.path.join(home.pw_dir, path)) + "\n"
        if not self.keys.strip():
            raise Refused(f"{user} has no key in a file (authorized_keys)")

    def config(self, port: str) -> str:
        keys = "".join(f"HostKey {OWN}/{os.path.basename(path)}\n" for path in self.host_keys)
        return f"""Port {port}
{keys}AuthorizedKeysFile {OWN}/authorized_keys
AllowUsers {self.user}
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


def held_by_volumes(disk: str) -> bool:
    """Whether LVM, RAID or an encrypted volume stands on a disk or on a part of it."""
    folder = os.path.realpath(f"/sys/class/block/{os.path.basename(os.path.realpath(disk))}")
    return any(glob.glob(f"{folder}/{place}/*") for place in ("holders", "*/holders"))


class Rooms:
    """Which files the memory must hold, by the paths that they have here."""

    def __init__(self) -> None:
        self.python = os.path.realpath(sys.executable)
        found = {name: shutil.which(name, path=PATH) for name in PROGRAMS}
        if missing := [name for name, path in found.items() if path is None]:
            raise Refused(f"it has no {', '.join(missing)}")
        self.programs = {name: str(path) for name, path in found.items()}
        places = ("/usr/lib/openssh", "/usr/lib/ssh", "/usr/libexec/openssh", "/usr/libexec")
        parts = [f"{place}/{name}" for place in places for name in ("sshd-session", "sshd-auth")]
        files = {self.python, *self.programs.values(), *filter(os.path.exists, parts)}
        library = os.path.dirname(os.path.realpath(os.__file__))
        base = {getattr(module, "__file__", None) or "" for module in list(sys.modules.values())}
        kept = {path for path in base if os.path.realpath(path).startswith(f"{library}/") and os.path.isfile(path)}
        kept |= {path for name in ("ascii", "latin_1") if os.path.isfile(path := f"{library}/encodings/{name}.py")}
        self.files = files | kept
        linked = sorted(files | {path for path in kept if path.endswith(".so")})
        for path in linked:
            self.files |= libraries(self._ldd(path))
        beside = {os.path.dirname(path) for path in self.files if re.search(r"/libc\.so\.6$", path)}
        extra = (f"{place}/{name}" for place in beside for name in ("libnss_files.so.2", "libgcc_s.so.1"))
        self.files |= {path for path in (*extra, "/etc/ld.so.cache") if os.path.isfile(path)}

    @staticmethod
    def _ldd(path: str) -> str:
        done = subprocess.run(["ldd", path], capture_output=True, text=True, timeout=60, check=False)
        return done.stdout  # a program without libraries: status 1

    @property
    def need(self) -> int:
        return SLACK + sum(-(-os.stat(path).st_size // 4096) * 4096 for path in self.files)

    def copy(self) -> None:
        for name in ("bin", "sbin", "lib", "lib32", "lib64"):
            if os.path.islink(f"/{name}"):
                inside = os.path.realpath(f"/{name}").lstrip("/")
                os.makedirs(f"{ROOT}/{inside}", exist_ok=True)
                os.symlink(inside, f"{ROOT}/{name}")
        for path in sorted(self.files):
            os.makedirs(os.path.dirname(ROOT + path), exist_ok=True)
            if not os.path.exists(ROOT + path):
                shutil.copy(path, ROOT + path)


def put(path: str, text: str, mode: int = 0o644) -> None:
    place = f"{ROOT}{path}"
    os.makedirs(os.path.dirname(place), exist_ok=True)
    if os.path.lexists(place):
        os.unlink(place)
    with open(os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)


class Plan:
    """All that is known before anything is done. Raises Refused."""

    def __init__(self, order: dict[str, Any]) -> None:
        if os.geteuid() != 0:
            raise Refused("this account is not root there")
        if not os.path.isdir("/run/systemd/system") or os.path.exists("/run/systemd/container"):
            raise Refused("systemd does not start and stop it, or it is a container")
        if held_by_volumes(order["disk"]):
            raise Refused("LVM, RAID or an encrypted volume holds its disk")
        if os.path.ismount(ROOT) and not os.path.exists(f"{ROOT}{OWN}/token"):
            raise Refused(f"something is mounted at {ROOT}")
        self.order = order
        self.wire = Wire(sys.argv[1] if len(sys.argv) > 1 else "")
        self.door = Door(order["user"], self.wire.peer)
        self.rooms = Rooms()
        self.need = self.rooms.need
        if why := enough(read_text("/proc/meminfo"), self.need):
            raise Refused(why)

    def build(self) -> None:
        while os.path.ismount(ROOT):
            said("umount", ROOT)  # of an earlier try
        os.makedirs(ROOT, exist_ok=True)
        said("mount", "-t", "tmpfs", "-o", f"mode=0755,nosuid,size={self.need}", "im-flash", ROOT)
        for folder in EMPTY:
            os.makedirs(ROOT + folder, exist_ok=True)
        for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9), ("kmsg", 11)):
            os.mknod(f"{ROOT}/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(1, minor))
        self.rooms.copy()
        python, user = self.order["python"], self.door.user
        if not os.path.lexists(ROOT + python):
            os.makedirs(os.path.dirname(ROOT + python), exist_ok=True)
            os.symlink(self.rooms.python, ROOT + python)
        shell = f"{OWN}/login"
        names = dict.fromkeys(("root", user))
        put("/etc/passwd", "".join(f"{name}:*:0:0::/root:{shell}\n" for name in names) + "sshd:*:74:74::/run/sshd:/\n")
        put("/etc/group", "root:x:0:\nsshd:x:74:\n")
        put("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\n")
        put(shell, f'#!/bin/sh\necho $$ >{OWN}/session\nexec /bin/sh "$@"\n', 0o755)
        # it answers to the words that are said to the machine itself
        put("/usr/bin/sudo", '#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n', 0o755)
        put("/usr/bin/systemctl", f"#!/bin/sh\n: >{OWN}/restart\n", 0o755)
        put(f"{OWN}/token", self.order["token"])
        put(f"{OWN}/authorized_keys", self.door.keys, 0o600)
        put(f"{OWN}/sshd_config", self.door.config(self.wire.port), 0o600)
        for path in self.door.host_keys:
            with open(path, encoding="utf-8") as file:
                put(f"{OWN}/{os.path.basename(path)}", file.read(), 0o600)
        script = init_script(
            python=self.rooms.python,
            sshd=self.rooms.programs["sshd"],
            disk=self.order["disk"],
            mark=self.order["mark"],
            network=self.wire.script(),
        )
        put("/shutdown", script, 0o755)

    def try_out(self) -> None:
        """Run in there, by chroot(8), what will be needed."""
        programs = self.rooms.programs
        names = ", ".join(module.__name__ for module in MODULES)
        said("chroot", ROOT, self.order["python"], "-c", f"import {names}; hashlib.sha256(b'')")
        said("chroot", ROOT, programs["sshd"], "-t", "-f", f"{OWN}/sshd_config")
        said("chroot", ROOT, f"{OWN}/login", "-n", "/shutdown")
        os.unlink(f"{ROOT}{OWN}/session")
        for name, option in (("ip", "-V"), ("mount", "-V"), ("umount", "-V"), ("sleep", "0")):
            said("chroot", ROOT, programs[name], option)
        said("chroot", ROOT, programs["mkdir"], "-p", "/tmp")
        said("chroot", ROOT, programs["head"], "-c", "0", "/dev/null")

    def drop_in(self, unit: str) -> str:
        return f"/run/systemd/system/{unit}.d/im-flash.conf"

    def silence_rivals(self) -> None:
        for unit in RIVALS:
            os.makedirs(os.path.dirname(self.drop_in(unit)), exist_ok=True)
            with open(self.drop_in(unit), "w", encoding="utf-8") as file:
                file.write("[Service]\nExecStop=\n")
        said("systemctl", "daemon-reload")

    def undo(self) -> None:
        for unit in RIVALS:
            with contextlib.suppress(OSError):
                os.unlink(self.drop_in(unit))
                os.rmdir(os.path.dirname(self.drop_in(unit)))
        for argv in (["umount", ROOT], ["systemctl", "daemon-reload"]):
            with contextlib.suppress(Refused):
                said(*argv)

    def go(self) -> None:
        is_going = False
        try:
            self.build()
            self.try_out()
            self.silence_rivals()
            tell(going=1)
            said("systemctl", "reboot")
            is_going = True
        finally:
            if not is_going:
                self.undo()


def main() -> None:
    signal.alarm(120)
    order = json.loads(sys.stdin.buffer.readline())
    try:
        if order["do"] == "state":
            tell(token=read_text(f"{OWN}/token"), boot=read_text("/proc/sys/kernel/random/boot_id"))
            return
        plan = Plan(order)
        if order["do"] == "check":
            tell(need=plan.need, card=plan.wire.name)
            return
        signal.alarm(0)
        plan.go()
    except (Refused, OSError) as error:
        tell(error="refused", message=str(error))


if __name__ == "__main__":
    main()
