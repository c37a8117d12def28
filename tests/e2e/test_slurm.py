"""The cluster of docs/tutorial/local.md: Slurm on machines of this computer, and a job on both workers."""

from pathlib import Path

import pytest

from tests.e2e.conftest import Im

pytestmark = [pytest.mark.machines, pytest.mark.ansible, pytest.mark.slow, pytest.mark.timeout(1500)]

TEMPLATE = str(Path(__file__).parents[2] / "tosca_templates" / "slurm_cluster.yaml")


def test_slurm_runs_jobs_on_all_workers_grows_and_shrinks(im: Im) -> None:
    def on_front(*words: str) -> str:
        return im("ssh", "slurm", "front", "--", *words).stdout

    im("deploy", TEMPLATE, "-y", "--name", "slurm", timeout=1200)
    hosts = on_front("srun", "-N2", "hostname").split()
    assert sorted(hosts) == ["worker-1", "worker-2"]
    assert im.json("plan", TEMPLATE, "--name", "slurm", "--detailed-exitcode")["steps"] == []

    report = im.report("scale", "slurm", "worker=3", "-y")
    assert {node["name"] for node in report["nodes"]} == {"worker-3"}
    assert sorted(on_front("srun", "-N3", "hostname").split()) == ["worker-1", "worker-2", "worker-3"]

    im("scale", "slurm", "worker=1", "-y")
    assert "worker-3" not in on_front("sinfo", "-N", "-h", "-o", "%N")
    assert on_front("srun", "-N1", "hostname").split() == ["worker-1"]
    im("destroy", "slurm", "-y")
