"""Keep one systemd-nspawn machine running: `python -I supervisor.py JOB`, where JOB is a JSON file (see `Job`).

It runs in a session and a mount namespace of its own (`unshare --mount` starts it), so that the machine outlives
the command that made it, and so that its mounts vanish with it. It holds the lock `run.lock` of the machine's
folder all the time. SIGTERM: shut down cleanly, after the time limit by force. SIGUSR1: reboot.
Standard library only, and started by path: it stays small, and a changed installation does not disturb it.
"""

import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, TypedDict

REBOOT_STATUS = 133
"""systemd-nspawn(1), EXIT STATUS: the machine asked for a reboot."""
_SIGRTMIN_REBOOT = signal.SIGRTMIN + 5
"""systemd(1), SIGNALS: starts reboot.target."""
_PR_SET_PDEATHSIG = 1
_CGROUP = Path("/sys/fs/cgroup")


class Job(TypedDict):
    """What to run."""

    folder: str
    base: str
    durable: bool
    argv: list[str]
    env: dict[str, str]
    volumes: list[dict[str, str]]
    """`file` and `name`: mounted below the folder's `mounts/`."""
    unified: bool
    """Whether /sys/fs/cgroup is cgroup2 already; else it is mounted so in this mount namespace."""
    cgroups: list[str]
    """Absolute cgroup folders of version 1 that the machine joins; they limit it."""
    group: str
    """Path of the machine's group in the version 2 tree, without a leading slash."""
    stop_timeout_s: float


class Supervisor:
    """One machine, from the lock to the exit record."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.folder = Path(job["folder"])
        self.child: subprocess.Popen[bytes] | None = None
        self.stopping = False
        self.rebooting = False
        self.deadline: float | None = None
        self.console = os.open(self.folder / "console.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def run(self) -> int:
        """Run the machine until it powers off; returns systemd-nspawn's status."""
        for number, handler in ((signal.SIGTERM, self._stop), (signal.SIGUSR1, self._reboot)):
            signal.signal(number, handler)
        joins = [os.open(Path(folder) / "cgroup.procs", os.O_WRONLY) for folder in self.job["cgroups"]]
        self._mount()
        group = _CGROUP / self.job["group"]
        status = 0
        while not self.stopping:
            self._fresh_group(group)
            procs = os.open(group / "machine" / "cgroup.procs", os.O_WRONLY)
            self.rebooting = False
            self.deadline = None
            self.child = self._spawn([*joins, procs])
            os.close(procs)
            status = self._wait()
            self._say(f"systemd-nspawn ended with status {status}")
            if status != REBOOT_STATUS and not self.rebooting:
                break
        if self.stopping:
            status = 0
        _program("sync", "-f", str(self.folder))
        return status

    def _spawn(self, joins: list[int]) -> "subprocess.Popen[bytes]":
        libc = ctypes.CDLL(None, use_errno=True)

        def join() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            for fd in joins:
                os.write(fd, b"0")

        return subprocess.Popen(
            self.job["argv"],
            stdin=subprocess.DEVNULL,
            stdout=self.console,
            stderr=self.console,
            env={**os.environ, **self.job["env"]},
            preexec_fn=join,  # noqa: PLW1509 - this process has one thread
        )

    def _wait(self) -> int:
        child = self.child
        if child is None:
            return 0
        if self.stopping:
            child.terminate()
        while True:
            try:
                return child.wait(timeout=1.0)
            except subprocess.TimeoutExpired:
                if self.deadline is not None and time.monotonic() > self.deadline:
                    self._say("the time limit for shutting down is over: powered off")
                    child.kill()

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        self.stopping = True
        self.deadline = time.monotonic() + self.job["stop_timeout_s"]
        if self.child is not None and self.child.returncode is None:
            self.child.terminate()

    def _reboot(self, _number: int, _frame: FrameType | None) -> None:
        if self.child is None or self.child.returncode is not None or self.stopping:
            return
        self.rebooting = True
        self.deadline = time.monotonic() + self.job["stop_timeout_s"]
        leader = _children(self.child.pid)
        if leader:
            os.kill(leader[0], _SIGRTMIN_REBOOT)

    def _mount(self) -> None:
        if not self.job["unified"]:
            _program("umount", "--recursive", "--lazy", str(_CGROUP))  # files of it stay open: see run()
            _program("mount", "-t", "cgroup2", "cgroup2", str(_CGROUP))
        upper, work, root = (self.folder / name for name in ("upper", "work", "root"))
        layers = f"lowerdir={self.job['base']},upperdir={upper},workdir={work}"
        if self.job["durable"] or not _try("mount", "-t", "overlay", "overlay", "-o", f"{layers},volatile", str(root)):
            _program("mount", "-t", "overlay", "overlay", "-o", layers, str(root))
        for volume in self.job["volumes"]:
            place = self.folder / "mounts" / volume["name"]
            _program("mount", "-o", "loop", volume["file"], str(place))

    def _fresh_group(self, group: Path) -> None:
        """Remove what an earlier run left, and stand beside the machine's group, not in it.

        A group with processes of its own may not hand controllers to its children, which systemd wants to do.
        """
        for folder, _, _ in os.walk(group / "machine", topdown=False):
            Path(folder).rmdir()
        (group / "machine").mkdir(parents=True, exist_ok=True)
        (group / "host").mkdir(exist_ok=True)
        (group / "host" / "cgroup.procs").write_text("0", encoding="ascii")

    def _say(self, text: str) -> None:
        os.write(self.console, f"supervisor: {text}\n".encode())


def _children(pid: int) -> list[int]:
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except FileNotFoundError:
        return []
    return [int(word) for word in words]


def _try(*argv: str) -> bool:
    return subprocess.run(argv, check=False, capture_output=True, timeout=60).returncode == 0


def _program(*argv: str) -> None:
    done = subprocess.run(argv, check=False, capture_output=True, timeout=60)
    if done.returncode != 0:
        raise OSError(f"{' '.join(argv)}: {done.stderr.decode(errors='replace').strip()}")


def _record(folder: Path, outcome: dict[str, Any]) -> None:
    fresh = folder / ".exit.json.new"
    fresh.write_text(json.dumps(outcome), encoding="utf-8")
    fresh.replace(folder / "exit.json")


def main(path: str) -> int:
    """Take the machine's lock and supervise it. A second supervisor of the same machine leaves at once."""
    job: Job = json.loads(Path(path).read_text(encoding="utf-8"))
    folder = Path(job["folder"])
    lock = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    signal.alarm(10)
    fcntl.flock(lock, fcntl.LOCK_EX)
    signal.alarm(0)
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    (folder / "exit.json").unlink(missing_ok=True)
    supervisor = Supervisor(job)
    os.write(1, b"ready\n")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(supervisor.console, 2)
    try:
        status = supervisor.run()
        _record(
            folder, {"status": status, "fault": "" if status == 0 else f"systemd-nspawn ended with status {status}"}
        )
    except OSError as error:
        _record(folder, {"status": 1, "fault": str(error)})
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
