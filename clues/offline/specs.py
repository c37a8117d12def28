"""Specs of pods and nodes as the Kubernetes API has them (v1.36), from their short form in scenarios."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from clues.offline.format import (
    AffinityText,
    Amounts,
    DaemonSetText,
    ExpressionText,
    PodText,
    Quantity,
    SpreadText,
    TaintText,
    TermText,
    TolerationText,
    Word,
)
from clues.offline.scenario import long_key, word
from infracore.errors import Misconfigured
from infracore.quantities import quantity_milli, quantity_units

__all__ = ["GPU", "Object", "amount_milli", "amount_units", "daemon_spec", "pod_spec", "selected", "taints", "words"]

Object: TypeAlias = dict[str, Any]
GPU: Final = "nvidia.com/gpu"
_REQUIRED: Final = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED: Final = "preferredDuringSchedulingIgnoredDuringExecution"


def amount_milli(value: Quantity, where: str) -> int:
    """Read a cpu quantity in millicores. Raises Misconfigured."""
    try:
        amount = quantity_milli(value)
    except ValueError as error:
        raise Misconfigured(f"{where}: cpu: {error}") from error
    if amount < 0:
        raise Misconfigured(f"{where}: cpu: {value!r} is negative")
    return amount


def amount_units(value: Quantity, where: str, what: str = "memory") -> int:
    """Read a quantity of bytes or devices. Raises Misconfigured."""
    try:
        amount = quantity_units(value)
    except ValueError as error:
        raise Misconfigured(f"{where}: {what}: {error}") from error
    if amount < 0:
        raise Misconfigured(f"{where}: {what}: {value!r} is negative")
    return amount


def words(given: Mapping[str, Word]) -> dict[str, str]:
    return {key: word(value) for key, value in given.items()}


def selected(given: Mapping[str, Word]) -> dict[str, str]:
    return {long_key(key): word(value) for key, value in given.items()}


def taints(given: Sequence[TaintText]) -> list[Object]:
    return [{"key": t.key, "value": word(t.value), "effect": t.effect} for t in given]


def pod_spec(given: PodText, where: str) -> Object:
    spec: Object = {"schedulerName": given.scheduler, "priority": given.priority}
    ports = [
        {"containerPort": item.port, "hostPort": item.port, "protocol": item.protocol} for item in given.host_ports
    ]
    spec["containers"] = [_container("main", _requests(given.cpu, given.memory, given.gpu, where), ports)]
    if given.init is not None:
        spec["initContainers"] = [_container("init", _overhead(given.init, f"{where}: init"))]
    if given.overhead is not None:
        spec["overhead"] = _overhead(given.overhead, f"{where}: overhead")
    if given.selector:
        spec["nodeSelector"] = selected(given.selector)
    if given.tolerations:
        spec["tolerations"] = _tolerations(given.tolerations)
    if affinity := _affinity(given.affinity):
        spec["affinity"] = affinity
    if given.spread:
        spec["topologySpreadConstraints"] = _spread(given.spread, where)
    volumes: list[Object] = []
    for item in given.local_storage:
        if item.kind == "hostPath":
            volumes.append({"name": item.name, "hostPath": {"path": f"/data/{item.name}"}})
        elif item.kind in {"emptyDir", "memory"}:
            volumes.append({"name": item.name, "emptyDir": {"medium": "Memory"} if item.kind == "memory" else {}})
        else:
            raise Misconfigured(f"{where}: local_storage: {item.kind[:40]!r} is not emptyDir, hostPath or memory")
    if volumes:
        spec["volumes"] = volumes
    if given.gated:
        spec["schedulingGates"] = [{"name": "example.org/gate"}]
    return spec


def daemon_spec(given: DaemonSetText, where: str) -> Object:
    spec: Object = {
        "schedulerName": "default-scheduler",
        "priority": given.priority,
        "containers": [
            _container("main", _requests(given.cpu, given.memory, 0, f"{where}: DaemonSet {given.name}")),
        ],
    }
    if given.selector:
        spec["nodeSelector"] = selected(given.selector)
    if given.tolerations:
        spec["tolerations"] = _tolerations(given.tolerations)
    return spec


def _requests(cpu: Quantity, memory: Quantity, gpu: int, where: str) -> dict[str, str]:
    amounts: dict[str, str] = {}
    if milli := amount_milli(cpu, where):
        amounts["cpu"] = f"{milli}m"
    if units := amount_units(memory, where):
        amounts["memory"] = str(units)
    if gpu:
        amounts[GPU] = str(gpu)
    return amounts


def _container(name: str, requests: Mapping[str, str], ports: Sequence[Object] = ()) -> Object:
    made: Object = {"name": name, "image": "registry.k8s.io/pause:3.10", "resources": {"requests": dict(requests)}}
    if GPU in requests:
        made["resources"]["limits"] = {GPU: requests[GPU]}  # extended resources: limit and request are one
    if ports:
        made["ports"] = list(ports)
    return made


def _tolerations(given: Sequence[TolerationText]) -> list[Object]:
    listed = []
    for item in given:
        made: Object = {"operator": item.operator}
        if item.key:
            made["key"] = item.key
        if item.operator != "Exists":
            made["value"] = word(item.value)
        if item.effect:
            made["effect"] = item.effect
        listed.append(made)
    return listed


def _affinity(given: AffinityText) -> Object:
    made: Object = {}
    node: Object = {}
    if given.node:
        node[_REQUIRED] = {"nodeSelectorTerms": [_expressions(term) for term in given.node]}
    if given.node_preferred:
        node[_PREFERRED] = _weighted([_expressions(term) for term in given.node_preferred], "preference")
    if node:
        made["nodeAffinity"] = node
    for name, required, preferred in (
        ("podAffinity", given.pod, given.pod_preferred),
        ("podAntiAffinity", given.anti, given.anti_preferred),
    ):
        part: Object = {}
        if required:
            part[_REQUIRED] = _pod_terms(required)
        if preferred:
            part[_PREFERRED] = _weighted(_pod_terms(preferred), "podAffinityTerm")
        if part:
            made[name] = part
    return made


def _expressions(term: Sequence[ExpressionText]) -> Object:
    made = []
    for item in term:
        expression: Object = {"key": long_key(item.key), "operator": item.op}
        if item.values:
            expression["values"] = [word(value) for value in item.values]
        made.append(expression)
    return {"matchExpressions": made}


def _pod_terms(given: Sequence[TermText]) -> list[Object]:
    return [
        {"labelSelector": {"matchLabels": words(item.match)}, "topologyKey": long_key(item.topology)} for item in given
    ]


def _weighted(terms: Sequence[Object], key: str) -> list[Object]:
    return [{"weight": 1, key: term} for term in terms]


def _spread(given: Sequence[SpreadText], where: str) -> list[Object]:
    made = []
    for item in given:
        if item.when not in {"hard", "soft"}:
            raise Misconfigured(f"{where}: spread: when: {item.when[:40]!r} is neither hard nor soft")
        one: Object = {
            "maxSkew": item.max_skew,
            "topologyKey": long_key(item.topology),
            "whenUnsatisfiable": "DoNotSchedule" if item.when == "hard" else "ScheduleAnyway",
            "labelSelector": {"matchLabels": words(item.match)},
        }
        if item.min_domains is not None:
            one["minDomains"] = item.min_domains
        made.append(one)
    return made


def _overhead(given: Amounts, where: str) -> dict[str, str]:
    return _requests(given.cpu, given.memory, given.gpu, where)
