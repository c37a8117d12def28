"""Traces and pod arrivals are read as they are defined, or refused with the line."""

from pathlib import Path

import pytest

from clues.sim.workload import read_workload
from infracore.errors import Misconfigured, NotFound

SWF = """; Version: 2.2
; Computer: a small one
; MaxProcs: 64
1 100 5 60 4 -1 -1 4 120 2048 1 1 1 1 1 1 -1 -1
2 130 0 30 -1 -1 -1 2 60 -1 1 1 1 1 1 1 -1 -1
3 140 0 -1 1 -1 -1 1 60 -1 0 1 1 1 1 1 -1 -1
4 150 0 10 -1 -1 -1 -1 60 -1 1 1 1 1 1 1 -1 -1
5 90 0 10 1 -1 512 -1 60 -1 1 1 1 1 1 1 -1 -1
"""


def _file(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_trace(tmp_path: Path) -> None:
    load = read_workload(_file(tmp_path, "t.swf", SWF), memory_per_cpu_bytes=7)
    assert [(job.at_s, job.run_s, job.tasks, job.memory_bytes) for job in load.jobs] == [
        (0.0, 10.0, 1, 512 * 1024),  # asked for nothing: what it used; the earliest is the beginning
        (10.0, 60.0, 4, 2048 * 1024),
        (40.0, 30.0, 2, 7),
    ]
    assert load.skipped == {"its run time is not known": 1, "its processors are not known": 1}
    assert len(read_workload(_file(tmp_path, "t.swf", SWF), most=2).jobs) == 2


@pytest.mark.parametrize(
    "line", ["1 2 3", "1 x 0 30 2 -1 -1 2 60 -1 1 1 1 1 1 1 -1 -1", "1 nan 0 30 2 -1 -1 2 60 -1 1 1 1 1 1 1 -1 -1", ""]
)
def test_a_trace_that_is_none(tmp_path: Path, line: str) -> None:
    with pytest.raises(Misconfigured):
        read_workload(_file(tmp_path, "t.swf", line))


def test_arrivals(tmp_path: Path) -> None:
    text = """
    jobs:
    - {name: web, at: 1m, count: 2, run: 10m, cpu: 500m, memory: 1Gi, evictable: true, selector: {zone: z1}}
    - {name: mpi, count: 3, gang: true, every: 1h, times: 2, cpu: 1, run: 30}
    """
    load = read_workload(_file(tmp_path, "w.yaml", text))
    assert [(job.name, job.at_s, job.tasks) for job in load.jobs] == [
        ("mpi-0", 0.0, 3),
        ("web-0-0", 60.0, 1),
        ("web-0-1", 60.0, 1),
        ("mpi-1", 3600.0, 3),
    ]
    assert load.jobs[1].selector == (("topology.kubernetes.io/zone", "z1"),)


@pytest.mark.parametrize(
    "text",
    [
        "jobs: 3",
        "jobs: []",
        "jobs: [{name: a, cpus: 1}]",
        "jobs: [{name: a, count: 0}]",
        "jobs: [{name: a, times: 2}]",
        "jobs: [{name: a, cpu: much}]",
        "jobs: [{name: a, cpu: -1}]",
        "jobs: [{name: a, at: later}]",
        "jobs: [{name: a, count: 99999999}]",
    ],
)
def test_arrivals_that_are_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(Misconfigured):
        read_workload(_file(tmp_path, "w.yaml", text))


def test_a_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_workload(tmp_path / "none.swf")
