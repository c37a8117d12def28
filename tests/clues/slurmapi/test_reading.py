"""What Slurm's commands print: captured from 22.05, and in the form of later versions."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clues.slurm_model import SlurmJob, SlurmNodeState
from clues.slurmapi.documents import read_job_document, read_node_document
from clues.slurmapi.listing import ListedNode
from clues.slurmapi.text import JOB_FORMAT, read_jobs, read_nodes, read_partitions
from tests.laws import some

NODE = (
    "NodeName=wn1 Arch=x86_64 CoresPerSocket=1  CPUAlloc={used} CPUEfctv=4 CPUTot=4 CPULoad=3.49 "
    "AvailableFeatures=a,b ActiveFeatures=a,b Gres=gpu:tesla:2 GresDrain=N/A GresUsed=gpu:tesla:1(IDX:0) "
    "NodeAddr=127.0.0.1 OS=Linux 6.1.0 #1 SMP x  RealMemory=4000 AllocMem=1000 FreeMem=19217 Boards=1 State={state} "
    "ThreadsPerCore=1 Weight=3 Partitions=main,short  BootTime=1796015085 SlurmdStartTime={start} "
    "LastBusyTime=1796015900 CfgTRES=cpu=4 AllocTRES= {reason}"
)


def node(state: str, *, used: int = 0, start: str = "1796015742", reason: str = "") -> ListedNode:
    found = read_nodes(NODE.format(state=state, used=used, start=start, reason=reason))
    assert found.problems == ()
    return found.nodes[0]


def test_a_node_with_all_that_counts() -> None:
    one = node("MIXED", used=1).node
    assert (one.name, one.cpus, one.free_cpus, one.memory_mb, one.free_memory_mb) == ("wn1", 4, 3, 4000, 3000)
    assert (one.features, one.weight, one.since) == (frozenset("ab"), 3, 1796015900.0)
    assert (one.gres, one.free_gres) == ((("gpu", 2), ("gpu:tesla", 2)), (("gpu", 1), ("gpu:tesla", 1)))


@pytest.mark.parametrize(
    ("state", "shown", "ready"),
    [
        ("IDLE", "idle", True),
        ("IDLE*", "down", False),
        ("IDLE+PLANNED", "idle", True),
        ("MIXED+PLANNED", "alloc", True),
        ("ALLOCATED+COMPLETING", "alloc", True),
        ("IDLE+COMPLETING", "alloc", True),
        ("ALLOCATED+DRAIN", "alloc", True),
        ("IDLE+CLOUD+POWERED_DOWN", "powered_down", False),
        ("MIXED+CLOUD+NOT_RESPONDING+POWERING_UP", "powering_up", False),
        ("IDLE+CLOUD+POWERING_DOWN", "powering_down", False),
        ("IDLE+POWER_DOWN", "idle", True),
        ("FUTURE", "powered_down", False),
        ("UNKNOWN+NOT_RESPONDING", "down", False),
        ("DOWN+NOT_RESPONDING", "down", False),
        ("ALLOCATED+MAINTENANCE", "alloc", True),
    ],
)
def test_states_that_clues_read_as_off(state: str, shown: str, ready: bool) -> None:
    found = node(state, used=1 if shown == "alloc" else 0)
    assert (found.node.state, found.is_ready) == (SlurmNodeState(shown), ready)


def test_a_drain_of_ours_and_one_of_somebody_else() -> None:
    ours = node("IDLE+DRAIN", reason="Reason=clues: it is to be powered off [root@1796015742]")
    assert (ours.node.parked, ours.node.kept, ours.is_closed) == (True, "", True)
    theirs = node("IDLE+DRAIN", reason="Reason=disk [sda] broken [root@1796015742]")
    assert (theirs.node.parked, theirs.node.kept) == (False, "it is drained: disk [sda] broken")
    assert node("DOWN", reason="Reason=clues: powered off [root@1]").is_ready  # a slurmd is there: it is resumed
    assert node("DOWN", reason="Reason=do not touch [root@1]").node.kept == "it is down: do not touch"
    silent = node("DOWN+NOT_RESPONDING", start="None", reason="Reason=Not responding [slurm@1]")
    assert (silent.node.kept, silent.is_ready, silent.node.answers) == ("", False, False)
    assert node("IDLE+RESERVED").node.kept == "it is reserved"


def test_partitions() -> None:
    text = (
        "PartitionName=main AllowGroups=ALL Default=YES MaxNodes=UNLIMITED MaxTime=UNLIMITED Nodes=wn[1-4,6-8] "
        "PriorityTier=2 OverSubscribe=EXCLUSIVE State=UP\n"
        "PartitionName=short Default=NO MaxNodes=2 MaxTime=01:00:00 Nodes=(null) PriorityTier=1 State=DRAIN\n"
        "PartitionName=bad Nodes=wn[1-\n"
    )
    found = read_partitions(text)
    main, short = found.partitions
    assert (len(main.nodes), main.is_default, main.is_exclusive, main.max_nodes, main.tier) == (7, True, True, None, 2)
    assert (short.nodes, short.is_up, short.max_nodes, short.max_minutes) == ((), False, 2, 60)
    assert len(found.problems) == 1
    assert "a partition was set aside" in found.problems[0]


def _line(**columns: str) -> str:
    default = {
        "%i": "9", "%A": "9", "%F": "9", "%K": "N/A", "%P": "main", "%T": "PENDING", "%D": "1", "%C": "1", "%c": "1",
        "%m": "100M", "%b": "N/A", "%h": "OK", "%Q": "10", "%l": "UNLIMITED", "%V": "1796015742", "%n": "", "%x": "",
        "%N": "", "%v": "(null)", "%E": "(null)", "%r": "Resources", "%f": "(null)",
    }  # fmt: skip
    default |= {f"%{key}": value for key, value in columns.items()}
    return "|".join(default[code] for code in JOB_FORMAT.split("|"))


def test_jobs_as_text() -> None:
    lines = [
        _line(i="6_[1-50%4]", A="6", F="6", K="1-50%4", r="ReqNodeNotAvail, UnavailableNodes:wn[1-6]"),
        _line(
            A="7", D="2", C="8", c="4", m="2G", b="gres:gpu:tesla:1", h="NO", f="a|b", x="wn3", n="wn[1-2]", l="10:00"
        ),
        _line(A="8", i="6_2", F="6", K="2", T="RUNNING", N="wn[1-2]"),
        _line(T="COMPLETED"),
        "this is no line",
    ]
    found = read_jobs("\n".join(lines))
    array, wide, running = found.jobs
    assert (array.job.count, array.at_once, array.array, array.job.name) == (50, 4, 6, "6_[1-50%4]")
    job = wide.job
    assert (job.nodes, job.cpus, job.cpus_per_node, job.memory_per_node_mb, job.exclusive) == (2, 8, 4, 2048, True)
    assert (job.constraint, job.excluded, job.required, job.minutes) == ("a|b", {"wn3"}, {"wn1", "wn2"}, 10)
    assert job.gres == (("gpu", 1), ("gpu:tesla", 1))
    assert (running.places, running.job.pending, running.array) == (("wn1", "wn2"), False, 6)
    assert len(found.problems) == 1


def _document(*jobs: dict[str, Any]) -> bytes:
    return json.dumps({"meta": {"plugin": {}}, "errors": [], "jobs": list(jobs)}).encode()


OLD = {  # captured from 22.05, cut to what is read
    "array_job_id": 0, "array_task_id": None, "array_max_tasks": 0, "array_task_string": "", "excluded_nodes": "",
    "features": "a&b", "job_id": 3, "job_state": "PENDING", "max_nodes": 0, "nodes": "", "tasks_per_node": 0,
    "cpus": 20, "node_count": 5, "tasks": 10, "cpus_per_task": None, "partition": "main", "memory_per_node": None,
    "memory_per_cpu": 100, "minimum_cpus_per_node": 2, "priority": 4294901757, "required_nodes": "", "resv_name": "",
    "shared": None, "state_description": "ReqNodeNotAvail, Reserved for maintenance",
    "state_reason": "ReqNodeNotAvail", "submit_time": 1796015742, "time_limit": None, "tres_per_job": "gres:gpu:2",
    "tres_per_node": "", "tres_per_task": "", "tres_req_str": "cpu=20,mem=2000M,node=1,billing=20",
}  # fmt: skip


def _set(number: int) -> dict[str, Any]:
    return {"set": True, "infinite": False, "number": number}


NEW = OLD | {
    "job_state": ["PENDING"], "array_job_id": _set(0), "max_nodes": _set(0), "cpus": _set(20), "tasks": _set(10),
    "node_count": _set(5), "cpus_per_task": _set(2), "memory_per_cpu": _set(100),
    "memory_per_node": {"set": False, "infinite": False, "number": 0}, "priority": _set(4294901757),
    "time_limit": {"set": True, "infinite": True, "number": 0}, "submit_time": _set(1796015742), "shared": [],
    "tres_per_job": "gres/gpu:2", "minimum_cpus_per_node": _set(2),
    "array_task_id": {"set": False, "infinite": False, "number": 0},
}  # fmt: skip


def test_both_forms_of_json_are_the_same_job() -> None:
    old, new = read_job_document(_document(OLD)).jobs[0], read_job_document(_document(NEW)).jobs[0]
    assert old == new
    expected = SlurmJob(
        id=3, partition="main", nodes=1, cpus_per_node=2, constraint="a&b", priority=4294901757, name="3", cpus=20,
        cpus_per_task=2, memory_per_cpu_mb=100, gres=(("gpu", 2),), submitted_at=1796015742.0,
        reason="ReqNodeNotAvail, Reserved for maintenance",
    )  # fmt: skip
    assert old.job == expected


def test_a_job_that_cannot_be_read_stops_no_other() -> None:
    found = read_job_document(_document(OLD, OLD | {"required_nodes": "wn["}, OLD | {"cpus": []}, {"name": 1}))
    assert len(found.jobs) == 1
    assert len(found.problems) == 3
    array = read_job_document(
        _document(
            OLD | {"array_job_id": 6, "array_task_string": "1-50%4", "array_max_tasks": 4, "job_id": 6},
            OLD | {"array_job_id": 6, "array_task_id": 2, "job_id": 8, "job_state": "RUNNING", "nodes": "wn1"},
        )
    ).jobs
    assert [(item.job.name, item.array, item.at_once, item.job.count) for item in array] == [
        ("6_[1-50%4]", 6, 4, 50),
        ("6_2", 6, 0, 1),
    ]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"jobs": 1}', b'{"jobs": [], "errors": [{"error": "no"}]}'])
def test_what_is_no_document_is_one_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="Slurm"):
        read_job_document(body)


def test_nodes_as_json_are_the_nodes_as_text() -> None:
    shown = {
        "name": "wn1", "state": "mixed", "state_flags": ["PLANNED"], "cpus": 4, "alloc_cpus": 1, "real_memory": 4000,
        "alloc_memory": 1000, "features": "a,b", "active_features": "a,b", "gres": "gpu:tesla:2",
        "gres_used": "gpu:tesla:1(IDX:0)", "weight": 3, "last_busy": 1796015900, "slurmd_start_time": 1796015742,
        "reason": "", "partitions": ["main", "short"],
    }  # fmt: skip
    old = read_node_document(json.dumps({"nodes": [shown]}).encode()).nodes[0]
    newer = shown | {
        "state": ["MIXED", "PLANNED"], "state_flags": [], "active_features": ["a", "b"], "last_busy": _set(1796015900),
    }  # fmt: skip
    new = read_node_document(json.dumps({"nodes": [newer]}).encode()).nodes[0]
    assert old == new == node("MIXED+PLANNED", used=1)


@settings(max_examples=some(60))
@given(st.text(max_size=200))
def test_any_text_is_read_or_set_aside(text: str) -> None:
    for read in (read_nodes, read_jobs, read_partitions):
        found = read(text)
        assert len(found.problems) <= len(text.splitlines())
