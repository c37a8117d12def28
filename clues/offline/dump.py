"""Deciding on a dump: `kubectl get ... -o json`, a List, or a stream of YAML or JSON documents."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from clues.decide import decide
from clues.decision import Decision, Memory
from clues.offline.picture import feed, picture
from clues.offline.reading import documents, read_bytes
from clues.offline.specs import Object
from clues.settings import Settings
from clues.snapshot import Snapshot
from clues.sources.wire import Cluster
from infracore.errors import Misconfigured

__all__ = ["DumpPlan", "objects_in", "plan_dump"]

_READ: Final = frozenset(
    {
        "CSINode",
        "DaemonSet",
        "Job",
        "Namespace",
        "Node",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "Pod",
        "PodDisruptionBudget",
        "ReplicaSet",
        "ReplicationController",
        "StatefulSet",
        "StorageClass",
    }
)


@dataclass(frozen=True, slots=True)
class DumpPlan:
    """What would be decided."""

    snapshot: Snapshot
    memory: Memory
    decision: Decision
    read: dict[str, int]
    """Kind -> objects that were read."""
    passed_over: dict[str, int]
    """Kind -> objects that do not matter here."""


def objects_in(content: bytes, where: str) -> Iterator[Object]:
    """Yield the objects of a dump; lists are taken apart.

    Raises:
        Misconfigured: something in it is no Kubernetes object.
    """
    for number, document in enumerate(documents(content, where), 1):
        yield from _taken_apart(document, f"{where}: document {number}", "")


def _taken_apart(value: Any, where: str, inherited: str) -> Iterator[Object]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _taken_apart(item, f"{where}[{number}]", "")
        return
    if not isinstance(value, dict):
        raise Misconfigured(f"{where} is no Kubernetes object but {type(value).__name__}", "see: kubectl get -o json")
    kind = value.get("kind", inherited)
    if not isinstance(kind, str) or not kind:
        raise Misconfigured(f"{where} has no kind", "write it with: kubectl get pods,nodes -A -o json")
    if kind.endswith("List") and "items" in value:
        items = value["items"]
        if not isinstance(items, list):
            raise Misconfigured(f"{where}: the items of {kind} are no list")
        for number, item in enumerate(items):
            yield from _taken_apart(item, f"{where}: item {number}", kind.removesuffix("List"))
        return
    if not isinstance(value.get("metadata"), dict) or not isinstance(value["metadata"].get("name"), str):
        raise Misconfigured(f"{where}: this {kind[:60]} has no metadata.name")
    yield value if "kind" in value else {**value, "kind": kind}


def plan_dump(path: Path, settings: Settings, *, now: float, unneeded_for_s: float = 0.0) -> DumpPlan:
    """Decide on a dump as if all had been seen for the first time at `now`.

    With `unneeded_for_s`, every node counts as unneeded for so long already, and the last scale-up as over: what
    would be removed if things stayed as they are.

    Raises:
        NotFound, Misconfigured: the file is not there, or is no dump.
    """
    read: Counter[str] = Counter()
    passed_over: Counter[str] = Counter()
    kept: list[Object] = []
    for item in objects_in(read_bytes(path), str(path)):
        if item["kind"] in _READ:
            read[item["kind"]] += 1
            kept.append(item)
        else:
            passed_over[item["kind"]] += 1
    if not read["Node"] and not read["Pod"]:
        raise Misconfigured(f"{path} holds neither nodes nor pods", "write it with: kubectl get pods,nodes -A -o json")
    cluster = Cluster()
    try:
        feed(cluster, kept)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise Misconfigured(f"{path} holds what is no JSON value: {error}") from error
    snapshot = picture(cluster, now, settings.pools)
    since = now - unneeded_for_s
    memory = Memory(unneeded_since=dict.fromkeys(snapshot.nodes, since)) if unneeded_for_s else Memory()
    decision = decide(snapshot, settings.pools, settings.policy, memory)
    return DumpPlan(snapshot, memory, decision, dict(read), dict(passed_over))
