"""Disruption budgets: what cluesd decides, what the Eviction API refuses, and how many pods are ever down at once."""

from functools import partial
from pathlib import Path

import pytest

from tests.controlplane.cluster import Cluster, cluster, until
from tests.controlplane.follow import following
from tests.controlplane.plane import Plane

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(240)]


def _spread(site: Cluster, machines: int, replicas: int) -> list[str]:
    """Have one pod of `web` on each of so many machines, and return all machines; a filler took their other room."""
    site.deploy("filler", machines, "3")
    until("a filler runs on each machine", lambda: site.running() == machines, 60, story=site.story)
    site.deploy("web", replicas, "1")
    until("the pods run", lambda: site.running() == machines + replicas, story=site.story)
    hosts = _hosts(site)
    assert len(hosts) == len(set(hosts)) == replicas
    return sorted(site.ready())


def _hosts(site: Cluster) -> list[str]:
    return [pod["spec"]["nodeName"] for pod in site.pods("Running") if pod["metadata"]["labels"]["app"] == "web"]


def _refused(plane: Plane) -> int:
    """Return how many evictions the API server has refused for a budget so far."""
    counted = [
        line
        for line in plane.get("/metrics").splitlines()
        if line.startswith("apiserver_request_total{") and 'code="429"' in line and 'subresource="eviction"' in line
    ]
    return sum(int(float(line.rpartition(" ")[2])) for line in counted)


def _is_kept_by_budget(site: Cluster, node: str) -> bool:
    verdict = site.why(node)["details"]["view"]["verdict"]
    return verdict is not None and verdict["block"] == "pdb"


def test_no_more_pods_are_ever_down_than_the_budget_allows(plane: Plane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path, "pdb") as site:
        site.settings = {"actions": {"look_again_s": 0.5, "evict_pause_s": 0.5}}
        site.write_config(unneeded_s=1, delay_after_scale_up_s=1, max_drain=3)
        site.start()
        four = _spread(site, 4, 3)
        used = sorted(_hosts(site))
        (free,) = set(four) - set(used)
        site.budget("web", 3)
        site.set_budget("web", 3, allowed=0)
        with following(plane, "pdb") as seen:
            site.scale("filler", 0)  # three nodes are used by a quarter, and one is empty
            until("the empty node is off", lambda: f"off {free}" in site.orders(), 60, story=site.story)
            for node in used:
                until(f"{node} stays for the budget", partial(_is_kept_by_budget, site, node), story=site.story)
                said = site.clues("why", node)
                assert "stays: pdb: a PodDisruptionBudget allows no eviction now" in said
                assert "budget web allows 0 more disruptions" in said
            assert sorted(site.ready()) == used
            assert sorted(_hosts(site)) == used

            site.set_budget("web", 2, allowed=1)
            until("one machine is left", lambda: len(site.ready()) == 1 and len(_offs(site)) == 3, 90, story=site.story)
            until("it has all pods", lambda: _hosts(site) == site.ready() * 3, story=site.story)
        assert min(seen.over(lambda now: len(now.available("web")))) == 2
        assert max(seen.over(lambda now: len(now.draining("web")))) == 1
        assert sorted(_offs(site)) == sorted({*four} - {*site.ready()})
        assert site.left_behind() == {}


def _offs(site: Cluster) -> list[str]:
    return [order.removeprefix("off ") for order in site.orders() if order.startswith("off ")]


def test_what_the_eviction_api_refuses_stays_until_the_budget_is_loosened(plane: Plane, tmp_path: Path) -> None:
    """The budget is tightened between the decision and the eviction: now the server has to say no."""
    with cluster(plane, tmp_path, "evict", machines=2) as site:
        site.settings = {"actions": {"look_again_s": 5, "evict_pause_s": 0.5}}
        site.write_config(unneeded_s=1, delay_after_scale_up_s=1)
        site.start()
        two = _spread(site, 2, 2)
        site.budget("web", 1)
        site.set_budget("web", 1, allowed=1)
        refused = _refused(plane)
        with following(plane, "evict") as seen:
            site.scale("filler", 0)
            (node,) = until("a node is cordoned", lambda: sorted(set(two) - set(site.ready())), story=site.story)
            site.set_budget("web", 2, allowed=0)
            until("the server has refused twice", lambda: _refused(plane) >= refused + 2, 60, story=site.story)
            why = site.why(node)
            assert (why["details"]["action"]["kind"], why["details"]["action"]["phase"]) == ("power-off", "draining")
            assert why["summary"].startswith("power-off, draining: underused for")
            assert sorted(_hosts(site)) == two
            assert _offs(site) == []

            site.set_budget("web", 1, allowed=1)
            until("the node is off", lambda: _offs(site) == [node], 60, story=site.story)
            until("both pods run on the other", lambda: _hosts(site) == site.ready() * 2, story=site.story)
        assert min(seen.over(lambda now: len(now.available("web")))) == 1
        assert site.left_behind() == {}
