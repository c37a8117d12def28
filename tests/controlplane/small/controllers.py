"""What makes objects of objects: Deployments to ReplicaSets to pods, budgets' status, pods' nodes, and what is left."""

import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from tests.controlplane.small.store import PODS, Refused, Store, is_ended, is_ready, now, selects

NODES = "/api/v1/nodes"
BUDGETS = "/apis/policy/v1/poddisruptionbudgets"
_DEPLOYMENTS = "/apis/apps/v1/deployments"
_REPLICA_SETS = "/apis/apps/v1/replicasets"
_UNITS = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9}


class Controllers:
    """One thread that looks after everything whenever something changed."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._ended = False
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="controllers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with self._store.changed:
            self._ended = True
            self._store.changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        seen = -1
        while True:
            with self._store.changed:
                while not self._ended and self._store.version == seen:
                    self._store.changed.wait()
                if self._ended:
                    return
                seen = self._store.version
                self._collect()
                for deployment in self._store.sound(_DEPLOYMENTS):
                    self._deployment(deployment)
                for replica_set in self._store.sound(_REPLICA_SETS):
                    self._replica_set(replica_set)
                self._schedule()
                for budget in self._store.sound(BUDGETS):
                    self._budget(budget)

    def _collect(self) -> None:
        """Take away what is orphaned: ReplicaSets and pods of what is gone, pods on nodes that are gone."""
        nodes = {node["metadata"]["name"] for node in self._store.sound(NODES)}
        for resource, owners in ((_REPLICA_SETS, _DEPLOYMENTS), (PODS, _REPLICA_SETS)):
            uids = {owner["metadata"]["uid"] for owner in self._store.sound(owners)}
            for item in self._store.sound(resource):
                owned = [one["uid"] for one in item["metadata"].get("ownerReferences", ())]
                host = item["spec"].get("nodeName")
                if (owned and not uids.intersection(owned)) or (host and host not in nodes):
                    self._store.remove(resource, _key(item))

    def _deployment(self, deployment: Any) -> None:
        name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
        spec = {key: deployment["spec"][key] for key in ("replicas", "selector", "template")}
        try:
            self._store.change(_REPLICA_SETS, (namespace, f"{name}-1"), lambda item: item["spec"].update(spec))
        except Refused:
            meta = {"name": f"{name}-1", "ownerReferences": [_owner(deployment, "apps/v1", "Deployment")]}
            self._store.create(_REPLICA_SETS, namespace, {"metadata": meta, "spec": spec, "status": {}})

    def _replica_set(self, replica_set: Any) -> None:
        uid, namespace = replica_set["metadata"]["uid"], replica_set["metadata"]["namespace"]
        live = [
            pod
            for pod in self._store.sound(PODS)
            if not pod["metadata"].get("deletionTimestamp")
            and not is_ended(pod)
            and any(owner["uid"] == uid for owner in pod["metadata"].get("ownerReferences", ()))
        ]
        wanted, template = replica_set["spec"]["replicas"], replica_set["spec"]["template"]
        for _ in range(wanted - len(live)):
            meta = {
                **template["metadata"],
                "generateName": f"{replica_set['metadata']['name']}-",
                "ownerReferences": [_owner(replica_set, "apps/v1", "ReplicaSet")],
            }
            self._store.create(PODS, namespace, {"metadata": meta, "spec": template["spec"]})
        live.sort(key=lambda pod: (is_ready(pod), pod["spec"].get("nodeName", "")))
        for pod in live[: max(0, len(live) - wanted)]:
            delete_pod(self._store, _key(pod))

    def _budget(self, budget: Any) -> None:
        """Count as the disruption controller does: the pods that there should be, those that are ready, the rest."""
        spec, meta = budget["spec"], budget["metadata"]
        pods = [
            pod
            for pod in self._store.sound(PODS)
            if pod["metadata"]["namespace"] == meta["namespace"] and selects(spec["selector"], pod)
        ]
        healthy = sum(is_ready(pod) and not pod["metadata"].get("deletionTimestamp") for pod in pods)
        status = {
            "observedGeneration": meta["generation"],
            "currentHealthy": healthy,
            "desiredHealthy": spec["minAvailable"],
            "expectedPods": len(pods),
            "disruptionsAllowed": max(0, healthy - spec["minAvailable"]),
        }
        self._store.change(BUDGETS, _key(budget), lambda item: item.update(status=status))

    def _schedule(self) -> None:
        nodes = [node for node in self._store.sound(NODES) if is_ready(node) and not node["spec"].get("unschedulable")]
        pods = self._store.sound(PODS)
        free = {node["metadata"]["name"]: _amounts(node["status"]["allocatable"]) for node in nodes}
        for pod in pods:
            if pod["spec"].get("nodeName") in free and not is_ended(pod):
                _take(free[pod["spec"]["nodeName"]], pod)
        for pod in pods:
            if pod["spec"].get("nodeName") or pod["metadata"].get("deletionTimestamp") or is_ended(pod):
                continue
            fitting = [
                node["metadata"]["name"]
                for node in nodes
                if _may(pod, node)
                and all(free[node["metadata"]["name"]].get(key, 0) >= much for key, much in _asked(pod).items())
            ]
            chosen = max(fitting, key=lambda name: (free[name]["cpu"], name), default="")
            if chosen:
                _take(free[chosen], pod)
            self._store.change(PODS, _key(pod), partial(_bind, node=chosen))


def delete_pod(store: Store, key: tuple[str, str], grace_s: float | None = None) -> Any:
    """Delete a pod as the API server does: one that a kubelet has is only told to go, unless the grace is none."""

    def mark(item: Any) -> None:
        item["metadata"].setdefault("deletionTimestamp", now())

    with store.together():
        pod = store.get(PODS, key)
        if not pod["spec"].get("nodeName") or is_ended(pod) or grace_s == 0:
            return store.remove(PODS, key)
        return store.change(PODS, key, mark)


def evict(store: Store, key: tuple[str, str]) -> None:
    """Delete a pod if its budget has a disruption left. Raises Refused: 429, or 500 under two budgets."""
    with store.together():
        pod = store.get(PODS, key)
        over = [
            budget
            for budget in store.sound(BUDGETS)
            if budget["metadata"]["namespace"] == key[0] and selects(budget["spec"]["selector"], pod)
        ]
        if len(over) > 1:
            raise Refused(500, "InternalError", "This pod has more than one PodDisruptionBudget")
        if over and is_ready(pod):
            status = over[0].get("status", {})
            stale = status.get("observedGeneration") != over[0]["metadata"]["generation"]
            if stale or status["disruptionsAllowed"] < 1:
                store.refused_evictions += 1
                raise Refused(
                    429, "TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget."
                )
            store.change(BUDGETS, _key(over[0]), lambda item: _use(item["status"]))
        delete_pod(store, key)


def _use(status: dict[str, Any]) -> None:
    status["disruptionsAllowed"] -= 1


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["metadata"].get("namespace", ""), item["metadata"]["name"]


def _owner(item: Any, version: str, kind: str) -> dict[str, Any]:
    meta = item["metadata"]
    return {"apiVersion": version, "kind": kind, "name": meta["name"], "uid": meta["uid"], "controller": True}


def _bind(pod: Any, node: str) -> None:
    condition = {"type": "PodScheduled", "status": "True"}
    if node:
        pod["spec"]["nodeName"] = node
    else:
        said = "no node has room for it, or it may run on none"
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": said}
    others = [one for one in pod["status"].get("conditions", []) if one["type"] != "PodScheduled"]
    before = [one for one in pod["status"].get("conditions", []) if one["type"] == "PodScheduled"]
    same = before and before[0]["status"] == condition["status"]
    condition["lastTransitionTime"] = before[0]["lastTransitionTime"] if same else now()
    pod["status"]["conditions"] = [*others, condition]


def _may(pod: Any, node: Any) -> bool:
    labels = node["metadata"].get("labels", {})
    if any(labels.get(key) != value for key, value in pod["spec"].get("nodeSelector", {}).items()):
        return False
    tolerated = pod["spec"].get("tolerations", [])
    hard = [taint for taint in node["spec"].get("taints", []) if taint["effect"] != "PreferNoSchedule"]
    return all(any(one.get("key") in {None, taint["key"]} for one in tolerated) for taint in hard)


def _asked(pod: Any) -> dict[str, float]:
    total = {"pods": 1.0}
    for container in pod["spec"]["containers"]:
        for key, much in _amounts(container.get("resources", {}).get("requests", {})).items():
            total[key] = total.get(key, 0.0) + much
    return total


def _take(free: dict[str, float], pod: Any) -> None:
    for key, much in _asked(pod).items():
        free[key] = free.get(key, 0.0) - much


def _amounts(given: Mapping[str, str]) -> dict[str, float]:
    return {key: _amount(str(text)) for key, text in given.items()}


def _amount(text: str) -> float:
    for unit, factor in _UNITS.items():
        if text.endswith(unit):
            return float(text.removesuffix(unit)) * factor
    return float(text)
