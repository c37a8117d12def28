"""The real scheduler judges our decisions: with the nodes that were ordered it binds the pods, with one fewer not all.

Every scenario whose answer kube-scheduler can give is put into the real control plane: its nodes, its running pods,
the nodes that were ordered, and then the pending pods.
"""

import contextlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
import pytest

from clues.offline.answer import answer
from clues.offline.case import arrived_node, case_of
from clues.offline.objects import node_objects, objects_of
from clues.offline.scenario import Scenario, read_scenarios
from tests.clues.scenarios.places import OWN, SCENARIOS
from tests.controlplane.cluster import until
from tests.controlplane.plane import ApiError
from tests.controlplane.programs import build
from tests.controlplane.rig import ControlPlane, running

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(120)]
_NOW = 1_700_000_000.0
_PATHS = {
    "Namespace": "/api/v1/namespaces",
    "Node": "/api/v1/nodes",
    "PersistentVolume": "/api/v1/persistentvolumes",
    "StorageClass": "/apis/storage.k8s.io/v1/storageclasses",
}
_OURS = ("uid", "resourceVersion", "creationTimestamp", "ownerReferences")


def _scenarios() -> list[Any]:
    found: dict[str, Scenario] = {}
    for path in (SCENARIOS, OWN):
        if path.is_file():
            found.update({f"{path.stem}-{item.id}": item for item in read_scenarios(path).scenarios})
    return [pytest.param(item, id=name) for name, item in found.items() if _is_for_the_scheduler(item)]


def _is_for_the_scheduler(item: Scenario) -> bool:
    """Leave out what the scheduler has no say in, or cannot do here."""
    checked = "kube-scheduler" in item.checked and bool(item.expect.get("scale_up"))
    odd = any(pod.volumes or pod.nominated_node or pod.deleting or pod.gated or pod.overhead for pod in item.pods)
    foreign = any(pod.scheduler != "default-scheduler" for pod in item.pods)
    unsettled = any(node.state != "ready" for node in item.nodes)
    return checked and not odd and not foreign and not unsettled and not item.machines


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """Return a control plane in which nobody doubts nodes that have no kubelet."""
    try:
        programs = build()
    except RuntimeError as error:
        pytest.skip(f"no Kubernetes control plane can be had: {error}")
    plane = ControlPlane(tmp_path_factory.mktemp("scheduler"), programs, grace="24h")
    with running(plane) as started:
        yield started


@pytest.mark.parametrize("scenario", _scenarios())
def test_the_scheduler_binds_what_was_planned_and_no_node_is_superfluous(
    scheduler: ControlPlane, scenario: Scenario
) -> None:
    decided = answer(scenario)
    pending = {name for pod in scenario.pods if not pod.node for name in _names(pod)}
    helped = pending - {name.rsplit("/", 1)[-1] for name in decided.unschedulable}
    bound = _bound(scheduler, scenario, decided.scale_up, len(helped))
    assert len(bound) == len(helped), f"bound {sorted(bound)}, planned {sorted(helped)}"
    pool = max(decided.scale_up, key=lambda name: decided.scale_up[name])
    fewer = {**decided.scale_up, pool: decided.scale_up[pool] - 1}
    assert len(_bound(scheduler, scenario, fewer, None)) < len(helped)


def _names(pod: Any) -> list[str]:
    return [f"{pod.name}-{number}" for number in range(pod.count)] if pod.count is not None else [pod.name]


def _bound(plane: ControlPlane, scenario: Scenario, ordered: Mapping[str, int], wanted: int | None) -> set[str]:
    """Return the names of the pods that were pending and that the scheduler bound."""
    where = f"scenario {scenario.id}"
    case = case_of(scenario, where, _NOW)
    objects = list(objects_of(scenario, _NOW, where))
    for pool, count in ordered.items():
        for number in range(count):
            node = arrived_node(case.sized[pool], f"{pool}-new-{number}")
            objects += node_objects(node, scenario, _NOW, where)
    made: list[str] = []
    waiting: list[str] = []
    try:
        for item in sorted(objects, key=_order):
            path = _create(plane, item)
            if path:
                made.append(path)
                if item["kind"] == "Pod" and not item["spec"].get("nodeName"):
                    waiting.append(path)
        return _settled(plane, waiting, wanted)
    finally:
        for path in reversed(made):
            with contextlib.suppress(ApiError):
                plane.delete(path, {"gracePeriodSeconds": 0})
        until("everything is gone", lambda: not plane.items("/api/v1/pods"), 30)


def _order(item: Mapping[str, Any]) -> tuple[int, int]:
    kinds = {"Namespace": 0, "StorageClass": 1, "PersistentVolume": 2, "Node": 3, "Pod": 4}
    priority = int(item.get("spec", {}).get("priority", 0)) if item["kind"] == "Pod" else 0
    is_pending = item["kind"] == "Pod" and not item["spec"].get("nodeName")
    return kinds.get(str(item["kind"]), 9), (1 - priority if is_pending else -(10**10))


def _create(plane: ControlPlane, item: dict[str, Any]) -> str:
    """Create one object; return its path, "" for kinds that the scheduler does not read from here."""
    if item["kind"] not in {*_PATHS, "Pod"} or (item["kind"] == "Namespace" and item["metadata"]["name"] == "default"):
        return ""
    body = msgspec.json.decode(msgspec.json.encode(item))
    for key in _OURS:
        body["metadata"].pop(key, None)
    namespace = body["metadata"].get("namespace", "")
    if item["kind"] == "Pod":
        body.pop("status", None)
        body["spec"]["automountServiceAccountToken"] = False
        priority = body["spec"].pop("priority", 0)
        if priority:
            body["spec"]["priorityClassName"] = _priority_class(plane, priority)
        path = f"/api/v1/namespaces/{namespace}/pods"
        until(f"namespace {namespace}", lambda: _is_there(plane, namespace))
    else:
        path = _PATHS[item["kind"]]
    if item["kind"] == "Node":  # admission calls it not ready until the controller has looked
        body["status"].setdefault("conditions", [{"type": "Ready", "status": "True"}])
    try:
        plane.create(path, body)
    except ApiError as error:
        if error.status != 409:
            raise
        return ""
    name = f"{path}/{body['metadata']['name']}"
    if item["kind"] == "Node":
        until("the node is trusted", lambda: not _not_ready(plane.get(name)))
    return name if item["kind"] != "Namespace" else ""


def _not_ready(node: Mapping[str, Any]) -> bool:
    return any(taint["key"].startswith("node.kubernetes.io/not-ready") for taint in node["spec"].get("taints", []))


def _is_there(plane: ControlPlane, namespace: str) -> bool:
    with contextlib.suppress(ApiError):
        return bool(plane.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/default"))
    return False


def _priority_class(plane: ControlPlane, value: int) -> str:
    name = f"p{value}".replace("-", "minus")
    with contextlib.suppress(ApiError):
        plane.create(
            "/apis/scheduling.k8s.io/v1/priorityclasses",
            {"metadata": {"name": name}, "value": value, "preemptionPolicy": "Never"},
        )
    return name


def _settled(plane: ControlPlane, paths: list[str], wanted: int | None) -> set[str]:
    """Wait until the scheduler has bound or refused every pod, and has nothing more to say for a while."""
    ends, quiet_since, last = time.monotonic() + 40, time.monotonic(), None
    while time.monotonic() < ends:
        pods = [plane.get(path) for path in paths]
        bound = {pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName")}
        if wanted is not None and len(bound) == wanted:
            return bound
        refused = {
            pod["metadata"]["name"]
            for pod in pods
            if any(c["type"] == "PodScheduled" and c["status"] == "False" for c in pod["status"].get("conditions", []))
        }
        if (bound, refused) != last:
            last, quiet_since = (bound, refused), time.monotonic()
        if len(bound) + len(refused) == len(pods) and time.monotonic() - quiet_since > (3 if wanted is None else 8):
            return bound
        time.sleep(0.1)
    return bound
