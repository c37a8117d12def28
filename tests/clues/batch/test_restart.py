"""cluesd is killed in the middle of what it does to nodes of another batch system, and goes on rightly."""

from pathlib import Path

import pytest

from tests.clues.batch.site import batch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


def test_killed_while_a_node_is_to_go_it_decides_anew_and_the_node_takes_jobs(tmp_path: Path) -> None:
    with batch(tmp_path / "b", 1, actions={"look_again_s": 3}) as site:
        site.until(lambda: site.phase() == "looking", "the node is to go")
        site.kill()
        site.run("n1")  # nothing kept it away
        site.start()
        site.until(lambda: not site.status()["actions"], "what was under way is taken back")
        site.until(lambda: site.node().pods == 1, "the node is in use")
        assert site.orders() == []
        site.run()
        site.until(lambda: site.orders() == ["off n1"], "it goes when its job has ended")


def test_killed_while_a_machine_goes_off_it_is_told_again_and_not_taken_as_free(tmp_path: Path) -> None:
    with batch(tmp_path / "b", 1) as site:
        site.set("slow")
        site.set("late")
        site.until(lambda: site.orders("off") == ["off n1"], "the driver is told")
        site.kill()
        site.run("-")  # its node still shows idle: without the machine's stored state the job would seem to fit
        site.start()
        assert site.orders("on") == []
        site.set("slow", False)
        site.until(lambda: site.orders("on") == ["on n1"], "it is ordered again once it is off")
        orders = site.orders()
        assert orders == ["off n1", "off n1", "on n1"] or orders == ["off n1", "on n1"]


@pytest.mark.parametrize("killed", [False, True])
def test_a_node_that_shows_idle_though_its_machine_is_off_is_ordered_for_a_job_and_not_given_up_under_it(
    tmp_path: Path, killed: bool
) -> None:
    with batch(tmp_path / "b", 1, policy={"max_provision_s": 40}) as site:
        site.set("late")
        site.until(lambda: site.orders("off") and not site.phase(), "the machine is off")
        if killed:
            site.kill()
            site.start()
        site.run("-")
        site.until(lambda: site.orders("on") == ["on n1"], "it is ordered: idle is not believed")
        if killed:
            site.kill()
            site.start()
        site.until(lambda: site.phase() == "booting", "the driver has done it")
        site.run("n1")
        site.until(lambda: not site.phase(), "the job that runs there says that it has come", 60)
        assert site.node().state == "ready"
        assert site.orders()[:2] == ["off n1", "on n1"]
        assert "off n1" not in site.orders()[2:]  # who was killed between order and answer gives the order again


@pytest.mark.parametrize("killed", [False, True])
def test_a_drain_of_the_sites_program_ends_when_another_machine_comes_as_the_node(tmp_path: Path, killed: bool) -> None:
    with batch(tmp_path / "b", 1, drains=True, pool={"keep_node_object": False}) as site:
        site.until(lambda: site.node().state == "off" and not site.phase(), "the machine is off")
        assert site.orders() == ["drain n1", "off n1"]
        if killed:
            site.kill()
            site.start()
        site.run("-")
        site.until(lambda: "resume n1" in site.orders(), "jobs may come again")
        assert site.orders() == ["drain n1", "off n1", "on n1", "resume n1"]


def test_without_a_word_since_when_a_node_is_idle_it_stays_for_as_long_as_the_policy_says(tmp_path: Path) -> None:
    with batch(tmp_path / "b", 2, policy={"unneeded_s": 3600}) as site:
        site.run("n1")
        site.until(lambda: site.node().pods == 1, "a job runs")
        site.run()
        site.until(lambda: site.node().pods == 0, "it has ended")
        decided = site.status()["last_pass_at"]
        site.until(lambda: site.status()["last_pass_at"] > decided + 1, "it is decided about again")
        assert site.orders() == []
