"""Pods arrive, machines come, pods run, load ends, nodes drain honouring a budget and go off: all of it real."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from tests.controlplane import answers
from tests.controlplane.cluster import ROOT, Cluster, cluster, until
from tests.controlplane.plane import Plane
from tests.rigs.im_server import ImServer, im_server

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(240)]


def test_machines_follow_the_pods_and_why_tells_it_at_each_moment(plane: Plane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path, "loop") as site:
        site.boot_s = 6
        site.more_pools = [
            {
                "name": "tiny",
                "driver": "machines",
                "allocatable": {"cpu": "1", "memory": "1Gi"},
                "labels": {"pool": "tiny"},
                "powered": True,
                "machines": [{"name": "tiny-1"}],
            }
        ]
        site.write_config(unneeded_s=8, delay_after_scale_up_s=1)
        site.start()
        answers.is_off(site, "loop-1")
        site.deploy("giant", 1, "64")
        answers.is_refused(site, "giant", {"loop": "NodeResourcesFit", "tiny": "NodeResourcesFit"})
        site.deploy("picky", 1, "2", nodeSelector={"pool": "tiny"})
        answers.is_refused(site, "picky", {"loop": "NodeAffinity", "tiny": "NodeResourcesFit"})
        assert site.orders() == []

        site.deploy("web", 4, "1500m")  # two on a machine of four cores
        site.budget("web", 1)
        answers.is_coming(site, "web", "loop")
        answers.boots(site, "loop-1")
        answers.is_off(site, "loop-3")
        until("four pods run", lambda: site.running() == 4, story=site.story)
        assert sorted(site.orders()) == ["on loop-1", "on loop-2"]
        answers.runs(site, "web")
        for node in ("loop-1", "loop-2"):
            answers.is_busy(site, node, 75)

        site.scale("web", 1)  # one machine can take what is left
        until("one pod runs", lambda: len(site.pods("Running")) == 1, story=site.story)
        kept = site.pods("Running")[0]["spec"]["nodeName"]
        (empty,) = {"loop-1", "loop-2"} - {kept}
        answers.is_idle(site, empty, 8)
        answers.is_kept_by_budget(site, kept, "web")
        answers.goes(site, empty)
        answers.is_off(site, empty)
        until("one machine is off again", lambda: site.ready() == [kept], story=site.story)
        assert site.running() == 1

        site.scale("web", 0)
        answers.is_idle(site, kept, 8)
        answers.goes(site, kept)
        answers.is_off(site, kept)
        assert site.left_behind() == {}
        assert sorted(site.orders()) == ["off loop-1", "off loop-2", "on loop-1", "on loop-2"]
        log = site.log.read_text()
        for node in (empty, kept):
            assert re.search(rf"power-on phase=done .*target={node}", log)
            assert re.search(rf"power-off phase=done .*reason='empty for \d+ s' target={node}", log)
        assert site.stop() < 10


def test_a_pod_that_no_machine_can_help_orders_nothing_and_says_why(plane: Plane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path, "giant") as site:
        site.write_config()
        site.start()
        site.deploy("giant", 1, "64")
        answers.is_refused(site, "giant", {"giant": "NodeResourcesFit"})
        assert site.status()["unschedulable"] == 1
        assert site.orders() == []


@contextmanager
def kubelets(site: Cluster, server: ImServer, infrastructure: str) -> Iterator[None]:
    """Let every VM of the infrastructure register a node of its name, and end with its VM."""
    ended = threading.Event()
    beat = [sys.executable, "-m", "tests.controlplane.heartbeat"]
    place = ["--folder", str(site.folder)]
    more = ["--kubeconfig", str(site.plane.kubeconfig), "--label", f"pool={site.prefix}", "--boot", str(site.boot_s)]

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
        site.boot_s = 5
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
        site.write_config(unneeded_s=8, delay_after_scale_up_s=1)
        config = yaml.safe_load(site.config.read_text())
        (pool,) = config["pools"]
        del pool["powered"], pool["machines"]
        pool["max"] = 5
        site.config.write_text(yaml.safe_dump(config))
        site.start()
        with kubelets(site, server, infrastructure):
            site.deploy("giant", 1, "64")
            answers.is_refused(site, "giant", {"imvm": "NodeResourcesFit"})
            site.deploy("web", 4, "1500m")  # two on a machine of four cores
            site.budget("web", 1)
            answers.is_coming(site, "web", "imvm")
            until("four pods run", lambda: site.running() == 4, story=site.story)
            two = site.ready()
            assert len(server.vms(infrastructure)) == len(two) == 2
            answers.runs(site, "web")
            for node in two:
                answers.is_busy(site, node, 75)

            site.scale("web", 1)  # one machine can take what is left
            until("one pod runs", lambda: len(site.pods("Running")) == 1, story=site.story)
            kept = site.pods("Running")[0]["spec"]["nodeName"]
            (empty,) = set(two) - {kept}
            answers.is_idle(site, empty, 8)
            answers.is_kept_by_budget(site, kept, "web")
            answers.goes(site, empty)
            until("one VM is left", lambda: len(server.vms(infrastructure)) == 1, story=site.story)
            until("one node is left", lambda: [n["metadata"]["name"] for n in site.nodes()] == [kept], story=site.story)
            until("nothing is known of the other", lambda: site.why(empty) is None, story=site.story)
            assert site.running() == 1

            site.scale("web", 0)
            answers.is_idle(site, kept, 8)
            answers.goes(site, kept)
            until("no VM is left", lambda: server.vms(infrastructure) == {}, story=site.story)
            until("no node is left", lambda: site.nodes() == [], story=site.story)
        assert site.stop() < 10
