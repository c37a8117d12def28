"""Small builders of nodes, pods and snapshots for the tests of the pure layers."""

from collections.abc import Iterable, Mapping
from typing import Any

from clues.model import HOSTNAME, Labels, Node, Operator, Pod, PodSpec, PodTerm, Requirement, Selector, Taint
from clues.snapshot import NodeState, Snapshot

GIB = 1 << 30


def match(**labels: str) -> Selector:
    """Return the selector of `matchLabels`."""
    return Selector(tuple(Requirement(k, Operator.IN, (v,)) for k, v in sorted(labels.items())))


def near(key: str, namespace: str = "default", **labels: str) -> PodTerm:
    """Return a term of pod (anti-)affinity over pods of one namespace."""
    return PodTerm(key, match(**labels), frozenset({namespace}))


def node(
    name: str,
    *,
    cpu: int = 4000,
    memory: int = 8 * GIB,
    pods: int = 110,
    labels: Labels | None = None,
    taints: tuple[Taint, ...] = (),
    other: Mapping[str, int] | None = None,
    **fields: Any,
) -> Node:
    """Return a ready node with its hostname label; `fields` are those of Node, `other` more of allocatable."""
    amounts = {"cpu": cpu, "memory": memory, "pods": pods, **(other or {})}
    return Node(name=name, labels={HOSTNAME: name, **(labels or {})}, allocatable=amounts, taints=taints, **fields)


def spec(cpu: int = 0, memory: int = 0, other: Mapping[str, int] | None = None, **fields: Any) -> PodSpec:
    """Return a pod's spec; `fields` are those of PodSpec."""
    amounts = {"cpu": cpu, "memory": memory, **(other or {})}
    return PodSpec(requests=tuple(sorted((k, v) for k, v in amounts.items() if v)), **fields)


def pod(
    name: str, of: PodSpec | None = None, *, labels: Labels | None = None, namespace: str = "default", **fields: Any
) -> Pod:
    """Return a pod; `fields` are those of Pod (`node` binds it)."""
    return Pod(namespace, name, f"uid-{namespace}-{name}", of or PodSpec(), labels or {}, **fields)


def snapshot(nodes: Iterable[Node], pods: Iterable[Pod] = (), **fields: Any) -> Snapshot:
    """Return a snapshot: pods with a node stand there, the others are pending."""
    known = list(pods)
    states = {n.name: NodeState(n, tuple(p for p in known if p.node == n.name)) for n in nodes}
    return Snapshot(now=1e9, nodes=states, pending=tuple(p for p in known if not p.node), **fields)
