"""What a real Slurm prints, read as JSON and as text: the same jobs, the same nodes."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from clues.slurmapi.commands import Slurm
from clues.slurmapi.listing import ListedJob
from tests.rigs.needs import need_programs
from tests.rigs.slurm import slurm

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(120)]
_JOBS = (
    ["-n", "10", "-c", "2"],
    ["-N", "3", "-C", "a|b", "--mem", "500"],
    ["--array", "1-50%4", "-x", "wn3"],
    ["--array", "1,3,5-7"],
    ["--ntasks-per-node", "3", "-N", "2-4", "-w", "wn2"],
    ["--exclusive", "-n", "3", "--mem-per-cpu", "300"],
    ["--gpus", "3", "-N", "2"],
    ["--gres", "gpu:1", "--job-name", "x NumNodes=7 | State=DOWN"],
    ["-n", "4", "--gpus-per-task", "1", "-N", "2"],
    ["-H"],
    ["-t", "20"],
)


def _core(item: ListedJob) -> dict[str, Any]:
    """Return what both forms tell; squeue's columns have no most of nodes, and name one reason in other words."""
    job = item.job
    memory = max(job.memory_per_node_mb, job.memory_per_cpu_mb * max(1, job.cpus // job.nodes))
    found: dict[str, Any] = msgspec.to_builtins(job)
    for name in ("max_nodes", "reason", "memory_per_node_mb", "memory_per_cpu_mb"):
        del found[name]
    return found | {"memory": memory, "array": item.array, "at_once": item.at_once, "places": item.places}


def test_json_and_columns_say_the_same(tmp_path: Path) -> None:
    need_programs("slurmctld", "slurmd", "munged")
    node = "CPUs=8 RealMemory=4000 Feature=a,b Gres=gpu:2"
    with slurm(tmp_path, 4, node=node, more="GresTypes=gpu\nReturnToService=2") as rig:
        for words in _JOBS:
            rig.submit(*words)
        rig.run("scontrol", "update", "NodeName=wn1", "State=DRAIN", "Reason=stay as you are")
        as_json, as_text = (Slurm(config=str(rig.conf), reading=reading) for reading in ("json", "text"))
        one, other = as_json.jobs(), as_text.jobs()
        assert (one.problems, other.problems) == ((), ())
        assert len(one.jobs) == len(_JOBS)
        said = sorted(map(_core, other.jobs), key=lambda job: int(job["id"]))
        assert sorted(map(_core, one.jobs), key=lambda job: int(job["id"])) == said
        assert any(job["excluded"] == ["wn3"] for job in said)
        left, right = (sorted(found.nodes().nodes, key=lambda item: item.node.name) for found in (as_json, as_text))
        assert [item.node for item in left] == [item.node for item in right]
        assert left[0].node.kept == "it is drained: stay as you are"
