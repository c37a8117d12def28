"""The filters once more, pod by pod and plainly written: what the simulation must equal."""

from dataclasses import dataclass, field

from clues.model import Claim, Effect, Labels, Node, Pod, PodTerm, Taint
from clues.policy.selectors import any_term_holds, selects, tolerates


@dataclass
class World:
    nodes: dict[int, Node]
    pods: list[tuple[Pod, int]]
    namespaces: dict[str, Labels]
    claims: dict[tuple[str, str], Claim]
    closed: set[int] = field(default_factory=set)

    def on(self, index: int) -> list[Pod]:
        return [pod for pod, where in self.pods if where == index]

    def _sees(self, term: PodTerm, other: Pod) -> bool:
        space = self.namespaces.get(other.namespace) or {"kubernetes.io/metadata.name": other.namespace}
        inside = other.namespace in term.namespaces or selects(term.namespace_selector, space)
        return inside and selects(term.selector, other.labels)

    def _taints(self, pod: Pod, taints: tuple[Taint, ...]) -> bool:
        return all(
            t.effect == Effect.PREFER_NO_SCHEDULE or any(tolerates(x, t) for x in pod.spec.tolerations) for t in taints
        )

    def _affinity(self, pod: Pod, node: Node) -> bool:
        if any(node.labels.get(k) != v for k, v in pod.spec.node_selector):
            return False
        terms = pod.spec.node_affinity
        return terms is None or any_term_holds(terms, node.labels, node.name)

    def refused_by(self, pod: Pod, index: int) -> str:
        if index not in self.nodes:
            return "excluded"
        node = self.nodes[index]
        cordon = Taint("node.kubernetes.io/unschedulable", "", Effect.NO_SCHEDULE)
        if node.unschedulable and not self._taints(pod, (cordon,)):
            return "NodeUnschedulable"
        if pod.spec.node_name not in ("", node.name):
            return "NodeName"
        if not self._taints(pod, node.taints):
            return "TaintToleration"
        if not self._affinity(pod, node):
            return "NodeAffinity"
        here = self.on(index)
        for own in pod.spec.host_ports:
            for port in (port for other in here for port in other.spec.host_ports):
                same = own.ip == port.ip or "0.0.0.0" in (own.ip, port.ip)
                if same and (own.port, own.protocol) == (port.port, port.protocol):
                    return "NodePorts"
        if len(here) + 1 > node.allocatable.get("pods", 0):
            return "NodeResourcesFit"
        for name, amount in pod.spec.requests:
            if amount > node.allocatable.get(name, 0) - sum(dict(p.spec.requests).get(name, 0) for p in here):
                return "NodeResourcesFit"
        return (
            self._volumes(pod, node, here) or self._spread(pod, node) or self._others(pod, node) or self._closed(index)
        )

    def _closed(self, index: int) -> str:
        return "excluded" if index in self.closed else ""

    def _claims(self, pod: Pod) -> list[Claim | None]:
        return [self.claims.get((pod.namespace, u.name)) for u in pod.spec.volumes if u.kind == "claim"]

    def _volumes(self, pod: Pod, node: Node, here: list[Pod]) -> str:
        for own in pod.spec.volumes:
            for used in (used for other in here for used in other.spec.volumes):
                same = own.kind != "claim" and (own.kind, own.name) == (used.kind, used.name)
                if same and (own.kind == "awsElasticBlockStore" or not (own.read_only and used.read_only)):
                    return "VolumeRestrictions"
        mine = self._claims(pod)
        for claim in mine:
            if claim and claim.only_one_pod and any(claim in self._claims(other) for other, _ in self.pods):
                return "VolumeRestrictions"
        for driver, limit in node.attached_limits.items():
            used = {c.handle for other in here for c in self._claims(other) if c and c.driver == driver}
            new = {c.handle for c in mine if c and c.driver == driver} - used
            if new and len(used | new) > limit:
                return "NodeVolumeLimits"
        for claim in mine:
            if claim is None or not (claim.bound or claim.waits_for_consumer):
                return "VolumeBinding"
            if claim.bound:
                if claim.node_affinity is not None and not any_term_holds(claim.node_affinity, node.labels, node.name):
                    return "VolumeBinding"
                continue
            found = any(c is None or any_term_holds(c, node.labels, node.name) for c in claim.candidates)
            made = not claim.topologies or any_term_holds(claim.topologies, node.labels, node.name)
            if not found and not (claim.provisionable and made):
                return "VolumeBinding"
        return ""

    def _spread(self, pod: Pod, node: Node) -> str:
        hard = [s for s in pod.spec.spread if s.hard]
        for one in hard:
            if one.topology_key not in node.labels:
                return "PodTopologySpread"
            counts: dict[str, int] = {}
            for index, other in self.nodes.items():
                if any(s.topology_key not in other.labels for s in hard):
                    continue
                if one.honor_affinity and not self._affinity(pod, other):
                    continue
                if one.honor_taints and not self._taints(pod, other.taints):
                    continue
                value = other.labels[one.topology_key]
                counts[value] = counts.get(value, 0) + sum(
                    p.namespace == pod.namespace
                    and not p.deleting
                    and one.selector is not None
                    and one.selector.requirements != ()
                    and selects(one.selector, p.labels)
                    for p in self.on(index)
                )
            least = min(counts.values()) if len(counts) >= one.min_domains and counts else 0
            skew = counts.get(node.labels[one.topology_key], 0) + selects(one.selector, pod.labels) - least
            if skew > one.max_skew:
                return "PodTopologySpread"
        return ""

    def _others(self, pod: Pod, node: Node) -> str:
        def together(key: str, other: int) -> bool:
            there = self.nodes[other].labels
            return key in node.labels and key in there and there[key] == node.labels[key]

        terms = pod.spec.affinity
        friends = [(p, i) for p, i in self.pods if terms and all(self._sees(t, p) for t in terms)]
        if any(term.topology_key not in node.labels for term in terms):
            return "InterPodAffinity"
        if not all(any(together(t.topology_key, i) for _, i in friends) for t in terms):
            anywhere = any(t.topology_key in self.nodes[i].labels for t in terms for _, i in friends)
            if anywhere or not all(self._sees(t, pod) for t in terms):
                return "InterPodAffinity"
        for other, index in self.pods:
            if any(self._sees(t, other) and together(t.topology_key, index) for t in pod.spec.anti_affinity):
                return "InterPodAffinity"
            if any(self._sees(t, pod) and together(t.topology_key, index) for t in other.spec.anti_affinity):
                return "InterPodAffinity"
        return ""
