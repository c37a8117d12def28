"""The processes of a rig: known by a variable of their environment, so that none is lost, not even after a kill -9."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.rigs.process import wait_until

__all__ = ["Processes", "end_stale", "listening", "memory_bytes", "rig_ids"]

_MARK = "IM_CLUES_RIG"  # its value: the owner's process id, when the owner began, the rig's folder
_GRACE_S = 10


class Processes:
    """What one rig has started."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        owner = os.getpid()
        self._mark = f"{owner}:{_began(owner)}:{folder}"
        self._env = {**env, _MARK: self._mark}
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, argv: Sequence[str | Path], env: Mapping[str, str] | None = None) -> None:
        """Start a daemon; it stays in the foreground, and writes to a log of its name."""
        with (self._folder / "log" / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                env={**self._env, **(env or {})},
                start_new_session=True,
            )

    def run(self, name: str, *argvs: Sequence[str | Path], within_s: float = 240) -> None:
        """Run commands one after the other, each to its end."""
        path = self._folder / "log" / f"{name}.log"
        with path.open("ab") as log:
            for argv in argvs:
                done = subprocess.run(
                    [str(word) for word in argv],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=self._folder,
                    env=self._env,
                    timeout=within_s,
                    check=False,
                )
                assert done.returncode == 0, f"{argv}: status {done.returncode}:\n{self.said(name)}"

    def said(self, name: str) -> str:
        """Return the end of a log."""
        return (self._folder / "log" / f"{name}.log").read_text(errors="replace")[-3000:]

    def wait_for(self, name: str, answers: Callable[[], bool], within_s: float = 120) -> None:
        """Wait until a daemon answers; tell what it said where it ends instead."""

        def ready() -> bool:
            status = self._running[name].poll()
            assert status is None, f"{name} ended with status {status}:\n{self.said(name)}"
            return answers()

        wait_until(ready, f"{name} answers", within_s, lambda: self.said(name))

    def stop(self, name: str) -> None:
        """Stop one daemon, as if that service were down."""
        _end({self._running.pop(name).pid})

    def ids(self) -> set[int]:
        """Return all processes of this rig, with those that they have started."""
        return {pid for pid, mark in _marked().items() if mark == self._mark}

    def end(self, *last: str) -> None:
        """End all, those named `last` after the others, and whatever they left behind."""
        for names in (self._running.keys() - set(last), set(last)):
            _end({self._running[name].pid for name in names & self._running.keys()})
        for process in self._running.values():
            process.wait(_GRACE_S)
        self._running.clear()
        _end(self.ids())


def end_stale() -> list[Path]:
    """End the processes of rigs whose owner is gone, and return the folders of those rigs."""
    stale: dict[int, Path] = {}
    for pid, mark in _marked().items():
        owner, began, folder = mark.split(":", 2)
        if _began(int(owner)) != began:
            stale[pid] = Path(folder)
    _end(set(stale))
    return sorted(set(stale.values()))


def memory_bytes(pids: set[int]) -> int:
    """Return the memory of processes; what they share is counted once (Pss)."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def rig_ids(folder: Path) -> set[int]:
    """Return the processes of the rig in a folder, whoever owns it."""
    return {pid for pid, mark in _marked().items() if mark.split(":", 2)[2] == str(folder)}


def listening(pids: set[int]) -> set[tuple[str, int]]:
    """Return the addresses and ports at which processes wait for connections."""
    sockets = set()
    for path in (path for pid in pids for path in Path("/proc").glob(f"{pid}/fd/*")):
        with suppress(OSError):  # closed since
            sockets.add(os.readlink(path))
    found = set()
    for family, file in ((socket.AF_INET, "tcp"), (socket.AF_INET6, "tcp6")):
        for line in Path(f"/proc/net/{file}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and f"socket:[{fields[9]}]" in sockets:  # 0A is LISTEN
                number, _, port = fields[1].partition(":")
                words = [bytes.fromhex(number)[at : at + 4][::-1] for at in range(0, len(number) // 2, 4)]
                found.add((socket.inet_ntop(family, b"".join(words)), int(port, 16)))
    return found


def _marked() -> dict[int, str]:
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            for item in (entry / "environ").read_bytes().split(b"\0"):
                if item.startswith(f"{_MARK}=".encode()) and _began(int(entry.name)):
                    found[int(entry.name)] = os.fsdecode(item.partition(b"=")[2])
    return found


def _began(pid: int) -> str:
    """Return when a process began, in ticks since the computer did; nothing for one that has ended."""
    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]  # proc(5): state is the 3rd, starttime the 22nd
    return ""


def _end(pids: set[int]) -> None:
    before = {pid: _began(pid) for pid in pids}
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid, began in before.items():
            if began and _began(pid) == began:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        deadline = time.monotonic() + _GRACE_S
        while any(began and _began(pid) == began for pid, began in before.items()):
            if time.monotonic() > deadline:
                break
            time.sleep(0.05)
        else:
            return
