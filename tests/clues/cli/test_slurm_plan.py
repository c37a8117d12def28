"""`clues plan --slurm`: one look, one decision, nothing changed."""

import sys
from pathlib import Path

import pytest

from clues.cli.main import run
from clues.cli.slurm_plan import plan_slurm
from clues.decision import Block
from clues.options import MachineOption, Policy, Pool
from clues.settings import Settings
from clues.slurmapi.programs import Programs
from infracore.clock import FakeClock
from infracore.errors import Transient

NODES = "name=wn1;state=off;slots_count=4\nname=wn2;state=idle;slots_count=4\nname=wn3;state=off;slots_count=4\n"
JOBS = "jobid=7;state=pending;slots=4;taskcount=2;maxtaskspernode=1\n"


def programs(tmp_path: Path, nodes: str, jobs: str) -> Programs:
    (tmp_path / "nodes").write_text(nodes)
    (tmp_path / "jobs").write_text(jobs)
    show = [sys.executable, "-c", "import sys; print(open(sys.argv[1]).read())"]
    return Programs([*show, str(tmp_path / "nodes")], [*show, str(tmp_path / "jobs")])


def test_it_says_what_would_be_ordered(tmp_path: Path) -> None:
    rack = Pool("rack", driver="d", powered=True, machines=tuple(MachineOption(f"wn{n}") for n in (1, 2, 3)))
    settings = Settings(pools=(rack,), policy=Policy(unneeded_s=0))
    decision = plan_slurm(settings, programs(tmp_path, NODES, JOBS), FakeClock())
    assert [order.machines for order in decision.power_on] == [("wn1",)]
    cloud = Settings(pools=(Pool("cloud", driver="d", node_names="wn*"),), policy=Policy(unneeded_s=0))
    decision = plan_slurm(cloud, programs(tmp_path, NODES, ""), FakeClock())
    assert [removal.node for removal in decision.remove] == ["wn2"]


def test_who_does_not_answer_is_told(tmp_path: Path) -> None:
    with pytest.raises(Transient, match="cannot be asked"):
        plan_slurm(Settings(), Programs(["false"], ["false"]), FakeClock())


def test_the_command_prints_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    asked = programs(tmp_path, NODES, JOBS)
    (tmp_path / "clues.yaml").write_text(
        f"cluster: command\ncommand: {{nodes: {list(asked.node_words)!r}, jobs: {list(asked.job_words)!r}}}\n"
        "drivers: {d: {type: command, 'on': ['true'], 'off': ['true'], status: ['true']}}\n"
        "pools: [{name: rack, driver: d, powered: true, max: 2, machines: [{name: wn1}, {name: wn2}]}]\n"
    )
    assert run(["--config", str(tmp_path / "clues.yaml"), "plan", "--slurm"]) == 0
    assert "wn1" in capsys.readouterr().out


def test_a_node_that_says_no_time_is_not_idle_for_long_at_first_sight(tmp_path: Path) -> None:
    cloud = Settings(pools=(Pool("cloud", driver="d", node_names="wn*"),), policy=Policy(unneeded_s=600))
    decision = plan_slurm(cloud, programs(tmp_path, NODES, ""), FakeClock())
    assert not decision.remove
    assert [(v.node, v.block) for v in decision.nodes] == [("wn2", Block.NOT_UNNEEDED_LONG_ENOUGH)]
