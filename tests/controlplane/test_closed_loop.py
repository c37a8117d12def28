"""Pods arrive, machines come, pods run, load ends, nodes drain honouring a budget and go off: all of it real."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.controlplane.cluster import ROOT, Cluster, cluster, until
from tests.controlplane.plane import Plane
from tests.rigs.im_server import ImServer, im_server

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(240)]


def test_machines_follow_the_pods(plane: Plane, tmp_path: Path) -> None:
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


def test_a_budget_that_allows_nothing_keeps_the_node(plane: Plane, tmp_path: Path) -> None:
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


def test_a_pod_that_no_machine_can_help_orders_nothing_and_says_why(plane: Plane, tmp_path: Path) -> None:
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


@contextmanager
def kubelets(site: Cluster, server: ImServer, infrastructure: str) -> Iterator[None]:
    """Let every VM of the infrastructure register a node of its name, and end with its VM."""
    ended = threading.Event()
    beat = [sys.executable, "-m", "tests.controlplane.heartbeat"]
    place = ["--folder", str(site.folder)]
    more = ["--kubeconfig", str(site.plane.kubeconfig), "--label", f"pool={site.prefix}"]

    def follow() -> None:
        while not ended.wait(0.2):
            there = {f"{site.prefix}-{vm}" for vm, state in server.vms(infrastructure).items() if state == "configured"}
            for name in there - set(site.machines):
                site.machines.append(name)
                subprocess.run([*beat, "on", name, *place, *more], cwd=ROOT, check=True, timeout=30)
            for name in set(site.machines) - there:
                site.machines.remove(name)
                subprocess.run([*beat, "off", name, *place], cwd=ROOT, check=True, timeout=30)

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.im_server
def test_virtual_machines_of_a_real_infrastructure_manager_follow_the_pods(plane: Plane, tmp_path: Path) -> None:
    site_folder, im_folder = tmp_path / "site", tmp_path / "im"
    im_folder.mkdir()
    with im_server(im_folder) as server, cluster(plane, site_folder, "imvm", machines=0) as site:
        infrastructure = server.infrastructure("wn", "imvm-#N#")
        auth = site_folder / "auth"
        auth.touch(0o600)
        auth.write_text(server.auth)
        site.driver = {
            "type": "im",
            "url": server.url,
            "infrastructure": infrastructure,
            "auth": {"file": str(auth)},
            "state_file": str(site_folder / "im-book.json"),
            "groups": {"imvm": "wn"},
        }
        site.write_config()
        config = yaml.safe_load(site.config.read_text())
        (pool,) = config["pools"]
        del pool["powered"], pool["machines"]
        pool["max"] = 5
        site.config.write_text(yaml.safe_dump(config))
        site.start()
        with kubelets(site, server, infrastructure):
            site.deploy("web", 4, "1500m")  # two on a machine of four cores
            site.budget("web", 1)
            until("the pods are known", lambda: site.status()["pending"] >= 1 or site.running(), story=site.story)
            name = site.pods()[0]["metadata"]["name"]
            assert json.loads(site.clues("why", f"imvm/{name}", "--json"))["kind"] == "pod"
            until("four pods run", lambda: site.running() == 4, story=site.story)
            assert len(server.vms(infrastructure)) == 2
            for node in site.ready():
                why = json.loads(site.clues("why", node, "--json"))
                assert why["kind"] == "node"
                assert "utilization" in json.dumps(why)

            site.scale("web", 1)  # one machine can take what is left
            until("one VM is left", lambda: len(server.vms(infrastructure)) == 1, story=site.story)
            until("one pod still runs", lambda: site.running() == 1, story=site.story)
            until("one node is left", lambda: len(site.nodes()) == 1, story=site.story)

            site.plane.delete("/apis/policy/v1/namespaces/imvm/poddisruptionbudgets/web")
            site.scale("web", 0)
            until("no VM is left", lambda: server.vms(infrastructure) == {}, story=site.story)
            until("no node is left", lambda: site.nodes() == [], story=site.story)
        assert site.stop() < 10
