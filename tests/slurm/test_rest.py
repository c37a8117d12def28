"""A real slurmrestd says the same as the commands, and a cluesd that asks it turns nodes on and off."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clues.settings import SlurmOptions
from clues.slurmapi.commands import Slurm
from clues.slurmapi.rest import SlurmRest
from clues.sources.slurm_asked import slurm_of
from infracore.errors import Transient, Unauthorised
from tests.rigs.needs import need_programs
from tests.rigs.process import wait_until
from tests.rigs.slurm import SlurmRig, slurm
from tests.rigs.slurmrestd import slurmrestd
from tests.slurm.site import site

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(180)]
_SQUARES = ",".join(str(number**2) for number in range(1, 31))
PARTITIONS = """\
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=whole Nodes=wn[1-2] MaxTime=10 MaxNodes=1 PriorityTier=3 OverSubscribe=EXCLUSIVE State=UP
PartitionName=shut Nodes=wn2 State=DOWN"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[SlurmRig]:
    need_programs("slurmctld", "slurmd", "munged", "slurmrestd")
    with slurm(tmp_path / "slurm", 3, partitions=PARTITIONS, node="CPUs=4 RealMemory=4000 Feature=a") as started:
        yield started


def test_it_says_what_the_commands_say(rig: SlurmRig) -> None:
    rig.switch("on", "wn1")
    wait_until(lambda: rig.states()["wn1"] == "IDLE", "a node is there")
    rig.run("scontrol", "update", "NodeName=wn2", "State=DRAIN", "Reason=stay as you are")
    for words in (
        ["-n", "6"],
        ["--array", "1-30%4", "-w", "wn3"],
        ["--array", _SQUARES],
        ["-H"],
        ["-p", "whole", "-t", "5"],
    ):
        rig.submit(*words, script="sleep 60")
    wait_until(lambda: "RUNNING" in rig.jobs().values(), "one of them runs")
    commands = Slurm(config=str(rig.conf), reading="json")
    with slurmrestd(rig) as address:
        rest = slurm_of(SlurmOptions(restd=address, config=str(rig.conf)))
        assert isinstance(rest, SlurmRest)
        assert rest.version() == "v0.0.38"
        assert rest.nodes() == commands.nodes()
        assert rest.jobs() == commands.jobs()
        assert 30 in {item.job.count for item in rest.jobs().jobs if "[1,4," in item.job.name}
        assert rest.partitions() == commands.partitions()
        alone = slurm_of(SlurmOptions(restd=address, folder="/nowhere"))
        partitions, (said,) = alone.partitions()  # of v0.0.38, which does not tell all
        assert "EXCLUSIVE" in said
        told = {partition.name: partition for partition in partitions}
        assert {name: partition.is_up for name, partition in told.items()} == {
            "main": True,
            "whole": True,
            "shut": False,
        }
        whole = told["whole"]
        assert (whole.nodes, whole.max_nodes, whole.max_minutes, whole.tier) == (("wn1", "wn2"), 1, 10, 3)
        assert (told["main"].max_nodes, told["main"].max_minutes, told["main"].is_default) == (None, None, True)
    with pytest.raises(Transient, match="does not answer"):
        rest.jobs()


def test_who_has_no_token_is_told_how_one_is_made(rig: SlurmRig, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("SLURM_JWT=eyJhbGciOiJIUzI1NiJ9.eyJzdW4iOiJub2JvZHkifQ.c2lnbmVk\n")
    token.chmod(0o600)
    with slurmrestd(rig, "rest_auth/jwt") as address:
        for path in ("", str(token)):  # none, and one that nobody signed
            with pytest.raises(Unauthorised, match="slurmrestd at http") as caught:
                slurm_of(SlurmOptions(restd=address, restd_token=path, config=str(rig.conf))).jobs()
            assert "scontrol token" in caught.value.hint


def test_nodes_follow_the_jobs_that_it_tells_of(rig: SlurmRig, tmp_path: Path) -> None:
    with slurmrestd(rig) as address, site(rig, tmp_path / "clues", slurm={"restd": address}) as clues:
        job = rig.submit("-n", "1")
        wait_until(lambda: rig.jobs().get(job) == "COMPLETED", "the job has run", 60, said=clues.told)
        wait_until(lambda: len(clues.orders("off")) == 1 and not rig.on(), "its node is off again", 60)
        assert "slurmrestd" in clues.clues("doctor", check=False)
        assert "it answers, and has v0.0.38" in clues.clues("doctor", check=False)
