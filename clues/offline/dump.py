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
from clues.offline.reading import Unreadable, documents, read_bytes
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
        "PodGroup",
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
    set_aside: tuple[str, ...]
    """What is wrong with objects, or parts of them, that were left out, a sentence each."""


def objects_in(content: bytes, where: str) -> Iterator[Object | Misconfigured]:
    """Yield the objects of a dump; lists are taken apart. In place of one that is none stands what is wrong with it.

    Raises:
        Misconfigured: it is neither YAML nor JSON.
    """
    for number, document in enumerate(documents(content, where, apart="items"), 1):
        yield from _taken_apart(document, f"document {number}", "")


def _taken_apart(value: Any, where: str, inherited: str) -> Iterator[Object | Misconfigured]:
    if isinstance(value, list):
        for number, item in enumerate(value):
            yield from _taken_apart(item, f"{where}[{number}]", "")
    elif isinstance(value, Unreadable):
        yield Misconfigured(f"{where}: {value.error.message}")
    elif not isinstance(value, dict):
        yield Misconfigured(f"{where} is no Kubernetes object but {type(value).__name__}")
    else:
        yield from _of_mapping(value, where, inherited)


def _of_mapping(value: Object, where: str, inherited: str) -> Iterator[Object | Misconfigured]:
    kind = value.get("kind", inherited)
    if not isinstance(kind, str) or not kind:
        yield Misconfigured(f"{where} has no kind")
    elif kind.endswith("List") and "items" in value:
        items = value["items"]
        if not isinstance(items, list):
            yield Misconfigured(f"{where}: the items of {kind[:60]} are no list")
            return
        for number, item in enumerate(items):
            yield from _taken_apart(item, f"{where}: item {number}", kind.removesuffix("List"))
    elif not isinstance(value.get("metadata"), dict) or not isinstance(value["metadata"].get("name"), str):
        yield Misconfigured(f"{where}: this {kind[:60]} has no metadata.name")
    else:
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
    set_aside: list[str] = []
    cluster = Cluster()
    for item in objects_in(read_bytes(path), str(path)):
        if isinstance(item, Misconfigured):
            set_aside.append(item.message)
        elif item["kind"] not in _READ:
            passed_over[item["kind"]] += 1
        else:
            try:
                feed(cluster, (item,))
            except (msgspec.MsgspecError, RecursionError) as error:
                set_aside.append(f"{item['kind']} {item['metadata']['name']}: no JSON value: {error}")
            else:
                read[item["kind"]] += 1
    if not read["Node"] and not read["Pod"]:
        said = f"{path} is empty" if not (read or passed_over or set_aside) else f"{path} holds neither nodes nor pods"
        more = f"; {len(set_aside)} set aside, the first: {set_aside[0]}" if set_aside else ""
        raise Misconfigured(f"{said}{more}", "write it with: kubectl get pods,nodes -A -o json")
    snapshot = picture(cluster, now, settings.pools)
    since = now - unneeded_for_s
    memory = Memory(unneeded_since=dict.fromkeys(snapshot.nodes, since)) if unneeded_for_s else Memory()
    decision = decide(snapshot, settings.pools, settings.policy, memory)
    return DumpPlan(snapshot, memory, decision, dict(read), dict(passed_over), (*set_aside, *snapshot.problems))
