"""Control groups of a machine: where they are on this computer, its limits, and what it leaves behind.

Linux has two versions (kernel documentation, `admin-guide/cgroup-v1/` and `admin-guide/cgroup-v2.rst`). A computer
may have both at once, with each controller on one of them; a limit is set where its controller is.
"""

import contextlib
import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from infracore.errors import CommandFailed, Misconfigured

__all__ = ["GroupTree", "find_groups"]

_PARENT: Final = "imclues"
_PERIOD_US: Final = 100_000
"""The kernel's default period of CPU bandwidth control."""
_V1_WANTED: Final = ("memory", "cpu", "cpuset", "pids", "freezer", "devices", "blkio")


@dataclass(frozen=True, slots=True)
class GroupTree:
    """The hierarchies of this computer as they are mounted."""

    unified: Path | None
    """Mount point of version 2; None where only version 1 is mounted."""
    v1: dict[str, Path]
    """Controller -> mount point, for those on version 1."""
    v2_controllers: frozenset[str]

    @property
    def is_pure(self) -> bool:
        """Whether /sys/fs/cgroup itself is version 2."""
        return self.unified == Path("/sys/fs/cgroup")

    def has(self, controller: str) -> bool:
        """Whether a controller is there on either version."""
        return controller in self.v1 or controller in self.v2_controllers

    def v1_folders(self, name: str) -> list[Path]:
        """Return the version 1 folders that a machine joins, each once."""
        mounts = dict.fromkeys(self.v1[c] for c in _V1_WANTED if c in self.v1 and c in ("memory", "cpu", "cpuset"))
        return [mount / _PARENT / name for mount in mounts]

    def group(self, name: str) -> str:
        """Return the machine's path in the version 2 tree."""
        return f"{_PARENT}/{name}"

    def make(self, name: str) -> None:
        """Make the machine's groups. May be repeated."""
        for folder in self.v1_folders(name):
            folder.mkdir(parents=True, exist_ok=True)
        if (mount := self.v1.get("cpuset")) is not None:
            for folder in (mount / _PARENT, mount / _PARENT / name):
                for file in ("cpuset.cpus", "cpuset.mems"):
                    if not (folder / file).read_text(encoding="ascii").strip():
                        (folder / file).write_text((folder.parent / file).read_text(encoding="ascii"))
        if self.unified is not None:
            folder = self.unified / _PARENT / name
            folder.mkdir(parents=True, exist_ok=True)
            wanted = " ".join(f"+{c}" for c in sorted(self.v2_controllers & {"cpu", "memory", "cpuset", "pids"}))
            if wanted:
                for above in (self.unified, self.unified / _PARENT, folder):
                    with contextlib.suppress(OSError):
                        (above / "cgroup.subtree_control").write_text(wanted, encoding="ascii")

    def limit(self, name: str, *, num_cpus: int | None, mem_bytes: int | None, offset: int = 0) -> None:
        """Set the limits of a machine, running or not; None lifts a limit.

        The machine sees no more CPUs than its own: they are picked from this computer's, `offset` on from the first.

        Raises:
            CommandFailed: the kernel refuses, for example memory below what is in use.
        """
        self.make(name)
        try:
            self._limit_memory(name, mem_bytes)
            self._limit_cpus(name, num_cpus, offset)
        except OSError as error:
            raise CommandFailed(
                f"cannot limit the machine {name}: {error}", "ask for more memory, or stop the machine first"
            ) from error

    def _limit_memory(self, name: str, mem_bytes: int | None) -> None:
        if (mount := self.v1.get("memory")) is not None:
            folder = mount / _PARENT / name
            value = str(mem_bytes if mem_bytes is not None else -1)
            files = [folder / "memory.limit_in_bytes", folder / "memory.memsw.limit_in_bytes"]
            # memory+swap may never be below memory: which goes first depends on the direction
            grows = mem_bytes is None or int(files[0].read_text(encoding="ascii")) < mem_bytes
            for file in reversed(files) if grows else files:
                if file.exists():
                    file.write_text(value, encoding="ascii")
        elif "memory" in self.v2_controllers and self.unified is not None:
            folder = self.unified / _PARENT / name
            _write(folder / "memory.max", "max" if mem_bytes is None else str(mem_bytes), mem_bytes is not None)
            _write(folder / "memory.swap.max", "max" if mem_bytes is None else "0", False)

    def _limit_cpus(self, name: str, num_cpus: int | None, offset: int) -> None:
        all_cpus = sorted(os.sched_getaffinity(0))
        few = num_cpus is not None and num_cpus < len(all_cpus)
        picked = [all_cpus[(offset + n) % len(all_cpus)] for n in range(num_cpus or 0)] if few else all_cpus
        cpus = ",".join(map(str, sorted(set(picked))))
        quota = num_cpus * _PERIOD_US if num_cpus is not None and few else None
        if (mount := self.v1.get("cpu")) is not None:
            (mount / _PARENT / name / "cpu.cfs_quota_us").write_text(str(quota or -1), encoding="ascii")
        elif "cpu" in self.v2_controllers and self.unified is not None:
            _write(self.unified / _PARENT / name / "cpu.max", f"{quota or 'max'} {_PERIOD_US}", quota is not None)
        if (mount := self.v1.get("cpuset")) is not None:
            (mount / _PARENT / name / "cpuset.cpus").write_text(cpus, encoding="ascii")
        elif "cpuset" in self.v2_controllers and self.unified is not None:
            _write(self.unified / _PARENT / name / "cpuset.cpus", cpus if few else "\n", False)

    def memory_bytes(self, name: str) -> int | None:
        """Return what a machine uses now, page cache included; None where nothing counts it."""
        if (mount := self.v1.get("memory")) is not None:
            file = mount / _PARENT / name / "memory.usage_in_bytes"
        elif self.unified is not None:
            file = self.unified / _PARENT / name / "memory.current"
        else:
            return None
        return int(file.read_text(encoding="ascii")) if file.exists() else None

    def folders(self, name: str) -> list[Path]:
        """Return every folder of a machine."""
        found = self.v1_folders(name)
        if self.unified is not None:
            found.append(self.unified / _PARENT / name)
        return found

    def kill(self, name: str) -> bool:
        """Kill what runs in a machine's groups; tell whether there was anything. To be repeated until False."""
        pids = set(self._processes(self.folders(name)))
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return bool(pids)

    @staticmethod
    def _processes(folders: Iterable[Path]) -> Iterable[int]:
        for top in folders:
            for folder, _, files in os.walk(top):
                if "cgroup.procs" in files:
                    with contextlib.suppress(OSError):
                        yield from map(int, Path(folder, "cgroup.procs").read_text(encoding="ascii").split())

    def remove(self, name: str) -> bool:
        """Remove a machine's groups and, with the last machine, their parent; tell whether all are gone."""
        for top in self.folders(name):
            for folder, _, _ in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()
            with contextlib.suppress(OSError):
                top.parent.rmdir()
        return not any(folder.exists() for folder in self.folders(name))


def _write(file: Path, value: str, is_needed: bool) -> None:
    """Write a limit; where the kernel does not offer the file, only a needed one is an error."""
    if is_needed or file.exists():
        file.write_text(value, encoding="ascii")


def find_groups(mountinfo: str | None = None) -> GroupTree:
    """Read the mounted hierarchies (format: proc(5), `/proc/pid/mountinfo`).

    Raises:
        Misconfigured: no control groups are mounted.
    """
    text = mountinfo if mountinfo is not None else Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    unified: Path | None = None
    v1: dict[str, Path] = {}
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        place = Path(left.split()[4])
        if kind == "cgroup2":
            unified = unified or place
        elif kind == "cgroup":
            for option in options.split(","):
                if option in _V1_WANTED:
                    v1.setdefault(option, place)
    if unified is None and not v1:
        raise Misconfigured("no control groups are mounted", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")
    controllers: frozenset[str] = frozenset()
    if unified is not None and (unified / "cgroup.controllers").exists():
        controllers = frozenset((unified / "cgroup.controllers").read_text(encoding="ascii").split())
    return GroupTree(unified, v1, controllers)
