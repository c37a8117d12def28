"""Nodes and jobs of another batch system, in CLUES's words."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clues.drain.command import CommandDrain
from clues.slurm_model import SlurmNodeState
from clues.slurmapi.lines import ANY_QUEUE, partitions_of, read_job_lines, read_node_lines
from clues.slurmapi.programs import Programs
from infracore.errors import CommandFailed, Misconfigured, NotFound

NODES = """\
# made by hand
name=wn1;state=idle;slots_count=4;slots_free=4;memory_total=8GB;memory_free=8GB;keywords=queues=[long,short],arch='x86'
name=wn2; state=used; slots_count=4; slots_free=1; memory_total=8589934592; memory_free=1G;
name=wn3;state=off;slots_count=-1;memory_total=-1
"""
JOBS = """\
jobid=12;state=pending;queue=long;slots=2;memory=1GB;taskcount=3;maxtaskspernode=2;priority=5
jobid=13.server;state=held;slots=1
jobid=14;state=running;slots=1;nodes=wn[2-2]
jobid=15;state=finished
"""


def test_nodes_and_their_words() -> None:
    found = read_node_lines(NODES)
    assert found.problems == ()
    one, two, three = (item.node for item in found.nodes)
    assert (one.cpus, one.memory_mb, one.state) == (4, 8192, SlurmNodeState.IDLE)
    assert "arch=x86" in one.features
    assert found.nodes[0].partitions == ("long", "short")
    assert (two.state, two.free_cpus, two.free_memory_mb) == (SlurmNodeState.ALLOCATED, 1, 1024)
    assert (three.state, three.answers, three.cpus > 1000) == (SlurmNodeState.DOWN, False, True)


def test_jobs_and_queues() -> None:
    found = read_job_lines(JOBS)
    pending, held, running = found.jobs
    job = pending.job
    assert (job.nodes, job.cpus, job.cpus_per_task, job.tasks_per_node, job.memory_per_cpu_mb) == (2, 6, 2, 2, 512)
    assert (held.job.reason, held.job.partition, held.job.name) == ("JobHeld", ANY_QUEUE, "13.server")
    assert running.places == ("wn2",)
    queues = {p.name: p.nodes for p in partitions_of(read_node_lines(NODES).nodes, found.jobs)}
    assert queues == {"all": ("wn2", "wn3"), "long": ("wn1", "wn2", "wn3"), "short": ("wn1", "wn2", "wn3")}


@pytest.mark.parametrize(
    "line",
    ["name=wn1", "state=idle", "name=wn1;state=sleeping", "name=a b;state=idle", "nonsense",
     "name=wn1;state=idle;slots_count=many", "name=wn1;state=idle;keywords=,,", "name=wn[1-2];state=idle"],
)  # fmt: skip
def test_a_line_that_is_none_is_set_aside(line: str) -> None:
    found = read_node_lines(f"{line}\n{NODES}")
    assert len(found.nodes) == 3
    assert len(found.problems) == 1
    assert "line 1" in found.problems[0]


@given(st.text(alphabet="name=;stawn1[]-,'\"\n", max_size=60))
def test_any_text_is_read_or_set_aside(text: str) -> None:
    assert len(read_node_lines(text).problems) + len(read_job_lines(text).problems) <= 2 * len(text.splitlines())


def _programs(folder: Path) -> Programs:
    (folder / "nodes").write_text(NODES)
    (folder / "jobs").write_text(JOBS)
    show = [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())"]
    note = [sys.executable, "-c", "import sys; open(sys.argv[1], 'a').write(' '.join(sys.argv[2:]) + '\\n')"]
    said = str(folder / "said")
    return Programs(
        [*show, str(folder / "nodes")],
        [*show, str(folder / "jobs")],
        [*note, said, "drain", "{node}", "{reason}"],
        [*note, said, "resume", "{node}"],
    )


def test_nodes_are_drained_and_resumed_by_the_sites_programs(tmp_path: Path) -> None:
    programs = _programs(tmp_path)
    drain = CommandDrain(programs)
    drain.cordon("wn1")
    assert [item.is_closed for item in programs.nodes().nodes] == [True, False, True]
    assert (drain.is_empty("wn1"), drain.is_empty("wn2")) == (True, False)
    assert [pod.name for pod in drain.pods_on("wn2")] == ["14"]
    assert drain.evict([drain.pods_on("wn2")[0].ref], force=True).accepted == ()
    shown = NODES.replace("name=wn1;state=idle", "name=wn1;state=drained")
    (tmp_path / "nodes").write_text(shown)
    assert programs.nodes().nodes[0].node.kept == ""  # by us: a job that comes takes the removal back
    drain.uncordon("wn1")
    assert programs.nodes().nodes[0].node.kept == "it is drained"
    (tmp_path / "nodes").write_text(NODES)
    assert not programs.nodes().nodes[0].is_closed
    assert (tmp_path / "said").read_text() == "drain wn1 cluesd is to power it off\nresume wn1\n"
    with pytest.raises(NotFound):
        drain.cordon("wn9")


def test_programs_that_fail_or_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="is not there"):
        Programs([str(tmp_path / "none")], ["true"]).nodes()
    with pytest.raises(CommandFailed):
        Programs(["false"], ["false"]).jobs()
