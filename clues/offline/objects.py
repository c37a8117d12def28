"""Scenarios and verdict lines as the Kubernetes objects that an API server would hold for them (API v1.36)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from clues.model import ARCH, HOSTNAME, OS, ZONE
from clues.offline import specs
from clues.offline.format import (
    BudgetText,
    DaemonSetText,
    NodeText,
    PodText,
    PoolText,
    Scenario,
    TaintText,
    TolerationText,
    VolumeText,
)
from clues.offline.scenario import duration_s, expanded_names, word
from clues.offline.specs import GPU, Object
from infracore.errors import Misconfigured

__all__ = ["node_labels", "node_objects", "objects_of", "stamp"]

_LONG_AGO_S: Final = 86400.0
_READY_FOR_S: Final = 7200.0
_STARTING_FOR_S: Final = 120.0
"""A node that still carries a startup taint of its pool has just come, unless the scenario says since when."""
_CONFIG_MIRROR: Final = "kubernetes.io/config.mirror"
_API: Final = {"ReplicaSet": "apps/v1", "StatefulSet": "apps/v1", "DaemonSet": "apps/v1", "Job": "batch/v1"}


def objects_of(scenario: Scenario, now: float, where: str) -> Iterator[Object]:
    """Yield all objects of the cluster at `now` (seconds since the epoch).

    Machines that are on are nodes too, even where the scenario lists them under `machines` only.

    Raises:
        Misconfigured: a quantity or a time is none.
    """
    namespaces = {"default", "kube-system", *(pod.namespace for pod in scenario.pods)}
    namespaces |= {item.namespace for item in scenario.daemonsets} | {item.namespace for item in scenario.pdbs}
    for namespace in sorted(namespaces):
        yield _object("v1", "Namespace", namespace, now, labels={"kubernetes.io/metadata.name": namespace})
    shown = [*scenario.nodes, *_machine_nodes(scenario)]
    yield from (_daemonset(daemon, now, where) for daemon in scenario.daemonsets)
    for node in shown:
        if node.state != "booting":
            yield from node_objects(node, scenario, now, where)
    for budget in scenario.pdbs:
        yield _budget(budget, now)
    for pod in scenario.pods:
        yield from _pods(pod, scenario, now, where)


def node_objects(node: NodeText, scenario: Scenario, now: float, where: str) -> Iterator[Object]:
    """Yield a node and the DaemonSets' pods on it. Raises Misconfigured."""
    pool = next((pool for pool in scenario.pools if pool.name == node.pool), None)
    yield _node(node, pool, now, where)
    for daemon in scenario.daemonsets:
        if _runs_on(daemon, node, pool):
            yield _daemon_pod(daemon, node.name, now, where)


def _machine_nodes(scenario: Scenario) -> list[NodeText]:
    listed = {node.name for node in scenario.nodes}
    return [
        NodeText(
            name=machine.name,
            pool=machine.pool,
            cpu=machine.cpu,
            memory=machine.memory,
            state="deleting" if machine.state == "stopping" else "ready",
            since=machine.since,
            unneeded_for=machine.unneeded_for,
        )
        for machine in scenario.machines
        if machine.state in {"powered_on", "stopping"} and machine.name not in listed
    ]


def stamp(at: float) -> str:
    """Write a time as the API does."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def node_labels(node: NodeText, pool: PoolText | None) -> dict[str, str]:
    """Return the labels of a node as registered."""
    zone = node.zone if node.zone is not None else (pool.zone if pool else "")
    arch = node.arch or (pool.arch if pool else "amd64")
    labels = {HOSTNAME: node.name, OS: "linux", ARCH: arch}
    if zone:
        labels[ZONE] = zone
    if pool:
        labels["pool"] = pool.name
    given = node.labels if node.labels is not None else (pool.labels if pool else {})
    return {**labels, **specs.words(given)}


def _object(
    version: str,
    kind: str,
    name: str,
    now: float,
    *,
    namespace: str = "",
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    age_s: float = _LONG_AGO_S,
) -> Object:
    metadata: Object = {
        "name": name,
        "uid": f"{kind.lower()}-{namespace + '-' if namespace else ''}{name}",
        "resourceVersion": "1",
        "creationTimestamp": stamp(now - age_s),
    }
    if namespace:
        metadata["namespace"] = namespace
    if labels:
        metadata["labels"] = dict(labels)
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": kind, "metadata": metadata}


def _node(node: NodeText, pool: PoolText | None, now: float, where: str) -> Object:
    where = f"{where}: node {node.name}"
    taints = node.taints if node.taints is not None else (pool.taints if pool else ())
    cpu = node.cpu if node.cpu is not None else (pool.cpu if pool else 0)
    memory = node.memory if node.memory is not None else (pool.memory if pool else 0)
    gpu = node.gpu if node.gpu is not None else (pool.gpu if pool else 0)
    slots = node.max_pods if node.max_pods is not None else (pool.max_pods if pool else 110)
    amounts = {
        "cpu": f"{specs.amount_milli(cpu, where)}m",
        "memory": str(specs.amount_units(memory, where)),
        "pods": str(slots),
    }
    if gpu:
        amounts[GPU] = str(gpu)
    starting = pool is not None and any(taint in pool.startup_taints for taint in node.taints or ())
    since_s = _STARTING_FOR_S if starting else _READY_FOR_S
    if node.since is not None:
        since_s = duration_s(node.since, f"{where}: since")
    made = _object(
        "v1",
        "Node",
        node.name,
        now,
        labels=node_labels(node, pool),
        annotations=specs.words(node.annotations),
        age_s=_LONG_AGO_S if node.state == "ready" else max(since_s, _LONG_AGO_S),
    )
    spec: Object = {}
    listed = specs.taints(taints)
    ready = node.state != "unready"
    if not ready:
        listed.append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})
    if node.state == "deleting":
        made["metadata"]["deletionTimestamp"] = stamp(now - since_s)
        made["metadata"]["deletionGracePeriodSeconds"] = 0
        made["metadata"]["finalizers"] = ["example.org/being-drained"]
    if node.cordoned or node.state == "deleting":
        spec["unschedulable"] = True
        listed.append({"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"})
    if listed:
        spec["taints"] = listed
    made["spec"] = spec
    made["status"] = {
        "capacity": dict(amounts),
        "allocatable": amounts,
        "conditions": [
            {
                "type": "Ready",
                "status": "True" if ready else "False",
                "reason": "KubeletReady" if ready else "KubeletNotReady",
                "lastHeartbeatTime": stamp(now),
                "lastTransitionTime": stamp(now - since_s),
            }
        ],
        "addresses": [{"type": "Hostname", "address": node.name}],
    }
    return made


def _owner_reference(kind: str, name: str, namespace: str) -> Object:
    if kind == "Node":
        return {"apiVersion": "v1", "kind": "Node", "name": name, "uid": f"node-{name}", "controller": True}
    return {
        "apiVersion": _API[kind],
        "kind": kind,
        "name": name,
        "uid": f"{kind.lower()}-{namespace}-{name}",
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pods(given: PodText, scenario: Scenario, now: float, where: str) -> Iterator[Object]:
    """Yield an entry's pods, their controller, and the claims, volumes and classes that they use."""
    where = f"{where}: pod {given.name}"
    names = expanded_names(given)
    kind = "Node" if given.owner == "Static" else given.owner
    owner = "" if kind == "none" else given.name
    if kind == "DaemonSet":
        # a pod "agent-x" of a DaemonSet that is there belongs to it; one of a foreign DaemonSet needs no object
        owner = next((d.name for d in scenario.daemonsets if given.name.startswith(d.name)), given.name)
    if kind in {"ReplicaSet", "StatefulSet", "Job"}:
        yield _controller(kind, given, len(names), now)
    node = next((node for node in scenario.nodes if node.name == given.node), None)
    if given.node and node is not None and node.state == "booting":
        raise Misconfigured(f"{where}: nothing can run on {given.node}, which is booting")
    template = specs.pod_spec(given, where)
    for name in names:
        claims = []
        for number, volume in enumerate(given.volumes):
            claim = f"{name}-{number}"
            claims.append(claim)
            yield from _claim(claim, given.namespace, volume, now)
        yield _pod(given, name, template, claims, owned=(kind, owner), now=now, where=where)


def _controller(kind: str, given: PodText, replicas: int, now: float) -> Object:
    made = _object(_API[kind], kind, given.name, now, namespace=given.namespace)
    labels = specs.words(given.labels) or {"name": given.name}
    if kind == "Job":
        made["spec"] = {"parallelism": replicas, "completions": replicas}
    else:
        made["spec"] = {"replicas": replicas, "selector": {"matchLabels": labels}}
        made["status"] = {"replicas": replicas}
    return made


def _pod(
    given: PodText,
    name: str,
    template: Object,
    claims: Sequence[str],
    *,
    owned: tuple[str, str],
    now: float,
    where: str,
) -> Object:
    kind, owner = owned
    age_s = _LONG_AGO_S if given.node else duration_s(given.pending_for, f"{where}: pending_for")
    annotations = specs.words(given.annotations)
    if kind == "Node":
        annotations[_CONFIG_MIRROR] = f"mirror-{name}"
    made = _object(
        "v1",
        "Pod",
        name,
        now,
        namespace=given.namespace,
        labels=specs.words(given.labels),
        annotations=annotations,
        age_s=age_s,
    )
    if kind == "Node":
        made["metadata"]["ownerReferences"] = [_owner_reference("Node", given.node, "")]
    elif owner:
        made["metadata"]["ownerReferences"] = [_owner_reference(kind, owner, given.namespace)]
    if given.deleting:
        made["metadata"]["deletionTimestamp"] = stamp(now)
        made["metadata"]["deletionGracePeriodSeconds"] = 30
    spec = dict(template)
    if claims:
        used = [{"name": f"claim-{claim}", "persistentVolumeClaim": {"claimName": claim}} for claim in claims]
        spec["volumes"] = [*spec.get("volumes", []), *used]
    status: Object = {"phase": given.phase or ("Running" if given.node else "Pending")}
    since = stamp(now - age_s)
    if given.node:
        spec["nodeName"] = given.node
        status["conditions"] = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": since}]
    else:
        reason = "SchedulingGated" if given.gated else "Unschedulable"
        status["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": reason, "lastTransitionTime": since}
        ]
    if given.nominated_node:
        status["nominatedNodeName"] = given.nominated_node
    made["spec"], made["status"] = spec, status
    return made


def _claim(name: str, namespace: str, given: VolumeText, now: float) -> Iterator[Object]:
    zone, node, zones = given.pv_zone, given.pv_node, given.class_zones
    claim = _object("v1", "PersistentVolumeClaim", name, now, namespace=namespace)
    claim["spec"] = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    if zones is not None:
        made = _object("storage.k8s.io/v1", "StorageClass", f"zones-{namespace}-{name}", now)
        made["provisioner"] = "csi.example.org"
        made["volumeBindingMode"] = "WaitForFirstConsumer"
        made["allowedTopologies"] = [{"matchLabelExpressions": [{"key": ZONE, "values": list(zones)}]}]
        yield made
        claim["spec"]["storageClassName"] = made["metadata"]["name"]
        claim["status"] = {"phase": "Pending"}
    else:
        volume = f"pv-{namespace}-{name}"
        made = _object("v1", "PersistentVolume", volume, now)
        key, value = (HOSTNAME, node) if node else (ZONE, zone)
        made["spec"] = {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "claimRef": {"namespace": namespace, "name": name, "uid": claim["metadata"]["uid"]},
            "storageClassName": "",
        }
        if value:
            term = {"matchExpressions": [{"key": key, "operator": "In", "values": [value]}]}
            made["spec"]["nodeAffinity"] = {"required": {"nodeSelectorTerms": [term]}}
        if node:
            made["spec"]["local"] = {"path": f"/mnt/{name}"}
        else:
            made["spec"]["csi"] = {"driver": "csi.example.org", "volumeHandle": volume}
        made["status"] = {"phase": "Bound"}
        yield made
        claim["spec"]["storageClassName"] = ""
        claim["spec"]["volumeName"] = volume
        claim["status"] = {"phase": "Bound"}
        claim["metadata"]["annotations"] = {"pv.kubernetes.io/bind-completed": "yes"}
    yield claim


def _daemonset(given: DaemonSetText, now: float, where: str) -> Object:
    labels = specs.words(given.labels) or {"name": given.name}
    made = _object("apps/v1", "DaemonSet", given.name, now, namespace=given.namespace)
    made["spec"] = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": specs.daemon_spec(given, where)},
    }
    return made


_BY_CONTROLLER: Final = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
"""Tolerations that the DaemonSet controller gives to its pods (Kubernetes documentation, "DaemonSet")."""


def _daemon_pod(given: DaemonSetText, node: str, now: float, where: str) -> Object:
    labels = specs.words(given.labels) or {"name": given.name}
    made = _object("v1", "Pod", f"{given.name}-{node}", now, namespace=given.namespace, labels=labels)
    made["metadata"]["ownerReferences"] = [_owner_reference("DaemonSet", given.name, given.namespace)]
    spec = specs.daemon_spec(given, where)
    spec["tolerations"] = [
        *spec.get("tolerations", []),
        *({"key": key, "operator": "Exists", "effect": effect} for key, effect in _BY_CONTROLLER),
    ]
    made["spec"] = {**spec, "nodeName": node}
    made["status"] = {"phase": "Running", "conditions": [{"type": "PodScheduled", "status": "True"}]}
    return made


def _runs_on(daemon: DaemonSetText, node: NodeText, pool: PoolText | None) -> bool:
    labels = node_labels(node, pool)
    if any(labels.get(key) != value for key, value in specs.selected(daemon.selector).items()):
        return False
    taints = node.taints if node.taints is not None else (pool.taints if pool else ())
    return all(
        taint.effect == "PreferNoSchedule" or any(_tolerates(item, taint) for item in daemon.tolerations)
        for taint in taints
    )


def _tolerates(toleration: TolerationText, taint: TaintText) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and word(toleration.value) == word(taint.value)


def _budget(given: BudgetText, now: float) -> Object:
    made = _object("policy/v1", "PodDisruptionBudget", given.name, now, namespace=given.namespace)
    made["spec"] = {"selector": {"matchLabels": specs.words(given.match)}}
    made["status"] = {"disruptionsAllowed": given.allowed, "observedGeneration": 1}
    return made
