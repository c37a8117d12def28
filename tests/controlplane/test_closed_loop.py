"""Pods arrive, machines come, pods run, load ends, nodes drain honouring a budget and go off: all of it real."""

import json
from pathlib import Path

import pytest

from tests.controlplane.cluster import cluster, until
from tests.controlplane.rig import ControlPlane

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(240)]


def test_machines_follow_the_pods(plane: ControlPlane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path, "loop") as site:
        site.write_config()
        site.start()
        site.deploy("web", 4, "1500m")  # two on a machine of four cores
        site.budget("web", 1)
        until("four pods run", lambda: site.running() == 4, story=site.story)
        assert len([order for order in site.orders() if order.startswith("on")]) == 2
        pod = site.pods("Running")[0]["metadata"]["name"]
        assert json.loads(site.clues("why", f"loop/{pod}", "--json"))["kind"] == "pod"

        site.scale("web", 1)  # one machine can take what is left
        until("one machine is off again", lambda: len(site.ready()) == 1, story=site.story)
        until("one pod still runs", lambda: site.running() == 1, story=site.story)
        last = site.ready()[0]
        why = json.loads(site.clues("why", last, "--json"))
        assert why["kind"] == "node"
        assert site.stop() < 10


def test_a_budget_that_allows_nothing_keeps_the_node(plane: ControlPlane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path, "pdb") as site:
        site.write_config(unneeded_s=1, utilization_threshold=0.6)
        site.start()
        site.deploy("web", 2, "2500m")  # one a machine
        until("two pods run", lambda: site.running() == 2, story=site.story)
        site.budget("web", 2)
        site.plane.patch(
            "/apis/apps/v1/namespaces/pdb/deployments/web",
            {"spec": {"paused": True}},
        )
        two = sorted(site.ready())
        verdicts = json.loads(site.clues("nodes", "--json"))
        assert {node["name"] for node in verdicts if node["state"] == "ready"} >= set(two)
        assert sorted(site.ready()) == two


def test_a_pod_that_no_machine_can_help_orders_nothing_and_says_why(plane: ControlPlane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path, "giant") as site:
        site.write_config()
        site.start()
        site.deploy("giant", 1, "64")
        until("the daemon knows the pod", lambda: site.status()["pending"] >= 1, story=site.story)
        until("it says that it cannot", lambda: site.status()["unschedulable"] >= 1, story=site.story)
        name = site.pods()[0]["metadata"]["name"]
        said = site.clues("why", f"giant/{name}")
        assert "NodeResourcesFit" in said or "cpu" in said
        assert site.orders() == []
