"""What runs on a machine that is to leave its own disk: sent there as text, it needs Python 3.9 and systemd.

At the end of a shutdown systemd makes /run/initramfs the root and runs `shutdown` there, if there is one (bootup(7);
systemd.io, "The initrd Interface"). Here it is a tmpfs with ssh, Python and what `ram_scripts.py` writes. All is tried
in place before the restart; where something fails, it is taken away again and the machine goes on as it was.
"""
# ruff: noqa: PTH103, PTH106, PTH108, PTH110, PTH112, PTH113, PTH114, PTH116, PTH118, PTH119 - no module more than needed
# ruff: noqa: PTH120, PTH123, PTH207, PTH211

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
import shutil
import signal
import stat
import struct
import subprocess
import sys
from typing import Any

__all__ = ["MODULES", "enough", "libraries", "main"]

ROOT = "/run/initramfs"
OWN = "/im-flash"
SLACK = 32 << 20
"""Bytes for what Python compiles and sshd writes."""
SPARE = 96 << 20
"""Bytes that the programs there use."""
LIMIT_S = 170
MODULES = (contextlib, ctypes, errno, fcntl, hashlib, json, os, re, signal, stat, struct)
"""What the receiver and the restart import."""
PROGRAMS = ("sh", "sshd", "ip", "mount", "umount", "mkdir", "sleep", "head")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
FOLDERS = ("/run/sshd", "/var/empty/sshd", "/usr/share/empty.sshd", "/root", "/proc", "/sys", "/dev")
"""sshd is built to have one of the first as its empty one."""
RIVALS = ("finalrd.service", "dracut-shutdown.service")
"""They fill /run/initramfs when they are stopped."""


class Refused(Exception):
    """The machine stays as it is. The message says why."""


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
        done = subprocess.run(argv, capture_output=True, text=True, timeout=90, check=False, env={"PATH": PATH})
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Refused(f"{argv[0]}: {error}") from error
    if done.returncode:
        why = (done.stderr or done.stdout).strip().splitlines() or [f"status {done.returncode}"]
        raise Refused(f"{' '.join(argv[:4])}: {why[-1]}")
    return done.stdout


def libraries(text: str) -> set[str]:
    """Return the files that ldd(1) names."""
    lost = re.search(r"^\s*(\S+) => not found", text, re.MULTILINE)
    if lost:
        raise Refused(f"the library {lost[1]} is not found")
    return set(re.findall(r"(?:=> |^\s*)(/\S+) \(0x", text, re.MULTILINE))


def enough(meminfo: str, need: int) -> str:
    """Return why memory is not enough for files of so many bytes, or ""."""
    found = re.search(r"^MemAvailable:\s+(\d+) kB", meminfo, re.MULTILINE)
    free = int(found[1]) * 1024 if found else 0
    if free >= need + SPARE:
        return ""
    return f"its memory is too small: {(need + SPARE) >> 20} MiB are needed, {free >> 20} MiB are free"


def wire(connection: str) -> dict[str, Any]:
    """Return the network card that the one who asks came in by, with all that it has."""
    words = connection.split()
    if len(words) != 4:
        raise Refused("it does not say how it is reached (SSH_CONNECTION)")
    address = re.sub(r"^::ffff:(?=\d+\.)", "", words[2].partition("%")[0])
    cards = json.loads(said("ip", "-json", "address", "show"))
    held = [one for one in cards if any(other.get("local") == address for other in one["addr_info"])]
    if not held:
        raise Refused(f"no network card has the address {address}")
    name = held[0]["ifname"]
    folder = f"/sys/class/net/{name}"
    if os.path.exists(f"{folder}/wireless") or os.path.exists(f"{folder}/phy80211"):
        raise Refused(f"it is reached by wifi ({name}): plug a cable in, and use the address that it has there")
    if not os.path.exists(f"{folder}/device"):
        raise Refused(f"it is reached through {name}, which is no network card")
    routes = [json.loads(said("ip", "-json", way, "route", "show", "dev", name) or "[]") for way in ("-4", "-6")]
    return {"card": name, "addresses": held[0]["addr_info"], "routes": routes[0] + routes[1], "port": int(words[3])}


class Door:
    """Its sshd: the keys that it shows, and those that open it."""

    def __init__(self, user: str, peer: str) -> None:
        account = pwd.getpwnam(user)
        settings: dict[str, list[str]] = {}
        for line in said("sshd", "-T", "-C", f"user={user},host={peer},addr={peer}").splitlines():
            word, _, value = line.partition(" ")
            settings.setdefault(word, []).append(value)
        self.host_keys = [path for path in settings.get("hostkey", []) if os.path.isfile(path)]
        if not self.host_keys:
            raise Refused("its sshd has no host key in a file")
        words = {"%%": "%", "%h": account.pw_dir, "%u": user, "%U": str(account.pw_uid)}
        self.keys = ""
        for pattern in " ".join(settings.get("authorizedkeysfile", [])).split():
            path = re.sub("%.", lambda found: words.get(found[0], found[0]), pattern)
            self.keys += read_text(os.path.join(account.pw_dir, path)) + "\n"
        if not self.keys.strip():
            raise Refused(f"{user} has no key in a file (authorized_keys)")

    def put(self) -> None:
        put(f"{OWN}/authorized_keys", self.keys, 0o600)
        for path in self.host_keys:
            with open(path, encoding="utf-8") as file:
                put(f"{OWN}/{os.path.basename(path)}", file.read(), 0o600)


def held_by_volumes(disk: str) -> bool:
    """Whether LVM, RAID or an encrypted volume stands on a disk or on a part of it."""
    folder = os.path.realpath(f"/sys/class/block/{os.path.basename(os.path.realpath(disk))}")
    return any(glob.glob(f"{folder}/{place}/*") for place in ("holders", "*/holders"))


class Rooms:
    """Which files the memory must hold, by the paths that they have here."""

    def __init__(self) -> None:
        self.python = os.path.realpath(sys.executable)
        found = {name: shutil.which(name, path=PATH) for name in PROGRAMS}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            raise Refused(f"it has no {', '.join(missing)}")
        self.programs = {name: str(path) for name, path in found.items()}
        places = ("/usr/lib/openssh", "/usr/lib/ssh", "/usr/libexec/openssh", "/usr/libexec")  # OpenSSH 9.8 and later
        parts = [f"{place}/{name}" for place in places for name in ("sshd-session", "sshd-auth")]
        runs = {self.python, *self.programs.values(), *filter(os.path.exists, parts)}
        library = os.path.dirname(os.path.realpath(os.__file__))
        loaded = [getattr(module, "__file__", None) or "" for module in list(sys.modules.values())]
        loaded += [f"{library}/encodings/{name}.py" for name in ("ascii", "latin_1")]
        modules = {path for path in loaded if os.path.realpath(path).startswith(f"{library}/")}
        modules = set(filter(os.path.isfile, modules))
        linked = sorted(runs | {path for path in modules if path.endswith(".so")})
        # without a check: it ends with 1 where one of them has no libraries
        done = subprocess.run(["ldd", *linked], capture_output=True, text=True, timeout=90, check=False)
        needed = libraries(done.stdout)
        beside = {os.path.dirname(path) for path in needed if path.endswith("/libc.so.6")}
        extra = [f"{place}/{name}" for place in beside for name in ("libnss_files.so.2", "libgcc_s.so.1")]
        self.files = runs | modules | needed | set(filter(os.path.isfile, [*extra, "/etc/ld.so.cache"]))

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


def put(path: str, text: str, mode: int = 0o755) -> None:
    place = f"{ROOT}{path}"
    os.makedirs(os.path.dirname(place), exist_ok=True)
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
        connection = sys.argv[1] if len(sys.argv) > 1 else ""
        self.wire = wire(connection)
        self.door = Door(order["user"], connection.split()[0].partition("%")[0])
        self.rooms = Rooms()
        self.need = self.rooms.need
        why = enough(read_text("/proc/meminfo"), self.need)
        if why:
            raise Refused(why)

    def facts(self) -> dict[str, Any]:
        names = [os.path.basename(path) for path in self.door.host_keys]
        return {**self.wire, "host_keys": names, "sshd": self.rooms.programs["sshd"], "python": self.rooms.python}

    def build(self, python: str, files: dict[str, str]) -> None:
        while os.path.ismount(ROOT):
            said("umount", ROOT)  # of an earlier try
        os.makedirs(ROOT, exist_ok=True)
        said("mount", "-t", "tmpfs", "-o", f"mode=0755,nosuid,size={self.need}", "im-flash", ROOT)
        for folder in FOLDERS:
            os.makedirs(ROOT + folder, exist_ok=True)
        for name, minor in (("null", 3), ("zero", 5), ("random", 8), ("urandom", 9), ("kmsg", 11)):
            os.mknod(f"{ROOT}/dev/{name}", stat.S_IFCHR | 0o666, os.makedev(1, minor))
        self.rooms.copy()
        if not os.path.lexists(ROOT + python):
            os.makedirs(os.path.dirname(ROOT + python), exist_ok=True)
            os.symlink(self.rooms.python, ROOT + python)
        for path, text in files.items():
            put(path, text)
        self.door.put()

    def try_out(self, python: str) -> None:
        """Run in there, by chroot(8), what will be needed."""
        programs = self.rooms.programs
        names = ", ".join(module.__name__ for module in MODULES)
        said("chroot", ROOT, python, "-c", f"import {names}; hashlib.sha256(b''); ctypes.CDLL(None).reboot")
        said("chroot", ROOT, programs["sshd"], "-t", "-f", f"{OWN}/sshd_config")
        said("chroot", ROOT, f"{OWN}/login", "-n", "/shutdown")
        os.unlink(f"{ROOT}{OWN}/session")
        for name, option in (("ip", "-V"), ("mount", "-V"), ("umount", "-V"), ("sleep", "0"), ("mkdir", "/mnt")):
            said("chroot", ROOT, programs[name], option)
        said("chroot", ROOT, programs["head"], "-c", "0", "/dev/null")


def drop_in(unit: str) -> str:
    return f"/run/systemd/system/{unit}.d/im-flash.conf"


def silence_rivals() -> None:
    for unit in RIVALS:
        os.makedirs(os.path.dirname(drop_in(unit)), exist_ok=True)
        with open(drop_in(unit), "w", encoding="utf-8") as file:
            file.write("[Service]\nExecStop=\n")
    said("systemctl", "daemon-reload")


def undo() -> None:
    for unit in RIVALS:
        with contextlib.suppress(OSError):
            os.unlink(drop_in(unit))
            os.rmdir(os.path.dirname(drop_in(unit)))
    for argv in (["umount", ROOT], ["systemctl", "daemon-reload"]):
        with contextlib.suppress(Refused):
            said(*argv)


def go(plan: Plan, order: dict[str, Any]) -> None:
    is_going = False
    try:
        plan.build(order["python"], order["files"])
        plan.try_out(order["python"])
        silence_rivals()
        signal.alarm(0)
        tell(going=1)
        done = subprocess.run(["systemctl", "reboot"], capture_output=True, text=True, timeout=90, check=False)
        is_going = done.returncode <= 0  # below: it was ended by what it began
        if not is_going:
            raise Refused(f"systemctl reboot: {done.stderr.strip()}")
    finally:
        if not is_going:
            undo()


def main() -> None:
    signal.signal(signal.SIGALRM, lambda *_: sys.exit("it took too long"))
    signal.alarm(LIMIT_S)
    order = json.loads(sys.stdin.buffer.readline())
    try:
        if order["do"] == "state":
            tell(token=read_text(f"{OWN}/token"), boot=read_text("/proc/sys/kernel/random/boot_id"))
            return
        plan = Plan(order)
        if order["do"] == "check":
            tell(**plan.facts())
        else:
            go(plan, order)
    except (Refused, OSError, KeyError, ValueError) as error:
        tell(error="refused", message=str(error))


if __name__ == "__main__":
    main()
