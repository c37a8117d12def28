"""The list-and-watch, the cache and the drain against the real API server."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from clues.drain.kubernetes import PARKED, KubernetesDrain
from clues.kubeapi.api import Api, connection_of
from clues.options import Pool
from clues.snapshot import Snapshot
from clues.sources.kubernetes import KubernetesSource
from clues.sources.listwatch import Timing
from infracore.clock import SystemClock
from infracore.errors import NotFound
from tests.controlplane.cluster import give_rights, pod_template, until
from tests.controlplane.plane import Plane

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(180)]


class Live:
    """A source that watches the plane under the rights of kubernetes/rbac.yaml."""

    def __init__(self, plane: Plane, folder: Path) -> None:
        give_rights(plane, folder / "kubeconfig")
        self.api = Api(connection_of(str(folder / "kubeconfig"), "", {}))
        self.source = KubernetesSource(self.api, SystemClock(), Timing(page=3, watch_s=5, idle_s=5))
        self.source.take_pools([Pool("w")])
        self.woken = threading.Event()
        self.source.start(self.woken.set)
        self.drain = KubernetesDrain(self.api.call)

    def picture(self) -> Snapshot:
        return self.source.snapshot(0.0, {})


@pytest.fixture
def live(plane: Plane, tmp_path: Path) -> Iterator[Live]:
    made = Live(plane, tmp_path)
    yield made
    made.source.stop()
    made.api.close()


@pytest.fixture
def node(plane: Plane) -> Iterator[str]:
    amounts = {"cpu": "4", "memory": "8Gi", "pods": "110"}
    body: dict[str, Any] = {
        "metadata": {"name": "src-1", "labels": {"pool": "w", "kubernetes.io/hostname": "src-1"}},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [{"type": "Ready", "status": "True"}]},
    }
    plane.create("/api/v1/nodes", body)
    yield "src-1"
    for pod in plane.items("/api/v1/namespaces/default/pods"):
        plane.delete(f"/api/v1/namespaces/default/pods/{pod['metadata']['name']}", {"gracePeriodSeconds": 0})
    plane.delete("/api/v1/nodes/src-1")


def _pod(plane: Plane, name: str, node: str = "") -> None:
    template = pod_template("src", "1", **({"nodeName": node} if node else {}))
    body = {"metadata": {"name": name, **template["metadata"]}, "spec": template["spec"]}
    plane.create("/api/v1/namespaces/default/pods", body)


def test_the_picture_follows_the_cluster(plane: Plane, live: Live, node: str) -> None:
    until("every list was taken in", lambda: live.picture().complete)
    until("the node is in it", lambda: node in live.picture().nodes)
    assert live.picture().nodes[node].pool == "w"
    for number in range(8):  # more than two pages
        _pod(plane, f"bound-{number}", node)
    until("its pods are on it", lambda: len(live.picture().nodes[node].pods) == 8)
    container = {"name": "c", "image": "none", "resources": {"requests": {"cpu": "99"}}}
    plane.create("/api/v1/namespaces/default/pods", {"metadata": {"name": "big"}, "spec": {"containers": [container]}})
    until("the pending pod is seen", lambda: [pod.name for pod in live.picture().pending] == ["big"])
    until("the scheduler's word too", lambda: live.picture().pending[0].unschedulable_since)
    assert live.picture().pending[0].spec.requests == (("cpu", 99000),)
    plane.delete("/api/v1/namespaces/default/pods/bound-0", {"gracePeriodSeconds": 0})
    until("a pod that is deleted goes", lambda: len(live.picture().nodes[node].pods) == 7)
    plane.delete("/api/v1/namespaces/default/pods/big", {"gracePeriodSeconds": 0})
    until("a pending one too", lambda: not live.picture().pending)
    assert live.picture().problems == ()
    assert live.source.stale_s() < 10


def test_it_goes_on_after_the_server_was_away(plane: Plane, live: Live, node: str) -> None:
    until("the node is in it", lambda: node in live.picture().nodes)
    plane.kill_apiserver()
    until("it says so", live.source.problems)
    plane.start_apiserver()
    _pod(plane, "late", node)
    until("it has caught up", lambda: len(live.picture().nodes[node].pods) == 1, 60)
    until("all is well again", lambda: not live.source.problems(), 60)


def test_a_node_is_cordoned_emptied_parked_and_taken_back(plane: Plane, live: Live, node: str) -> None:
    _pod(plane, "guest", node)
    live.drain.cordon(node)
    live.drain.cordon(node)  # may be repeated
    assert plane.get(f"/api/v1/nodes/{node}")["spec"]["unschedulable"] is True
    assert not live.drain.is_empty(node)
    asked = live.drain.evict([pod.ref for pod in live.drain.pods_on(node)])
    assert [pod.name for pod in asked.accepted] == ["guest"]
    assert plane.get("/api/v1/namespaces/default/pods/guest")["metadata"]["deletionTimestamp"]
    live.drain.park(node)
    assert plane.get(f"/api/v1/nodes/{node}")["metadata"]["annotations"][PARKED] == "true"
    live.drain.uncordon(node)
    after = plane.get(f"/api/v1/nodes/{node}")
    assert not after["spec"].get("unschedulable")
    assert PARKED not in after["metadata"].get("annotations", {})
    assert [taint["key"] for taint in after["spec"].get("taints", []) if taint["key"].startswith("clues.")] == []


def test_a_budget_refuses_and_force_does_not_ask_it(plane: Plane, live: Live, node: str) -> None:
    _pod(plane, "guarded", node)
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "src"}}}
    plane.create(budgets, {"metadata": {"name": "all"}, "spec": spec})
    try:
        until("the budget counts", lambda: plane.get(f"{budgets}/all").get("status", {}).get("observedGeneration"))
        until("the pod is ready", lambda: _ready(plane, "guarded"))
        pods = [pod.ref for pod in live.drain.pods_on(node)]
        said = live.drain.evict(pods).refused
        assert "429" in next(iter(said.values()))
        assert live.drain.evict(pods, force=True).accepted == tuple(pods)
    finally:
        plane.delete(f"{budgets}/all")


def test_a_pod_under_two_budgets_keeps_no_other_from_being_asked(plane: Plane, live: Live, node: str) -> None:
    _pod(plane, "guarded", node)
    budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "src"}}}
    for name in ("one", "two"):
        plane.create(budgets, {"metadata": {"name": name}, "spec": spec})
    try:
        _ready(plane, "guarded")
        free = {"metadata": {"name": "free"}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "x"}]}}
        plane.create("/api/v1/namespaces/default/pods", free)
        pods = sorted((pod.ref for pod in live.drain.pods_on(node)), key=lambda ref: ref.name, reverse=True)
        asked = live.drain.evict(pods)
        assert [pod.name for pod in asked.accepted] == ["free"]
        assert [pod.name for pod in asked.refused] == ["guarded"]
    finally:
        for name in ("one", "two"):
            plane.delete(f"{budgets}/{name}")


def _ready(plane: Plane, name: str) -> bool:
    path = f"/api/v1/namespaces/default/pods/{name}/status"
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    plane.patch(path, {"status": status})
    return True


def test_a_node_made_anew_under_its_name_is_not_deleted(plane: Plane, live: Live, node: str) -> None:
    uid = plane.get(f"/api/v1/nodes/{node}")["metadata"]["uid"]
    live.drain.delete_node(node, "00000000-0000-4000-8000-000000000000")
    assert plane.get(f"/api/v1/nodes/{node}")["metadata"]["uid"] == uid


def test_absent_nodes(live: Live) -> None:
    live.drain.uncordon("nobody")
    live.drain.park("nobody")
    live.drain.delete_node("nobody")
    assert live.drain.is_empty("nobody")
    with pytest.raises(NotFound):
        live.drain.cordon("nobody")
