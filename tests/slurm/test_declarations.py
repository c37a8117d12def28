"""Nodes as CLOUD under Slurm's own power saving, and as FUTURE: cluesd turns the machines, Slurm or cluesd decides."""

import sys
from pathlib import Path

import pytest

from tests.rigs.needs import need_programs
from tests.rigs.process import wait_until
from tests.rigs.slurm import slurm
from tests.slurm.site import ROOT, site

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(180)]


def _programs(folder: Path) -> str:
    """Write what Slurm runs to resume and suspend nodes, as docs/howto/clues-slurm.md shows it."""
    folder.mkdir()
    for word in ("resume", "suspend"):
        path = folder / word
        path.write_text(
            f"#!/bin/sh\ncd {ROOT}\n"
            f"exec {sys.executable} -c 'from clues.cli.main import main; main()' --config {folder}/clues.yaml "
            f'slurm {word} "$1" >>{folder}/programs.log 2>&1\n'
        )
        path.chmod(0o755)
    return (
        f"ReturnToService=2\nResumeProgram={folder}/resume\nSuspendProgram={folder}/suspend\n"
        "PrivateData=cloud\nSuspendTime=4\nResumeTimeout=60\nSuspendTimeout=5\nTreeWidth=65533"
    )


def test_slurm_decides_by_its_own_power_saving_and_cluesd_turns_the_machines(tmp_path: Path) -> None:
    need_programs("slurmctld", "slurmd", "munged")
    folder = tmp_path / "clues"
    more = _programs(folder)
    with (
        slurm(tmp_path / "slurm", 3, state="CLOUD", more=more) as rig,
        site(rig, folder, slurm={"power_saving": True}) as clues,
    ):

        def said() -> str:
            log = folder / "programs.log"
            return f"{clues.said()}{log.read_text() if log.exists() else ''}{rig.states()}"

        job = rig.submit("-N", "2", script="sleep 2")
        wait_until(lambda: rig.jobs().get(job) == "COMPLETED", "the job has run", 60, said=said)
        assert sorted(clues.orders("on")) == ["wn1", "wn2"]
        assert f"for the jobs {job}" in (folder / "programs.log").read_text()
        wait_until(lambda: sorted(clues.orders("off")) == ["wn1", "wn2"], "Slurm suspends both", 60)
        wait_until(lambda: not clues.status()["actions"], "all is done")
        assert "POWERED_DOWN" in rig.node("wn1") or "POWERING_DOWN" in rig.node("wn1")

        again = rig.submit("-N", "1")
        wait_until(lambda: rig.jobs().get(again) == "COMPLETED", "they come back", 60)


def test_future_nodes_are_ordered_and_hidden_cloud_nodes_are_told(tmp_path: Path) -> None:
    need_programs("slurmctld", "slurmd", "munged")
    with slurm(tmp_path / "slurm", 2, state="FUTURE") as rig, site(rig, tmp_path / "clues") as clues:
        job = rig.submit("-N", "1", script="sleep 1")
        wait_until(lambda: rig.jobs().get(job) == "COMPLETED", "the job has run", 60, said=rig.states)
        assert clues.orders("on") == ["wn1"]
        wait_until(lambda: clues.orders("off") == ["wn1"], "it goes off", 60)
    with slurm(tmp_path / "hidden", 2, state="CLOUD") as rig, site(rig, tmp_path / "clues2") as clues:
        wait_until(lambda: any("PrivateData=cloud" in text for text in clues.status()["problems"]), "it says so")


def test_cloud_nodes_without_power_saving_of_slurm_are_ordered_by_cluesd(tmp_path: Path) -> None:
    need_programs("slurmctld", "slurmd", "munged")
    more = "PrivateData=cloud\nReturnToService=2"
    with slurm(tmp_path / "slurm", 3, state="CLOUD", more=more) as rig, site(rig, tmp_path / "clues") as clues:
        job = rig.submit("-N", "2", script="sleep 2")
        wait_until(lambda: rig.jobs().get(job) == "COMPLETED", "the job has run", 60, said=rig.states)
        assert sorted(clues.orders("on")) == ["wn1", "wn2"]
        wait_until(lambda: sorted(clues.orders("off")) == ["wn1", "wn2"], "both go off", 60)


def test_a_job_that_slurm_has_put_on_nodes_that_are_off_gets_them(tmp_path: Path) -> None:
    need_programs("slurmctld", "slurmd", "munged")
    more = "PrivateData=cloud\nReturnToService=2"
    with slurm(tmp_path / "slurm", 3, state="CLOUD", more=more) as rig:
        job = rig.submit("-N", "2", script="sleep 2")
        wait_until(lambda: rig.jobs().get(job) != "PENDING", "Slurm gives it nodes that are off", 40, said=rig.states)
        with site(rig, tmp_path / "clues") as clues:
            wait_until(lambda: rig.jobs().get(job) == "COMPLETED", "the job has run", 60)
            assert sorted(clues.orders("on")) == ["wn1", "wn2"]
