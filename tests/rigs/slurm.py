"""A real Slurm on loopback: munged and slurmctld of its own, and a slurmd for each node that is on.

Debian's slurmd is built so that several run on one host (`slurmd -N NAME`). Nothing here needs root.
"""

import getpass
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.rigs.process import Daemon, daemon, wait_until

__all__ = ["SlurmRig", "slurm"]

_CONF = """\
ClusterName=loop
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SchedulerParameters=sched_interval=2,bf_interval=2
DefMemPerCPU=100
MinJobAge=300
MaxArraySize=1001
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/run/%n.pid
SlurmctldLogFile={folder}/slurmctld-own.log
SlurmdLogFile={folder}/run/%n.log
"""
_NODE = """
import os, pathlib, signal, subprocess, sys, time
word, folder, name = sys.argv[1], pathlib.Path(sys.argv[2]), sys.argv[3]
pid = folder / "run" / f"{name}.pid"
def alive():
    try:
        number = int(pid.read_text())
        return number if name in pathlib.Path(f"/proc/{number}/cmdline").read_text().split("\\0") else 0
    except (OSError, ValueError):
        return 0
with (folder / "orders").open("a") as orders:
    if word != "status":
        orders.write(f"{word} {name}\\n")
if word == "on" and not alive():
    conf = str(folder / "slurm.conf")
    # -b: as if the machine had just booted; a node that Slurm itself resumes must have. Slurm counts whole seconds, and
    # may take such a one for rebooted a second later, which it minds unless it returns every node to service
    booted = ["-b"] if "ReturnToService=2" in pathlib.Path(conf).read_text() else []
    subprocess.run(["slurmd", *booted, "-f", conf, "-N", name], stdin=subprocess.DEVNULL, check=True, timeout=30)
elif word == "off":
    if alive():
        os.kill(alive(), signal.SIGKILL if (folder / "cut").exists() else signal.SIGTERM)
    for _ in range(100):
        if not alive():
            break
        time.sleep(0.05)
elif word == "status":
    print("on" if alive() else "off")
"""


@dataclass
class SlurmRig:
    """One cluster. `program` is a power driver's: `on|off|status NODE`, kept in the file `orders`."""

    folder: Path
    nodes: tuple[str, ...]

    @property
    def conf(self) -> Path:
        return self.folder / "slurm.conf"

    @property
    def program(self) -> Sequence[str]:
        return [sys.executable, str(self.folder / "node.py")]

    def power(self, word: str) -> list[str]:
        """Return the words of the driver's command."""
        return [*self.program, word, str(self.folder), "{machine}"]

    def orders(self) -> list[str]:
        """Return what the driver was told, in order."""
        path = self.folder / "orders"
        return path.read_text().splitlines() if path.exists() else []

    def run(self, *words: str, check: bool = True) -> str:
        """Run one of Slurm's commands."""
        env = {**os.environ, "SLURM_CONF": str(self.conf), "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        done = subprocess.run(words, env=env, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0 or not check, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def submit(self, *words: str, script: str = "sleep 1") -> str:
        """Submit a job and return its id."""
        return self.run("sbatch", "--parsable", "-o", "/dev/null", *words, "--wrap", script)

    def jobs(self) -> dict[str, str]:
        """Return the state of each job that Slurm still knows."""
        lines = self.run("squeue", "-h", "-a", "-t", "all", "-o", "%i %T").splitlines()
        return {line.split()[0]: line.split()[1] for line in lines}

    def node(self, name: str) -> str:
        """Return the line of a node."""
        return self.run("scontrol", "-F", "-o", "show", "node", name)

    def states(self) -> dict[str, str]:
        """Return the state of each node."""
        lines = self.run("scontrol", "-F", "-o", "show", "node").splitlines()
        fields = [dict(word.split("=", 1) for word in line.split() if "=" in word) for line in lines]
        return {item["NodeName"]: item["State"] for item in fields}

    def switch(self, word: str, *names: str) -> None:
        """Turn nodes on or off behind everybody's back."""
        for name in names:
            subprocess.run([*self.program, word, str(self.folder), name], check=True, timeout=60, env=self.env())

    def env(self) -> dict[str, str]:
        return {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin", "SLURM_CONF": str(self.conf)}

    def on(self) -> set[str]:
        """Return the nodes whose slurmd runs."""
        return {name for name in self.nodes if _pid(self.folder / "run" / f"{name}.pid")}


@contextmanager
def slurm(
    folder: Path,
    count: int = 4,
    *,
    node: str = "CPUs=4 RealMemory=4000",
    state: str = "UNKNOWN",
    more: str = "ReturnToService=2",
    partitions: str = "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP",
) -> Iterator[SlurmRig]:
    """Run a Slurm with `count` declared nodes wn1, wn2 ..., all of them off."""
    for name in ("state", "spool", "munge", "run"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "munge").chmod(0o700)
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    ports = _free_ports(count + 1)
    host = socket.gethostname().partition(".")[0]
    lines = [_CONF.format(host=host, port=ports[0], user=getpass.getuser(), folder=folder), more]
    names = tuple(f"wn{number}" for number in range(1, count + 1))
    lines += [
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {node} State={state}"
        for name, port in zip(names, ports[1:], strict=True)
    ]
    (folder / "slurm.conf").write_text("\n".join([*lines, partitions, ""]))
    (folder / "node.py").write_text(_NODE)
    rig = SlurmRig(folder, names)
    with ExitStack() as stack:
        munged = stack.enter_context(_munged(folder))
        munged.wait_for((folder / "munge" / "socket").exists)
        ctld = stack.enter_context(daemon(["slurmctld", "-D", "-f", str(rig.conf)], folder))
        ctld.wait_for(lambda: "is UP" in rig.run("scontrol", "ping", check=False))
        stack.callback(_end_rest, rig.conf)
        stack.callback(_end_nodes, folder)
        yield rig


@contextmanager
def _munged(folder: Path) -> Iterator[Daemon]:
    words = [f"--{name}={folder}/munge/{name.partition('-')[0]}" for name in ("socket", "key-file", "pid-file")]
    words += [f"--log-file={folder}/munge/log", f"--seed-file={folder}/munge/seed"]
    with daemon(["munged", "--foreground", "--force", *words], folder) as started:
        yield started


def _end_nodes(folder: Path) -> None:
    for path in (folder / "run").glob("*.pid"):
        pid = _pid(path)
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            wait_until(lambda path=path: not _pid(path), f"{path.stem} has ended")  # type: ignore[misc]


def _end_rest(conf: Path) -> None:
    """End the jobs that still run, and the slurmstepd that mind them: they outlive their slurmd."""
    mark = f"SLURM_CONF={conf}".encode()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            ours = mark in (process / "environ").read_bytes().split(b"\0")
            is_daemon = (process / "comm").read_text().strip() in {"slurmctld", "slurmscriptd"}
        except OSError:
            continue  # it has ended, or is another user's
        if ours and not is_daemon and int(process.name) != os.getpid():
            with suppress(ProcessLookupError):
                os.kill(int(process.name), signal.SIGKILL)


def _pid(path: Path) -> int:
    """Return the process of a pid file; 0 where it has ended."""
    try:
        pid = int(path.read_text())
        return pid if path.stem in Path(f"/proc/{pid}/cmdline").read_text().split("\0") else 0
    except (OSError, ValueError):
        return 0


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
