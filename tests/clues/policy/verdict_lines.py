"""Lines of the shared verdicts of kube-scheduler's plugins, as snapshots (not through the wire)."""

from typing import Any

from clues.model import (
    ARCH,
    HOSTNAME,
    OS,
    ZONE,
    Effect,
    HostPort,
    Node,
    NodeTerm,
    Operator,
    Pod,
    PodTerm,
    Requirement,
    Spread,
    Taint,
    Toleration,
)
from clues.snapshot import Snapshot
from infracore.quantities import quantity_milli, quantity_units
from tests.clues.build import match, pod, snapshot, spec

GPU = "nvidia.com/gpu"
_SHORT = {"zone": ZONE, "host": HOSTNAME, "arch": ARCH}


def _key(word: str) -> str:
    return _SHORT.get(word, word)


def _requirement(item: dict[str, Any]) -> Requirement:
    return Requirement(_key(item["key"]), Operator(item["op"]), tuple(map(str, item.get("values", ()))))


def _terms(items: list[dict[str, Any]], namespace: str) -> tuple[PodTerm, ...]:
    return tuple(PodTerm(_key(i["topology"]), match(**i["match"]), frozenset({namespace})) for i in items)


def to_node(item: dict[str, Any]) -> Node:
    labels = {HOSTNAME: item["name"], OS: "linux", ARCH: item.get("arch", "amd64"), **item["labels"]}
    if "zone" in item:
        labels[ZONE] = item["zone"]
    amounts = {
        "cpu": quantity_milli(item["cpu"]),
        "memory": quantity_units(item["memory"]),
        "pods": item.get("max_pods", 110),
        GPU: item.get("gpu", 0),
    }
    taints = tuple(Taint(t["key"], t["value"], Effect(t["effect"])) for t in item.get("taints", ()))
    return Node(name=item["name"], labels=labels, allocatable=amounts, taints=taints)


def to_pod(item: dict[str, Any]) -> Pod:
    namespace = item.get("namespace", "default")
    affinity = item.get("affinity", {})
    init, overhead = item.get("init", {}), item.get("overhead", {})
    amounts = {}
    for name, read in (("cpu", quantity_milli), ("memory", quantity_units)):
        amounts[name] = max(read(item[name]), read(init.get(name, 0))) + read(overhead.get(name, 0))
    made = spec(
        amounts["cpu"],
        amounts["memory"],
        {GPU: item.get("gpu", 0)},
        node_selector=tuple((_key(k), v) for k, v in item.get("selector", {}).items()),
        node_affinity=(
            tuple(NodeTerm(tuple(map(_requirement, term))) for term in affinity["node"]) if "node" in affinity else None
        ),
        affinity=_terms(affinity.get("pod", []), namespace),
        anti_affinity=_terms(affinity.get("anti", []), namespace),
        spread=tuple(
            Spread(
                _key(s["topology"]), s["max_skew"], match(**s["match"]), s["when"] == "hard", s.get("min_domains", 1)
            )
            for s in item.get("spread", ())
        ),
        tolerations=tuple(
            Toleration(t.get("key", ""), t.get("operator", "Equal"), t.get("value", ""), t.get("effect", ""))
            for t in item.get("tolerations", ())
        ),
        host_ports=tuple(HostPort(p["port"], p["protocol"]) for p in item.get("host_ports", ())),
    )
    return pod(item["name"], made, labels=item["labels"], namespace=namespace, node=item.get("node", ""))


def to_snapshot(line: dict[str, Any]) -> Snapshot:
    return snapshot(map(to_node, line["nodes"]), map(to_pod, line["pods"]))
