"""Jobs come, just the nodes that they need come, jobs run, idle nodes are drained and go; and what must not happen."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rigs.needs import need_programs
from tests.rigs.process import wait_until
from tests.rigs.slurm import SlurmRig, slurm
from tests.slurm.site import site

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(180)]
PARTITIONS = """\
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
PartitionName=short Nodes=ALL MaxTime=10 MaxNodes=1 State=UP"""


@pytest.fixture(params=["ReturnToService=2", "ReturnToService=0"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SlurmRig]:
    need_programs("slurmctld", "slurmd", "munged")
    with slurm(tmp_path / "slurm", 4, more=request.param, partitions=PARTITIONS) as started:
        yield started


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[SlurmRig]:
    need_programs("slurmctld", "slurmd", "munged")
    with slurm(tmp_path / "slurm", 4, partitions=PARTITIONS) as started:
        yield started


def test_nodes_follow_the_jobs_and_come_back_for_the_next(rig: SlurmRig, tmp_path: Path) -> None:
    with site(rig, tmp_path / "clues") as clues:
        first = rig.submit("-N", "2", script="sleep 3")
        wait_until(lambda: rig.jobs().get(first) == "RUNNING", "the first job runs", 40)
        assert sorted(clues.orders("on")) == ["wn1", "wn2"]
        wait_until(lambda: len(clues.orders("off")) == 2 and not rig.on(), "its nodes are off again", 40)
        wait_until(lambda: not clues.status()["actions"], "all is done")
        assert rig.jobs()[first] == "COMPLETED"
        assert all("clues: powered off" in rig.node(name) for name in ("wn1", "wn2"))

        second = rig.submit("-N", "3")  # parked nodes and one that was never on
        wait_until(lambda: rig.jobs().get(second) == "COMPLETED", "the second job has run", 60, said=clues.told)
        assert sorted(clues.orders("on")) == ["wn1", "wn1", "wn2", "wn2", "wn3"], clues.said()


def test_what_power_does_not_help_orders_nothing(plain: SlurmRig, tmp_path: Path) -> None:
    held = plain.submit("-H")
    dependent = plain.submit("-d", f"afterok:{held}")
    later = plain.submit("--begin=now+1hour")
    too_long = plain.submit("-p", "short", "-t", "600")
    too_wide = plain.submit("-p", "short", "-N", "2")
    with site(plain, tmp_path / "clues") as clues:

        def outcomes() -> dict[str, str]:
            verdicts = [clues.why(f"job:{job}")["details"]["verdict"] for job in (held, dependent, later, too_long)]
            return {verdict["pods"][0]["name"]: verdict["outcome"] for verdict in verdicts if verdict}

        wait_until(lambda: set(outcomes().values()) == {"ignored"}, "they are judged")
        assert clues.why(f"job:{too_wide}")["kind"] == "job"
        assert "PartitionTimeLimit" in clues.clues("why", f"job:{too_long}")
        wanted = plain.submit("-n", "1")
        wait_until(lambda: plain.jobs().get(wanted) == "COMPLETED", "one that it helps runs", 40)
        assert len(clues.orders("on")) == 1, clues.said()


def test_a_job_on_a_node_that_is_to_go_is_waited_for(plain: SlurmRig, tmp_path: Path) -> None:
    with site(plain, tmp_path / "clues", unneeded_s=600) as clues:
        job = plain.submit("-n", "1", script=f"sleep 6; touch {tmp_path}/ended")
        wait_until(lambda: plain.jobs().get(job) == "RUNNING", "the job runs", 40)
        clues.clues("poweroff", "wn1", "--force", "-y")
        wait_until(lambda: "DRAIN" in plain.states()["wn1"], "its node is drained")
        assert plain.jobs()[job] == "RUNNING"
        wait_until(lambda: clues.orders("off") == ["wn1"], "the node goes off", 40)
        assert (tmp_path / "ended").exists()
        assert plain.jobs()[job] == "COMPLETED"


def test_a_drain_of_a_person_stays_and_orders_nothing(plain: SlurmRig, tmp_path: Path) -> None:
    plain.switch("on", "wn1")
    wait_until(lambda: plain.states()["wn1"] == "IDLE", "the node is there")
    plain.run("scontrol", "update", "NodeName=wn1", "State=DRAIN", "Reason=a bad disk")
    with site(plain, tmp_path / "clues", unneeded_s=0) as clues:
        job = plain.submit("-n", "1")
        wait_until(lambda: plain.jobs().get(job) == "COMPLETED", "the job runs elsewhere", 40)
        wait_until(lambda: "wn2" in clues.orders("off"), "that node goes")
        assert "wn1" not in clues.orders("off")
        assert "a bad disk" in clues.clues("why", "wn1")
        assert "a bad disk" in plain.node("wn1")


def test_killed_between_order_and_node_it_orders_nothing_twice(plain: SlurmRig, tmp_path: Path) -> None:
    with site(plain, tmp_path / "clues", slurm={"poll_s": 1.5}) as clues:
        jobs = [plain.submit("-N", "2", "--exclusive", script="sleep 2") for _ in range(2)]
        wait_until(lambda: bool(clues.orders("on")), "the first order is given", 40)
        clues.kill()
        clues.start()
        wait_until(lambda: all(plain.jobs().get(job) == "COMPLETED" for job in jobs), "the jobs have run", 60)
        on = clues.orders("on")
        assert len(on) == len(set(on)), on
        wait_until(lambda: not plain.on(), "all nodes are off", 60)
        assert sorted(clues.orders("off")) == sorted(on)


def test_killed_while_it_drains_it_goes_on_and_leaves_no_node_drained(plain: SlurmRig, tmp_path: Path) -> None:
    with site(plain, tmp_path / "clues", actions={"look_again_s": 3}) as clues:
        first = plain.submit("-n", "1", script="sleep 1")
        wait_until(lambda: "DRAIN" in plain.states()["wn1"], "the node is drained when its job has ended", 60)
        clues.kill()
        assert plain.jobs().get(first, "COMPLETED") == "COMPLETED"
        second = plain.submit("-n", "1", script="sleep 1")  # the drained node would do for it
        clues.start()
        wait_until(lambda: plain.jobs().get(second) == "COMPLETED", "the next job runs", 60, said=clues.told)
        wait_until(lambda: not plain.on() and not clues.status()["actions"], "all nodes are off", 60)
        assert clues.orders("on").count("wn1") <= 2
