"""The right answer by exhaustive search, with a checker of its own: nothing of clues is used.

It reads the format's plain YAML. `places` searches every order and every node for the most pods (the important ones
first) that the scheduler's rules let onto the nodes; `best_mixes` tries every mix of new nodes. Small scenarios only.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

LONG = {"zone": "topology.kubernetes.io/zone", "host": "kubernetes.io/hostname", "arch": "kubernetes.io/arch"}
SUFFIX = {"m": Fraction(1, 1000), "": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_MOST_STATES = 200_000


class TooLargeError(Exception):
    """More states than a search of a second may visit."""


def number(text: Any) -> Fraction:
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text))
    assert found, text
    return Fraction(found[1]) * SUFFIX[found[2]]


def long(key: str) -> str:
    return LONG.get(key, key)


@dataclass
class N:
    name: str
    labels: dict[str, str]
    taints: list[dict[str, str]]
    room: dict[str, Fraction]
    pool: str = ""
    fresh: bool = False
    pods: list[P] = field(default_factory=list)


@dataclass(eq=False)
class P:
    text: dict[str, Any]
    kind: int
    needs: dict[str, Fraction]

    @property
    def labels(self) -> dict[str, str]:
        return {k: str(v) for k, v in self.text.get("labels", {}).items()}

    @property
    def namespace(self) -> str:
        return str(self.text.get("namespace", "default"))


def node_of(name: str, pool: dict[str, Any], node: dict[str, Any], *, fresh: bool) -> N:
    text = {**pool, **{k: v for k, v in node.items() if k not in {"name", "pool"}}}
    labels = {LONG["host"]: name, "kubernetes.io/os": "linux", LONG["arch"]: text.get("arch", "amd64")}
    if text.get("zone"):
        labels[LONG["zone"]] = text["zone"]
    if pool:
        labels["pool"] = pool["name"]
    labels |= {k: str(v) for k, v in text.get("labels", {}).items()}
    room = {
        "cpu": number(text["cpu"]),
        "memory": number(text["memory"]),
        "gpu": Fraction(text.get("gpu", 0)),
        "pods": Fraction(text.get("max_pods", 110)),
    }
    return N(name, labels, text.get("taints", []), room, pool.get("name", ""), fresh)


def needs_of(text: dict[str, Any]) -> dict[str, Fraction]:
    init, over = text.get("init", {}), text.get("overhead", {})
    needs = {"pods": Fraction(1)}
    for name in ("cpu", "memory", "gpu"):
        needs[name] = max(number(text.get(name, 0)), number(init.get(name, 0))) + number(over.get(name, 0))
    return needs


def tolerates(tolerations: list[dict[str, str]], taint: dict[str, str]) -> bool:
    for t in tolerations:
        if t.get("effect") and t["effect"] != taint.get("effect", "NoSchedule"):
            continue
        if t.get("key") and t["key"] != taint["key"]:
            continue
        if t.get("operator", "Equal") == "Exists" or (t.get("key") and t.get("value", "") == taint.get("value", "")):
            return True
    return False


def hard_taints(node: N) -> list[dict[str, str]]:
    return [t for t in node.taints if t.get("effect", "NoSchedule") != "PreferNoSchedule"]


def holds(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    key, op = long(expression["key"]), expression["op"]
    values = [str(v) for v in expression.get("values", [])]
    there = key in labels
    if op == "In":
        return there and labels[key] in values
    if op == "NotIn":
        return not there or labels[key] not in values
    if op == "Exists":
        return there
    if op == "DoesNotExist":
        return not there
    if not there or not labels[key].lstrip("-").isdigit():
        return False
    return int(labels[key]) > int(values[0]) if op == "Gt" else int(labels[key]) < int(values[0])


def admits(pod: P, node: N) -> bool:
    """Whether selector and required node affinity accept the node."""
    if any(node.labels.get(long(k)) != str(v) for k, v in pod.text.get("selector", {}).items()):
        return False
    terms = pod.text.get("affinity", {}).get("node", [])
    return not terms or any(all(holds(e, node.labels) for e in term) for term in terms)


def matches(match: dict[str, Any], other: P) -> bool:
    return all(other.labels.get(k) == str(v) for k, v in match.items())


def volumes_allow(pod: P, node: N) -> bool:
    zone = node.labels.get(LONG["zone"])
    for volume in pod.text.get("volumes", []):
        if "pv_zone" in volume and zone != volume["pv_zone"]:
            return False
        if "pv_node" in volume and node.name != volume["pv_node"]:
            return False
        if "class_zones" in volume and zone not in volume["class_zones"]:
            return False
    return True


def ports(pod: P) -> set[tuple[int, str]]:
    return {(p["port"], p.get("protocol", "TCP")) for p in pod.text.get("host_ports", [])}


def same_place(a: N, b: N, key: str) -> bool:
    return key in a.labels and a.labels[key] == b.labels.get(key)


def allowed(pod: P, node: N, nodes: list[N]) -> bool:
    """Whether the scheduler would put this pod there now."""
    if any(not tolerates(pod.text.get("tolerations", []), t) for t in hard_taints(node)):
        return False
    if not admits(pod, node) or not volumes_allow(pod, node):
        return False
    for name, need in pod.needs.items():
        if need and sum((p.needs[name] for p in node.pods), Fraction(0)) + need > node.room[name]:
            return False
    if any(ports(pod) & ports(other) for other in node.pods):
        return False
    return affinity_allows(pod, node, nodes) and spread_allows(pod, node, nodes)


def affinity_allows(pod: P, node: N, nodes: list[N]) -> bool:
    mine = pod.text.get("affinity", {})
    others = [(other, there) for there in nodes for other in there.pods]
    for term in mine.get("anti", []):
        key = long(term["topology"])
        if any(
            o.namespace == pod.namespace and matches(term["match"], o) and same_place(node, t, key) for o, t in others
        ):
            return False
    for other, there in others:
        for term in other.text.get("affinity", {}).get("anti", []):
            close = same_place(node, there, long(term["topology"]))
            if close and other.namespace == pod.namespace and matches(term["match"], pod):
                return False
    terms = mine.get("pod", [])
    if any(long(term["topology"]) not in node.labels for term in terms):
        return False
    fitting = [
        (o, t) for o, t in others if o.namespace == pod.namespace and all(matches(term["match"], o) for term in terms)
    ]
    if all(any(same_place(node, t, long(term["topology"])) for _o, t in fitting) for term in terms):
        return True
    # nobody matches anywhere: the first of a group that matches itself may begin
    nobody = not any(long(term["topology"]) in t.labels for _o, t in fitting for term in terms)
    return nobody and all(matches(term["match"], pod) for term in terms)


def spread_allows(pod: P, node: N, nodes: list[N]) -> bool:
    hard = [s for s in pod.text.get("spread", []) if s.get("when", "hard") == "hard"]
    keys = [long(s["topology"]) for s in hard]
    eligible = [n for n in nodes if admits(pod, n) and all(k in n.labels for k in keys)]
    for constraint, key in zip(hard, keys, strict=True):
        if key not in node.labels:
            return False
        counts: dict[str, int] = {}
        for there in eligible:
            domain = there.labels[key]
            counts.setdefault(domain, 0)
            counts[domain] += sum(o.namespace == pod.namespace and matches(constraint["match"], o) for o in there.pods)
        least = min(counts.values(), default=0)
        if len(counts) < constraint.get("min_domains", 1):
            least = 0
        after = counts.get(node.labels[key], 0) + int(matches(constraint["match"], pod))
        if after - least > constraint.get("max_skew", 1):
            return False
    return True


def places(pods: list[P], nodes: list[N]) -> tuple[tuple[int, int], ...]:
    """Return how many pods of each priority (highest first) can be placed at most, by trying everything."""
    priorities = sorted({p.text.get("priority", 0) for p in pods}, reverse=True)
    by_kind: dict[int, list[P]] = {}
    for pod in pods:
        by_kind.setdefault(pod.kind, []).append(pod)
    full = tuple((p, sum(q.text.get("priority", 0) == p for q in pods)) for p in priorities)
    best: list[Any] = [tuple((p, 0) for p in priorities)]
    seen: set[Any] = set()

    def state(left: dict[int, int]) -> Any:
        # fresh nodes of one pool that hold the same are alike
        held = sorted((n.pool if n.fresh else n.name, tuple(sorted(p.kind for p in n.pods))) for n in nodes)
        return tuple(held), tuple(sorted(left.items()))

    def go(left: dict[int, int], done: dict[int, int]) -> bool:
        now = tuple((p, done.get(p, 0)) for p in priorities)
        best[0] = max(best[0], now)
        if now == full:
            return True
        key = state(left)
        if key in seen:
            return False
        seen.add(key)
        if len(seen) > _MOST_STATES:
            raise TooLargeError
        for kind, count in left.items():
            if not count:
                continue
            pod = by_kind[kind][0]
            tried = set()
            for node in nodes:
                alike = (node.pool if node.fresh else node.name, tuple(sorted(p.kind for p in node.pods)))
                if alike in tried or not allowed(pod, node, nodes):
                    continue
                tried.add(alike)
                node.pods.append(pod)
                priority = pod.text.get("priority", 0)
                if go({**left, kind: count - 1}, {**done, priority: done.get(priority, 0) + 1}):
                    node.pods.pop()
                    return True
                node.pods.pop()
        return False

    go({kind: len(found) for kind, found in by_kind.items()}, {})
    return best[0]


class World:
    """A scenario, ready to be searched."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.scenario = scenario
        self.pools = {p["name"]: p for p in scenario.get("pools", [])}
        self.settings = scenario.get("settings", {})
        self.daemons = [
            P({**d, "namespace": d.get("namespace", "default")}, -1 - n, needs_of(d))
            for n, d in enumerate(scenario.get("daemonsets", []))
        ]
        self.pending: list[P] = []
        running: list[P] = []
        cutoff = self.settings.get("expendable_below", -10)
        for kind, text in enumerate(scenario.get("pods", [])):
            for _ in range(text.get("count", 1)):
                pod = P(text, kind, needs_of(text))
                if text.get("phase") in {"Succeeded", "Failed"}:
                    continue
                if "node" in text or "nominated_node" in text:
                    running.append(pod)
                elif self.counts(text) and text.get("priority", 0) >= cutoff:
                    self.pending.append(pod)
        self.base: list[N] = []
        self.size = dict.fromkeys(self.pools, 0)
        self.coming: list[N] = []
        for node in scenario.get("nodes", []):
            pool = self.pools.get(node.get("pool", ""), {})
            made = node_of(node["name"], pool, node, fresh=False)
            if pool:
                self.size[pool["name"]] += 1
            if node.get("state", "ready") in {"unready", "deleting"}:
                continue
            self.equip(made)
            made.pods += [p for p in running if p.text.get("node", p.text.get("nominated_node")) == made.name]
            self.base.append(made)

    def counts(self, text: dict[str, Any]) -> bool:
        schedulers = self.settings.get("schedulers", ["default-scheduler"])
        return not (
            text.get("gated") or text.get("deleting") or text.get("scheduler", "default-scheduler") not in schedulers
        )

    def equip(self, node: N) -> None:
        node.pods += [
            d
            for d in self.daemons
            if admits(d, node) and all(tolerates(d.text.get("tolerations", []), t) for t in hard_taints(node))
        ]

    def fresh(self, mix: dict[str, int]) -> list[N]:
        made = []
        for pool, count in mix.items():
            for n in range(count):
                node = node_of(f"{pool}-fresh-{n}", self.pools[pool], {}, fresh=True)
                self.equip(node)
                made.append(node)
        return made

    def placed(self, mix: dict[str, int]) -> tuple[tuple[int, int], ...]:
        return places(self.pending, [*self.base, *self.fresh(mix)])

    def within_limits(self, mix: dict[str, int]) -> bool:
        if any(self.size[p] + n > self.pools[p].get("max", 10) for p, n in mix.items()):
            return False
        total = len(self.scenario.get("nodes", [])) + sum(mix.values())
        if self.settings.get("max_nodes") is not None and total > self.settings["max_nodes"]:
            return False
        if self.settings.get("max_cores") is None:
            return True
        cores = sum(number(self.pools[p]["cpu"]) * n for p, n in mix.items())
        cores += sum(
            number(n.get("cpu", self.pools.get(n.get("pool", ""), {}).get("cpu", 0)))
            for n in self.scenario.get("nodes", [])
        )
        return bool(cores <= number(self.settings["max_cores"]))

    def mixes(self, resting: set[str]) -> list[dict[str, int]]:
        most = []
        for name, pool in self.pools.items():
            room = 0 if name in resting else max(0, pool.get("max", 10) - self.size[name])
            most.append(range(min(room, len(self.pending)) + 1))
        found = (dict(zip(self.pools, counts, strict=True)) for counts in itertools.product(*most))
        return [mix for mix in found if self.within_limits(mix)]

    def cost(self, mix: dict[str, int]) -> Fraction:
        if self.settings.get("expander", "price") == "least_nodes":
            return Fraction(sum(mix.values()))
        return sum((Fraction(str(self.pools[p].get("price", 1))) * n for p, n in mix.items()), Fraction(0))


def best_mixes(world: World, resting: set[str] = frozenset()) -> list[dict[str, int]]:  # type: ignore[assignment]
    """Return the mixes that place the most pods at the least cost, and of these those with the fewest nodes."""
    mixes = sorted(world.mixes(resting), key=lambda mix: (world.cost(mix), sum(mix.values())))
    most = max((world.placed(mix) for mix in _maximal(mixes)), default=())
    found: list[dict[str, int]] = []
    for mix in mixes:
        if found and (world.cost(mix), sum(mix.values())) > (world.cost(found[0]), sum(found[0].values())):
            break
        if world.placed(mix) == most:
            found.append({pool: n for pool, n in mix.items() if n})
    return found


def _maximal(mixes: list[dict[str, int]]) -> list[dict[str, int]]:
    """Mixes that no other one contains (more nodes never place fewer pods, but for hard spread: see the callers)."""
    return [
        mix
        for mix in mixes
        if not any(other != mix and all(other[pool] >= n for pool, n in mix.items()) for other in mixes)
    ]
