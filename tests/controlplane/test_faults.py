"""What goes wrong in earnest: the API server goes away, the daemon is killed, drivers hang and lie, leaders die."""

import json
import sys
import time
from pathlib import Path

import pytest

from tests.controlplane.cluster import Cluster, cluster, until
from tests.controlplane.plane import Plane

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(280)]


def _ons(site: Cluster) -> list[str]:
    return [order for order in site.orders() if order.startswith("on ")]


def test_killed_while_machines_boot_it_orders_none_twice(plane: Plane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path, "kill") as site:
        site.boot_s = 6
        site.write_config()
        site.start()
        site.deploy("web", 2, "3")
        until("both machines are ordered", lambda: len(_ons(site)) == 2, story=site.story)
        site.kill()
        site.start()
        until("both pods run", lambda: site.running() == 2, story=site.story)
        assert sorted(_ons(site)) == ["on kill-1", "on kill-2"]


def test_without_the_api_server_nothing_is_turned_off_and_work_goes_on_afterwards(plane: Plane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path, "gone") as site:
        site.write_config(max_stale_s=5)
        site.start()
        site.deploy("web", 1, "3")
        until("the pod runs", lambda: site.running() == 1, story=site.story)
        plane.kill_apiserver()
        try:
            until("the picture is stale", lambda: site.status()["stale_s"] > 5, story=site.story)
            assert not any(order.startswith("off") for order in site.orders())
        finally:
            plane.start_apiserver()
        site.deploy("more", 1, "3")
        until("the second pod runs", lambda: site.running() == 2, 60, story=site.story)
        until("the picture is fresh", lambda: site.status()["stale_s"] < 5, story=site.story)


@pytest.mark.slow
def test_a_minute_without_the_api_server_costs_nothing(plane: Plane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path, "minute") as site:
        site.write_config(max_stale_s=5, unneeded_s=8)
        site.start()
        site.deploy("web", 1, "3")
        until("the pod runs", lambda: site.running() == 1, story=site.story)
        site.scale("web", 0)
        until("the node is empty", lambda: site.running() == 0, story=site.story)
        plane.kill_apiserver()
        began = time.monotonic()
        try:
            while time.monotonic() - began < 60:  # far beyond the time after which an empty node goes
                assert site.alive()
                time.sleep(1)
            assert site.status()["stale_s"] > 5
            assert site.orders() == ["on minute-1"]
        finally:
            plane.start_apiserver()
            plane.restart_controllers()
        until(
            "the empty node goes once", lambda: site.orders() == ["on minute-1", "off minute-1"], 60, story=site.story
        )
        site.deploy("more", 1, "3")
        until("the pod runs on another, less worn machine", lambda: site.running() == 1, 60, story=site.story)
        assert site.orders() == ["on minute-1", "off minute-1", "on minute-2"]


def test_a_machine_that_never_registers_is_given_up_and_another_serves(plane: Plane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path, "mute", machines=2) as site:
        site.write_config()
        real = json.loads(json.dumps(__import__("yaml").safe_load(site.config.read_text())))["drivers"]["machines"]
        script = "import sys,subprocess; sys.exit(0 if sys.argv[1]=='mute-1' else subprocess.call(sys.argv[2:]))"
        site.driver = real | {"on": [sys.executable, "-c", script, "{machine}", *real["on"]]}
        site.write_config(max_provision_s=4, backoff={"initial_s": 1, "max_s": 2, "reset_s": 60})
        site.start()
        site.deploy("web", 1, "3")
        until("the pod runs on the other machine", lambda: site.running() == 1, 90, story=site.story)
        assert site.pods("Running")[0]["spec"]["nodeName"] == "mute-2"


def test_a_driver_that_hangs_holds_nobody_up(plane: Plane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path, "hang", machines=2) as site:
        site.write_config()
        real = json.loads(json.dumps(__import__("yaml").safe_load(site.config.read_text())))["drivers"]["machines"]
        script = (
            "import sys,subprocess,time\nif sys.argv[1]=='hang-1': time.sleep(600)\n"
            "sys.exit(subprocess.call(sys.argv[2:]))"
        )
        site.driver = real | {"on": [sys.executable, "-c", script, "{machine}", *real["on"]]}
        site.write_config()
        site.start()
        site.deploy("web", 2, "3")
        until("the machine that does not hang serves", lambda: site.running() == 1, story=site.story)
        assert site.status()["last_pass_at"] > time.time() - 10
        assert site.stop() < 10


def test_the_second_daemon_takes_over_when_the_leader_is_killed(plane: Plane, tmp_path: Path) -> None:
    with cluster(plane, tmp_path / "first", "lead") as first, cluster(plane, tmp_path / "second", "lead") as second:
        for site in (first, second):
            site.folder.mkdir(exist_ok=True)
            site.settings = {"lease": {"enabled": True, "duration_s": 5, "renew_s": 3, "retry_s": 0.5}}
            site.write_config()
        first.start()
        until("the first leads", lambda: first.status()["leader"], story=first.story)
        second.start()
        assert not second.status()["leader"]
        first.deploy("web", 1, "3")
        until("the pod runs", lambda: first.running() == 1, story=first.story)
        assert second.orders() == []
        first.kill()
        until("the second leads", lambda: second.status()["leader"], 30, story=second.story)
        second.deploy("more", 1, "3")
        until("it orders a machine", lambda: second.running() == 2, 60, story=second.story)
        assert len(second.orders()) == 1, f"{first.story()}\n{second.story()}\n{second.pods()}"


def test_odd_quantities_and_annotations_order_nothing_more(plane: Plane, tmp_path: Path) -> None:
    """What the API server takes, odd as it is; what it would not take is in test_malformed.py."""
    with cluster(plane, tmp_path, "odd") as site:
        site.write_config()
        site.start()
        site.deploy("web", 1, "1")
        for number in range(20):
            container = {"name": "c", "image": "none", "resources": {"requests": {"memory": "128974848000m"}}}
            body = {
                "metadata": {
                    "name": f"odd-{number}",
                    "annotations": {"cluster-autoscaler.kubernetes.io/x": "\u2603" * 99},
                },
                "spec": {"containers": [container], "nodeSelector": {"odd": "1"}},
            }
            plane.create("/api/v1/namespaces/odd/pods", body)
        until("the good pod runs", lambda: site.running() == 1, story=site.story)
        assert _ons(site) == ["on odd-1"]
