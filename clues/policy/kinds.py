"""Pods that no placement rule can tell apart, as one: what the scheduler sees of a pod, whoever owns it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from clues.model import Labels, Pod, PodSpec
from clues.policy.selectors import selector_keys
from clues.snapshot import Alike, NodeState

__all__ = ["Kind", "KindBook", "alike"]


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """Pods that no rule can tell apart. Within a simulation equal kinds are one object, so `is` compares them."""

    namespace: str
    labels: Labels
    """Only those whose key some selector mentions."""
    spec: PodSpec
    index: int
    deleting: bool = False
    """Topology spread does not count pods that are being deleted."""


class KindBook:
    """Finds the kind of a pod; quick where specs and label sets are interned (one look-up per pod)."""

    def __init__(self, specs: Iterable[PodSpec], on_new: Callable[[Kind], None]) -> None:
        """Take the specs of all pods that will ever be asked about, and what is to be told of each new kind."""
        self.keys: set[str] = set()
        for spec in specs:
            self.keys |= selector_keys(spec)
        self.kinds: list[Kind] = []
        self._on_new = on_new
        self._memo: dict[tuple[str, int, int, bool], Kind] = {}
        self._held: list[Any] = []  # keeps the objects whose id() is in _memo alive
        self._known: dict[Any, Kind] = {}

    def of(self, pod: Pod) -> Kind:
        """Return the kind of a pod. Raises ValueError where its selectors mention labels that no spec did before."""
        found = self._memo.get((pod.namespace, id(pod.spec), id(pod.labels) if pod.labels else 0, pod.deleting))
        return found if found is not None else self._learn(pod)

    def made(self, namespace: str, labels: Labels, spec: PodSpec) -> Kind:
        """Return the kind of pods that do not exist yet."""
        return self._intern(namespace, labels, spec, deleting=False)

    def group(self, pods: Iterable[Pod]) -> dict[Kind, list[Pod]]:
        """Group pods by kind; kinds in order of their first pod, pods in the order given."""
        groups: dict[Kind, list[Pod]] = {}
        group: list[Pod] = []
        last: Pod | None = None
        for pod in pods:
            if (  # pods of one owner mostly stand together
                last is None
                or pod.spec is not last.spec
                or pod.labels is not last.labels
                or pod.deleting is not last.deleting
                or pod.namespace != last.namespace
            ):
                group = groups.setdefault(self.of(pod), [])
                last = pod
            group.append(pod)
        return groups

    def _learn(self, pod: Pod) -> Kind:
        kind = self._intern(pod.namespace, pod.labels, pod.spec, deleting=pod.deleting)
        self._memo[pod.namespace, id(pod.spec), id(pod.labels) if pod.labels else 0, pod.deleting] = kind
        self._held.append((pod.spec, pod.labels))
        return kind

    def _intern(self, namespace: str, labels: Labels, spec: PodSpec, *, deleting: bool) -> Kind:
        seen = {key: labels[key] for key in sorted(self.keys & labels.keys())} if labels else {}
        identity = (namespace, tuple(seen.items()), spec, deleting)
        kind = self._known.get(identity)
        if kind is None:
            unknown = selector_keys(spec) - self.keys
            if unknown:
                raise ValueError(
                    f"a pod of {namespace} selects by {', '.join(sorted(unknown))}, which no pod of the snapshot does: "
                    "make the simulation from a snapshot that holds it"
                )
            kind = Kind(namespace, seen, spec, len(self.kinds), deleting)
            self._known[identity] = kind
            self.kinds.append(kind)
            self._on_new(kind)
        return kind


def alike(states: Iterable[NodeState]) -> list[tuple[Pod, dict[int, int]]]:
    """Return pods that share spec and labels as one of them and how many are on which node."""
    found: dict[Alike, tuple[Pod, dict[int, int]]] = {}
    for index, state in enumerate(states):
        for key, pod, number in state.alike:
            known = found.get(key)
            if known is None:
                found[key] = (pod, {index: number})
            else:
                known[1][index] = number
    return list(found.values())
