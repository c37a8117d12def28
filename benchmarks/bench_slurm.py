"""Slurm with many nodes and jobs: what one tick costs, from what the commands printed to the decision.

    python benchmarks/bench_slurm.py [--nodes 1000] [--jobs 10000] [--kinds 100]

Prints JSON. CPU seconds of this process: reading the generated output of `squeue --json` (or `squeue -O`) and `scontrol
show node`, making the picture, deciding. The output has the form that Slurm 22.05 prints. CLUES needs 9 s of CPU for
the poll of 1,000 nodes alone (its command is forked once a node).
"""

import argparse
import json
import random
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.report import emit, figure
from clues.decide import decide
from clues.decision import Memory
from clues.options import MachineOption, Policy, Pool
from clues.slurmapi.documents import read_job_document
from clues.slurmapi.text import read_nodes, read_partitions, read_wide_jobs
from clues.snapshot import Machine, MachineState, Snapshot
from clues.sources.slurm import SlurmLook, picture_of

_PARTS = ("read_nodes_s", "read_jobs_s", "picture_s", "decide_s")
_NODE = (
    "NodeName=wn{n} Arch=x86_64 CoresPerSocket=1  CPUAlloc={used} CPUEfctv=16 CPUTot=16 CPULoad=0.10 "
    "AvailableFeatures={f} ActiveFeatures={f} Gres=gpu:a100:{g} GresDrain=N/A GresUsed=gpu:a100:0(IDX:N/A) "
    "NodeAddr=wn{n} NodeHostName=wn{n} Version=22.05.8 OS=Linux 6.1.0-18-amd64 #1 SMP PREEMPT_DYNAMIC Debian  "
    "RealMemory=64000 AllocMem={mem} FreeMem=60000 Sockets=16 Boards=1 State={state} ThreadsPerCore=1 TmpDisk=0 "
    "Weight=1 Owner=N/A MCS_label=N/A Partitions=main,short  BootTime=1796015085 SlurmdStartTime={start} "
    "LastBusyTime=1796015742 CfgTRES=cpu=16,mem=64000M,billing=16 AllocTRES= CapWatts=n/a CurrentWatts=0 AveWatts=0 "
    "ExtSensorsJoules=n/s ExtSensorsWatts=0 ExtSensorsTemp=n/s{reason}"
)
_PARTITIONS = (
    "PartitionName=main AllowGroups=ALL Default=YES MaxNodes=UNLIMITED MaxTime=UNLIMITED Nodes=wn[1-{n}] "
    "PriorityTier=1 OverSubscribe=NO State=UP\n"
    "PartitionName=short AllowGroups=ALL Default=NO MaxNodes=4 MaxTime=01:00:00 Nodes=wn[1-{n}] "
    "PriorityTier=1 OverSubscribe=NO State=UP"
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--kinds", type=int, default=100, help="different requests")
    words = parser.parse_args()
    chance = random.Random(4)
    nodes, partitions = _nodes(words.nodes), _PARTITIONS.format(n=words.nodes)
    jobs = _jobs(words.jobs, words.kinds, chance)
    document = json.dumps({"meta": {}, "errors": [], "jobs": jobs}, indent=2).encode()
    text = "\n".join(_line(job) for job in jobs)
    figures, notes = [], []
    for form, printed in (("JSON", document), ("text", text)):
        found = _measure(nodes, partitions, printed, words.nodes)
        what = f"{words.nodes} nodes, {words.jobs} jobs in {words.kinds} kinds, {form}"
        figures.append(figure(f"one tick, {what}", found["cpu_s"], "s", limit=1.0, peer=9.0, peer_name="CLUES's poll"))
        figures += [figure(f"{name.removesuffix('_s')}, {form}", found[name], "s") for name in _PARTS]
        notes.append(f"{form}: {found['megabytes']} MB, {found['power_on']} nodes ordered, jobs: {found['outcomes']}")
    return emit("slurm", figures, notes=notes)


def _measure(nodes: str, partitions: str, jobs: bytes | str, count: int) -> dict[str, Any]:
    pools = (
        Pool(
            "rack",
            driver="nodes",
            max=count,
            powered=True,
            machines=tuple(MachineOption(f"wn{n}") for n in range(1, count + 1)),
        ),
    )
    machines = {
        "rack": tuple(
            Machine(f"wn{n}", "rack", MachineState.ON if n <= count // 10 else MachineState.OFF, 0.0, f"wn{n}")
            for n in range(1, count + 1)
        )
    }
    spent: dict[str, float] = {}
    began = last = time.process_time()

    def lap(name: str) -> None:
        nonlocal last
        now = time.process_time()
        spent[name], last = round(now - last, 3), now

    found_nodes = read_nodes(nodes)
    lap("read_nodes_s")
    found_jobs = read_job_document(jobs) if isinstance(jobs, bytes) else read_wide_jobs(jobs, "")
    lap("read_jobs_s")
    look = SlurmLook(found_jobs.jobs, found_nodes.nodes, read_partitions(partitions).partitions)
    cluster = picture_of(look)
    lap("picture_s")
    snapshot = Snapshot(now=1_796_020_000.0, machines=machines, slurm=cluster)
    decision = decide(snapshot, pools, Policy(), Memory())
    lap("decide_s")
    assert found_nodes.problems == found_jobs.problems == ()
    return {
        **spent,
        "cpu_s": round(time.process_time() - began, 3),
        "megabytes": round(len(jobs) / 1e6, 1),
        "power_on": len(decision.slurm_on),
        "outcomes": _outcomes(decision),
    }


def _outcomes(decision: Any) -> dict[str, int]:
    counts: dict[str, int] = {}
    for verdict in decision.pods:
        counts[verdict.outcome] = counts.get(verdict.outcome, 0) + 1
    return counts


def _nodes(count: int) -> str:
    """Return a tenth that runs and is full or idle, and the rest down."""
    lines = []
    for n in range(1, count + 1):
        on, busy = n <= count // 10, n <= count // 20
        lines.append(
            _NODE.format(
                n=n,
                used=16 if busy else 0,
                mem=16000 if busy else 0,
                f="amd,fast" if n % 3 else "intel,slow",
                g=4 if n % 10 == 0 else 0,
                state="ALLOCATED" if busy else "IDLE" if on else "DOWN+DRAIN",
                start=1796015742 if on else "None",
                reason="" if on else " Reason=clues: powered off [root@1796015742]",
            )
        )
    return "\n".join(lines)


def _jobs(count: int, kinds: int, chance: random.Random) -> list[dict[str, Any]]:
    asks = [
        {
            "cpus": (cpus := chance.choice([1, 2, 4, 8, 16])),
            "tasks": cpus,
            "memory_per_cpu": chance.choice([500, 1000, 2000, 3000]),
            "features": chance.choice(["", "", "amd", "intel|amd", "amd&fast"]),
            "tres_per_node": chance.choice(["", "", "", "gres:gpu:a100:1"]),
            "partition": chance.choice(["main", "main", "short", "main,short"]),
            "time_limit": chance.choice([30, 45, 60]),
        }
        for _ in range(kinds)
    ]
    reasons = ["Resources", "Priority", "Priority", "Priority", "Priority", "Dependency", "JobHeldUser", "BeginTime"]
    return [
        {
            "account": "", "accrue_time": 1796015742, "admin_comment": "", "array_job_id": 0, "array_task_id": None,
            "array_max_tasks": 0, "array_task_string": "", "association_id": 0, "batch_features": "",
            "batch_flag": True, "batch_host": "", "flags": [], "burst_buffer": "", "cluster": "loop", "command": "",
            "comment": "", "container": "", "contiguous": False, "cores_per_socket": None, "cpus_per_task": None,
            "deadline": 0, "delay_boot": 0, "dependency": "", "eligible_time": 1796015742, "end_time": 0,
            "excluded_nodes": "", "exit_code": 0, "federation_origin": "", "gres_detail": [], "group_id": 0,
            "group_name": "users", "job_id": number, "job_state": "PENDING", "last_sched_evaluation": 1796015876,
            "licenses": "", "max_cpus": 0, "max_nodes": 0, "mcs_label": "", "name": f"job {number}", "nodes": "",
            "nice": None, "tasks_per_node": 0, "node_count": 1, "het_job_id": 0, "prefer": "",
            "memory_per_node": None, "minimum_cpus_per_node": 1, "minimum_tmp_disk_per_node": 0, "preempt_time": 0,
            "priority": 4_294_000_000 - number, "qos": "", "required_nodes": "", "requeue": True, "resv_name": "",
            "shared": None, "show_flags": ["SHOW_ALL", "SHOW_DETAIL", "SHOW_LOCAL"], "start_time": 0,
            "state_description": "", "state_reason": chance.choice(reasons), "standard_error": "",
            "standard_input": "/dev/null", "standard_output": "/dev/null", "submit_time": 1796015742,
            "suspend_time": 0, "system_comment": "", "threads_per_core": None, "tres_bind": "", "tres_freq": "",
            "tres_per_job": "", "tres_per_socket": "", "tres_per_task": "", "tres_alloc_str": "", "user_id": 1000,
            "tres_req_str": "cpu=1,mem=100M,node=1,billing=1",
            "user_name": "someone", "wckey": "", "current_working_directory": "/home/someone", **chance.choice(asks),
        }
        for number in range(1, count + 1)
    ]  # fmt: skip


def _line(job: dict[str, Any]) -> str:
    cpus, memory = job["cpus"], job["memory_per_cpu"]
    words = [
        job["job_id"], job["job_id"], job["job_id"], "N/A", job["partition"], "PENDING", 1, cpus, 1, f"{memory}M",
        job["tres_per_node"] or "N/A", "OK", job["priority"], f"{job['time_limit']}:00", 1796015742, "", "", "(null)",
        1, 0, f"cpu={cpus},mem={memory * cpus}M,node=1,billing={cpus}", "N/A", "N/A", job["tasks"],
        "(null)", job["eligible_time"], job["state_reason"], job["features"] or "(null)",
    ]  # fmt: skip
    return "|".join(map(str, words)) + "|"


if __name__ == "__main__":
    sys.exit(main())
