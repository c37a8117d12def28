"""The cluster as the scheduler would fill it: which pods fit where, now and after every placement; and back again.

`refusal` answers as kube-scheduler 1.36 with its default profile does, plugin by plugin in its order; `mask` and `room`
answer the same for all nodes at once. Pods come as kinds (clues.policy.kinds). Everything that changes is journalled:
`mark`, try, `undo`.

Cost: a mask is one pass over arrays of nodes for each rule that the kind has; a placement touches one node and the
counters that count the kind. Only the first question about a kind looks at its rules.
"""

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clues.decision import Refusal
from clues.model import HOSTNAME, Labels, Node, Pod, PodSpec, PodTerm, Selector, Toleration
from clues.policy.fit import SLOTS, Amounts, Ports, clamped, shortage
from clues.policy.kinds import Kind, KindBook, alike
from clues.policy.label_index import LabelIndex
from clues.policy.nodes import Flags, Lazy, NodeTable
from clues.policy.plans import Plan, Rules
from clues.policy.selectors import UNSCHEDULABLE, not_selected, selects, term_selects, tolerates, untolerated
from clues.policy.template import daemon_spec
from clues.policy.topology import (
    AffinityRule,
    AntiRule,
    Counter,
    Holders,
    Matching,
    SpreadCounted,
    SpreadRule,
)
from clues.policy.volumes import VolumeNeeds, Volumes
from clues.snapshot import Snapshot

__all__ = ["Kind", "Simulation"]

_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"


class _Did(IntEnum):
    PLACE = 0
    ADD = 1
    REMOVE = 2
    CLOSE = 3
    PLACE_ALL = 4


_FEW_DOMAINS: Final = 64
_FEW: Final = 4
"""Below so many nodes one after the other is quicker than arrays."""


class Simulation:
    """See the module's docstring.

    All pods that are asked about or placed must be pods of the snapshot, or select by labels that some pod of it
    selects by. A node that is removed keeps its index and takes nothing any more.
    """

    def __init__(self, snapshot: Snapshot, *, only_ready: bool = True) -> None:
        """Take the nodes of the snapshot with their pods; with `only_ready`, others than ready ones are closed."""
        self._snapshot = snapshot
        states = list(snapshot.nodes.values())
        daemon_specs = [daemon_spec(daemon) for daemon in snapshot.daemonsets]
        there = alike(states)
        specs: dict[int, PodSpec] = {id(spec): spec for spec in daemon_specs}
        last: PodSpec | None = None
        for pod in snapshot.pending:
            if pod.spec is not last:
                last = pod.spec
                specs[id(last)] = last
        for pod, _ in there:
            specs[id(pod.spec)] = pod.spec
        self._specs = specs
        self.nodes: list[Node] = [state.node for state in states]
        self.names: list[str] = [node.name for node in self.nodes]
        self.index: dict[str, int] = {name: index for index, name in enumerate(self.names)}
        self._table = NodeTable(self.nodes)
        self._ports = Ports()
        self._volumes = Volumes(self._table, snapshot.claims)
        self._spaces: dict[str, Labels] = {}
        self._plans: list[Plan] = []
        self._places: dict[Any, Lazy] = {}
        self._counters: dict[Any, Counter] = {}
        self._counted: LabelIndex = LabelIndex()
        self._holders: dict[PodTerm, Counter] = {}
        self._held: LabelIndex = LabelIndex()
        self._kinds_by_label: dict[tuple[str, str], list[Kind]] = {}
        self._seekers: LabelIndex | None = None
        self._journal: list[tuple[Any, ...]] = []
        self.resources: list[str] = [SLOTS]
        self._rows: dict[str, int] = {SLOTS: 0}
        self._free: Amounts = np.zeros((8, max(16, len(states))), np.int64)
        self._load_allocatable()
        self._book = KindBook(specs.values(), self._meet)
        self._daemons = [
            self._book.made(daemon.namespace, daemon.labels, spec)
            for daemon, spec in zip(snapshot.daemonsets, daemon_specs, strict=True)
        ]
        for pod, where in there:
            on = self._plans[self._book.of(pod).index].on
            for index, number in where.items():
                on[index] = on.get(index, 0) + number
        for plan in self._plans:
            self._charge_all(plan)
        if only_ready:
            for index, node in enumerate(self.nodes):
                if not node.ready or node.deleting:
                    self._table.open[index] = False

    # what there is

    @property
    def alive(self) -> Flags:
        """Which nodes have not been removed (a copy)."""
        return self._table.alive[: len(self.nodes)].copy()

    @property
    def open(self) -> Flags:
        """Where something new may be placed at all (a copy)."""
        return self._table.open[: len(self.nodes)] & self._table.alive[: len(self.nodes)]

    def free(self) -> NDArray[np.int64]:
        """Return what is free, [node, resource] (a copy); negative where a node is over-committed."""
        return self._free[: len(self.resources), : len(self.nodes)].T.copy()

    def free_of(self, resource: str) -> NDArray[np.int64]:
        """Return what is free of one resource, per node; not to be written to."""
        row = self._rows.get(resource)
        if row is None:
            return np.zeros(len(self.nodes), np.int64)
        return self._free[row, : len(self.nodes)]

    def kind_of(self, pod: Pod) -> Kind:
        """Return the kind of a pod."""
        return self._book.of(pod)

    def kinds(self, pods: Iterable[Pod]) -> dict[Kind, list[Pod]]:
        """Group pods by kind, in order of appearance."""
        return self._book.group(pods)

    def count(self, kind: Kind, index: int) -> int:
        """Return how many pods of a kind are on a node."""
        return self._plans[kind.index].on.get(index, 0)

    def lowest_priority(self) -> int:
        """Return the least priority of any pod of the snapshot."""
        return min((spec.priority for spec in self._specs.values()), default=0)

    # changes

    def add_node(self, node: Node, *, daemons: bool = True) -> int:
        """Add a node that comes or might; with `daemons`, with the pods that the DaemonSets will put on it."""
        before = self.index.get(node.name)
        index = self._table.append(node)
        self.names.append(node.name)
        self.index[node.name] = index
        for name in node.allocatable:
            self._row(name)
        if index >= self._free.shape[1]:
            self._free = np.concatenate([self._free, np.zeros_like(self._free)], axis=1)
        self._free[:, index] = 0
        for name, amount in node.allocatable.items():
            self._free[self._rows[name], index] = clamped(amount)
        self._journal.append((_Did.ADD, index, before))
        if daemons:
            for kind in self._daemons:
                if self._daemon_runs(kind, node):
                    self.place(kind, index)
        return index

    def remove_node(self, index: int) -> None:
        """Take a node with all its pods out of all counts. Repeating it changes nothing."""
        self.remove_nodes([index])

    def remove_nodes(self, indices: Iterable[int]) -> None:
        """Remove several nodes, with one look at every kind."""
        leaving = {index for index in indices if self._table.alive[index]}
        gone: dict[int, list[tuple[Kind, int]]] = {index: [] for index in leaving}
        for kind in self._book.kinds if leaving else ():
            on = self._on(kind)
            here = leaving.intersection(on) if len(leaving) > len(on) else [i for i in leaving if i in on]
            for index in here:
                gone[index].append((kind, on[index]))
            self._shift_all(kind, {index: -on[index] for index in here})
        for index in sorted(leaving):
            self._journal.append((_Did.REMOVE, index, gone[index]))
        where = np.fromiter(leaving, np.int64, len(leaving))
        self._table.set_alive(where, False)
        for counter in self._counters.values():
            counter.nodes_gone(where)

    def close_node(self, index: int) -> None:
        """Let nothing new be placed on a node; its pods still count."""
        if self._table.open[index]:
            self._table.open[index] = False
            self._journal.append((_Did.CLOSE, index))

    def place(self, kind: Kind, index: int, count: int = 1) -> None:
        """Put pods on a node, unchecked."""
        if count:
            self._shift(kind, index, count)
            self._journal.append((_Did.PLACE, kind, index, count))

    def place_all(self, kind: Kind, numbers: Mapping[int, int]) -> None:
        """Put pods of a kind on many nodes, index -> number, unchecked."""
        if numbers:
            self._shift_all(kind, numbers)
            self._journal.append((_Did.PLACE_ALL, kind, dict(numbers)))

    def take(self, kind: Kind, index: int, count: int = 1) -> None:
        """Take pods off a node. Raises ValueError where fewer are there."""
        if self.count(kind, index) < count:
            raise ValueError(f"{self.names[index]} has {self.count(kind, index)} pods of the kind, not {count}")
        self.place(kind, index, -count)

    def mark(self) -> int:
        """Return the moment, for `undo`."""
        return len(self._journal)

    def undo(self, mark: int) -> None:
        """Take back everything since the mark; pods together by kind, for placements add up in any order."""
        journal = self._journal
        added: list[tuple[int, int | None]] = []
        shifts: dict[Kind, dict[int, int]] = {}
        while len(journal) > mark:
            did = journal.pop()
            if did[0] == _Did.PLACE:
                _count_in(shifts, did[1], did[2], -did[3])
            elif did[0] == _Did.PLACE_ALL:
                for index, count in did[2].items():
                    _count_in(shifts, did[1], index, -count)
            elif did[0] == _Did.CLOSE:
                self._table.open[did[1]] = True
            elif did[0] == _Did.REMOVE:
                _, index, gone = did
                self._table.set_alive(index, True)
                for counter in self._counters.values():
                    counter.node_back(index)
                for kind, count in gone:
                    _count_in(shifts, kind, index, count)
            else:
                added.append((did[1], did[2]))
        for kind, numbers in shifts.items():
            self._shift_all(kind, numbers)
        if added:
            self._unadd(added)

    def _unadd(self, added: Sequence[tuple[int, int | None]]) -> None:
        """Take the last nodes back, which hold nothing any more: all together, for there are many counters."""
        least = added[-1][0]
        for counter in self._counters.values():
            if counter.length > least:
                counter.cut(least)
        for _, before in added:
            name = self.names.pop()
            if before is None:
                del self.index[name]
            else:
                self.index[name] = before
        self._free[:, least : least + len(added)] = 0
        self._table.cut(least)

    # questions

    def refusal(self, kind: Kind, index: int) -> Refusal | None:
        """Return the first plugin that keeps such a pod off a node, in kube-scheduler's order; None: it fits.

        A node that was closed or removed and would take the pod otherwise is `excluded`.
        """
        rule, detail = self._refused(kind, index)
        return Refusal(self.names[index], rule, detail) if rule else None

    def mask(self, kind: Kind) -> Flags:
        """Return, per node, whether one more such pod fits now."""
        count = len(self.nodes)
        plan = self._plans[kind.index]
        good = self._where(kind, plan).of(count) & self._table.open[:count]
        good &= self._table.alive[:count]
        free = self._free
        for row, amount in plan.charges:
            good &= free[row, :count] >= amount
        if plan.ports:
            self._ports.narrow(plan.ports, good)
        if plan.volumes.is_exclusive:
            self._volumes.narrow(plan.volumes, good)
        rules = plan.rules or self._make_rules(kind, plan)
        for spread in rules.spread:
            good &= spread.good()
        if rules.affinity is not None:
            good &= rules.affinity.good()
        for anti in rules.anti:
            good &= anti.good()
        for holders in plan.refused_by:
            if holders.total > 0:
                good &= holders.is_free()
        return good

    def room(self, kind: Kind) -> NDArray[np.int64]:
        """Return, per node taken alone, how many more such pods fit; 0 where `mask` is False."""
        good = np.flatnonzero(self.mask(kind))
        room = np.zeros(len(self.nodes), np.int64)
        if not len(good):
            return room
        plan = self._plans[kind.index]
        most = self._free[0, good]
        for row, amount in plan.charges[1:]:
            np.minimum(most, self._free[row, good] // amount, out=most)
        if plan.ports or plan.volumes.once_a_node:
            np.minimum(most, 1, out=most)
        rules = plan.rules or self._make_rules(kind, plan)
        caps = [*(anti.cap() for anti in rules.anti), *(spread.cap() for spread in rules.spread)]
        for cap in caps:
            if cap is not None:
                np.minimum(most, cap[good], out=most)
        room[good] = most
        return room

    def fitting(self, kind: Kind, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the nodes of `order`, in that order, on which one more such pod fits now: `mask` for some nodes.

        What asks for most is looked at first, and then only the nodes that are left.
        """
        plan = self._plans[kind.index]
        at = self._with_resources(kind, plan, order)
        if len(at) and (plan.ports or plan.volumes.is_exclusive):
            good = np.ones(len(self.nodes), np.bool_)
            self._ports.narrow(plan.ports, good)
            self._volumes.narrow(plan.volumes, good)
            at = at[good[at]]
        if not len(at):
            return at
        rules = plan.rules or self._make_rules(kind, plan)
        if rules.affinity is not None:
            at = at[rules.affinity.good(at)]
        for spread in rules.spread:
            at = at[spread.good(at)]
        for anti in rules.anti:
            at = at[anti.good(at)]
        for holders in plan.refused_by:
            if holders.total > 0:
                at = at[holders.is_free(at)]
        return at

    def room_among(self, kind: Kind, order: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return what `fitting` does, and how many more such pods each of these takes, taken alone."""
        at = self.fitting(kind, order)
        plan = self._plans[kind.index]
        most = self._own_room(plan, at)
        rules = plan.rules or self._make_rules(kind, plan) if len(at) else _NO_RULES
        for cap in (*(anti.cap(at) for anti in rules.anti), *(spread.cap(at) for spread in rules.spread)):
            if cap is not None:
                np.minimum(most, cap, out=most)
        return at, most

    def room_on(self, kind: Kind, index: int) -> int:
        """Return how many more such pods fit on one node, taken alone."""
        if self._refused(kind, index)[0]:
            return 0
        plan = self._plans[kind.index]
        most = min(int(self._free[row, index]) // amount for row, amount in plan.charges)
        if plan.ports or plan.volumes.once_a_node:
            most = min(most, 1)
        rules = plan.rules or self._make_rules(kind, plan)
        caps = [*(anti.cap_on(index) for anti in rules.anti), *(spread.cap_on(index) for spread in rules.spread)]
        return min([most, *caps])

    def own_room(self, kind: Kind, among: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many more such pods nodes would take if no rule looked at pods elsewhere; 0 where closed."""
        plan = self._plans[kind.index]
        rules = plan.rules or self._make_rules(kind, plan)
        at = self._with_resources(kind, plan, among)
        most = self._own_room(plan, at)
        for anti in rules.anti:
            cap = anti.cap(at)
            if cap is not None:
                np.minimum(most, cap, out=most)
        by_node = np.zeros(len(self.nodes), np.int64)
        by_node[at] = most
        result: NDArray[np.int64] = by_node[among]
        return result

    def spread_rules(self, kind: Kind) -> list[SpreadRule]:
        """Return the hard spread constraints of a kind, as they stand now."""
        plan = self._plans[kind.index]
        return (plan.rules or self._make_rules(kind, plan)).spread

    def only_rule(self, kind: Kind) -> SpreadRule | None:
        """Return the spread constraint that alone ties such pods to what is on other nodes; None: it is not alone.

        Only one over few domains in which such pods count: it is for those who go through all domains for each pod.
        """
        plan = self._plans[kind.index]
        rules = plan.rules or self._make_rules(kind, plan)
        bound = plan.ports or plan.volumes.is_exclusive or plan.refused_by or rules.anti or rules.affinity is not None
        if bound or len(rules.spread) != 1:
            return None
        rule = rules.spread[0]
        rule.counter.synced()
        return rule if rule.grows and len(rule.counter.column.values) <= _FEW_DOMAINS else None

    def charges(self, kind: Kind) -> tuple[tuple[int, int], ...]:
        """Return what one such pod takes: (position in `resources`, amount), the slot first."""
        return self._plans[kind.index].charges

    def is_plain(self, kind: Kind) -> bool:
        """Return whether such pods take resources only: `is_simple`, and they may share a node with any other."""
        return not self._plans[kind.index].ports and self.is_simple(kind)

    def is_local(self, kind: Kind) -> bool:
        """Return whether a pod that is placed changes nothing for others of its kind but on its own node.

        So `room` holds for all nodes at once: of rules about other pods it has only anti-affinity by host name, and
        only such refuses it.
        """
        if self.is_simple(kind):
            return True
        plan = self._plans[kind.index]
        rules = plan.rules or self._make_rules(kind, plan)
        if rules.affinity is not None or rules.spread or plan.volumes.is_exclusive:
            return False
        counters = [*(rule.counter for rule in rules.anti), *plan.refused_by]
        return all(counter.column.key == HOSTNAME for counter in counters) and self._table.has_own_names()

    def is_simple(self, kind: Kind) -> bool:
        """Return whether placing such a pod changes resources and host ports only, and only they refuse it later on.

        So it has no rule about other pods, no pod of the snapshot has one that could match it, and it has no volume
        that excludes others.
        """
        plan = self._plans[kind.index]
        if plan.simple is None:
            spec = kind.spec
            own = spec.affinity or spec.anti_affinity or plan.volumes.is_exclusive or any(s.hard for s in spec.spread)
            plan.simple = not own and not plan.refused_by and not self._is_sought(kind)
        return plan.simple

    # inside

    def _with_resources(self, kind: Kind, plan: Plan, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the nodes of `order` that are open, have what is asked for, and that no fixed rule forbids."""
        count, at = len(self.nodes), order
        for row, amount in reversed(plan.charges):
            enough: Flags = self._free[row].take(at) >= amount
            at = at[enough]
            if not len(at):
                return at
        places, table = self._where(kind, plan).of(count), self._table
        good: Flags = places[at] & table.open[at] & table.alive[at]
        return at[good]

    def _own_room(self, plan: Plan, at: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return how many such pods the resources of nodes allow, and ports and volumes that only one may have."""
        most: NDArray[np.int64] = self._free[0].take(at)
        for row, amount in plan.charges[1:] if len(at) else ():
            np.minimum(most, self._free[row].take(at) // amount, out=most)
        if plan.ports or plan.volumes.once_a_node:
            np.minimum(most, 1, out=most)
        return most

    def _load_allocatable(self) -> None:
        columns: dict[str, list[int]] = {SLOTS: [0] * len(self.nodes)}
        for index, node in enumerate(self.nodes):
            for name, amount in node.allocatable.items():
                column = columns.get(name)
                if column is None:
                    column = columns[name] = [0] * len(self.nodes)
                column[index] = amount if -1 < amount < 1 << 52 else clamped(amount)
        for name, column in columns.items():
            row = self._row(name)
            self._free[row, : len(column)] = column

    def _row(self, resource: str) -> int:
        row = self._rows.get(resource)
        if row is None:
            row = self._rows[resource] = len(self.resources)
            self.resources.append(resource)
            if row >= len(self._free):
                self._free = np.concatenate([self._free, np.zeros_like(self._free)])
        return row

    def _on(self, kind: Kind) -> dict[int, int]:
        return self._plans[kind.index].on

    def _space(self, namespace: str) -> Labels:
        """Labels of a namespace; one that is not known has the label that the API server gives to every one."""
        found = self._spaces.get(namespace)
        if found is None:
            found = self._snapshot.namespaces.get(namespace) or {_NAMESPACE_NAME: namespace}
            self._spaces[namespace] = found
        return found

    def _meet(self, kind: Kind) -> None:
        """Prepare for a kind that was not seen before."""
        spec = kind.spec
        charges = [(0, 1), *((self._row(name), clamped(amount)) for name, amount in spec.requests if amount > 0)]
        volumes = self._volumes.needs(kind) if spec.volumes else _NO_VOLUMES
        plan = Plan(
            tuple(charges),
            tuple(port for port in spec.host_ports if port.port > 0),
            volumes,
            {},
            [],
            [],
            bool(spec.host_ports) or volumes.is_exclusive,
            not (spec.affinity or spec.anti_affinity or spec.spread or spec.volumes or spec.host_ports),
        )
        self._plans.append(plan)
        space = self._space(kind.namespace)
        plan.counters += [c for c in _unique(self._counted.near(kind.labels)) if c.counted.includes(kind, space)]
        for pair in kind.labels.items():
            self._kinds_by_label.setdefault(pair, []).append(kind)
        for term in dict.fromkeys(spec.anti_affinity):
            plan.counters.append(self._holder(term, kind))
        for term in _unique(self._held.near(kind.labels)):
            holder = self._holders[term]
            if holder not in plan.refused_by and term_selects(term, kind.namespace, space, kind.labels):
                plan.refused_by.append(holder)

    def _holder(self, term: PodTerm, met: Kind) -> Counter:
        """Return the counter of pods that hold a term of anti-affinity; tell the kinds that it refuses."""
        found = self._holders.get(term)
        if found is None:
            found = self._holders[term] = Counter(self._table, term.topology_key, Holders(term), None)
            self._counters["holders", term] = found
            self._held.add(term.selector, term)
            for kind in self._near(term.selector):
                if kind is not met and term_selects(term, kind.namespace, self._space(kind.namespace), kind.labels):
                    plan = self._plans[kind.index]
                    plan.refused_by.append(found)
                    plan.simple = None
        return found

    def _near(self, selector: Selector | None) -> list[Kind]:
        """Return the kinds that a selector may match, each once; none that it does is left out."""
        if selector is None:
            return []
        for requirement in selector.requirements:
            if requirement.operator == "In":
                pairs = ((requirement.key, value) for value in dict.fromkeys(requirement.values))
                return [kind for pair in pairs for kind in self._kinds_by_label.get(pair, ())]
        return self._book.kinds

    def _counter(
        self, key: str, counted: Matching | SpreadCounted, eligible: Lazy | None = None, how: Any = None
    ) -> Counter:
        """Return a counter with all pods that are there counted."""
        identity = (key, counted, how)
        found = self._counters.get(identity)
        if found is None:
            found = self._counters[identity] = Counter(self._table, key, counted, eligible)
            found.synced()
            self._counted.add(counted.selector(), found)
            for kind in self._near(counted.selector()):
                if counted.includes(kind, self._space(kind.namespace)):
                    plan = self._plans[kind.index]
                    plan.counters.append(found)
                    found.add_all(plan.on)
        return found

    def _make_rules(self, kind: Kind, plan: Plan) -> Rules:
        spec, space = kind.spec, self._space(kind.namespace)
        affinity = None
        if spec.affinity:
            together = Matching.of(spec.affinity)
            keys = dict.fromkeys(term.topology_key for term in spec.affinity)
            counters = [self._counter(key, together) for key in keys]
            affinity = AffinityRule(counters, self_match=together.includes(kind, space))
        anti = [
            AntiRule(
                self._counter(term.topology_key, Matching.of([term])),
                self_match=term_selects(term, kind.namespace, space, kind.labels),
                text=f"anti-affinity: a matching pod is in its {term.topology_key}",
            )
            for term in dict.fromkeys(spec.anti_affinity)
        ]
        hard = [s for s in spec.spread if s.hard]
        keys = dict.fromkeys(s.topology_key for s in hard)
        rules = []
        for one in hard:
            counted = SpreadCounted(kind.namespace, one.selector)
            affinity_part = (spec.node_selector, spec.node_affinity) if one.honor_affinity else None
            how = (tuple(sorted(keys)), affinity_part, spec.tolerations if one.honor_taints else None)
            rules.append(
                SpreadRule(
                    self._counter(one.topology_key, counted, self._eligible(how), how),
                    one,
                    self_match=selects(one.selector, kind.labels),
                    grows=counted.includes(kind, space),
                )
            )
        plan.rules = Rules(affinity, anti, rules)
        return plan.rules

    def _eligible(self, how: tuple[tuple[str, ...], Any, tuple[Toleration, ...] | None]) -> Lazy:
        """Return which nodes a spread constraint looks at."""
        found = self._places.get(("spread", how))
        if found is None:
            keys, affinity_part, tolerations = how
            parts = [] if affinity_part is None else [self._table.matched(*affinity_part)]
            if tolerations is not None:
                parts.append(self._table.untainted(tolerations))

            def compute(low: int, high: int) -> Flags:
                good = np.ones(high - low, np.bool_)
                for key in keys:
                    good &= self._table.column(key).of()[low:high] >= 0
                for part in parts:
                    good &= part.of(high)[low:high]
                return good

            found = self._places["spread", how] = self._table.lazy(compute)
        return found

    def _where(self, kind: Kind, plan: Plan) -> Lazy:
        """Return where the rules that no placement changes let a kind be."""
        if plan.places is not None:
            return plan.places
        spec = kind.spec
        has_claims = bool(plan.volumes.claims or plan.volumes.nowhere)
        identity = (
            "kind",
            spec.tolerations,
            spec.node_selector,
            spec.node_affinity,
            spec.node_name,
            (kind.namespace, spec.volumes) if has_claims else None,
        )
        found = self._places.get(identity)
        if found is None:
            tolerated = self._table.tolerated(spec.tolerations)
            selected = spec.node_selector or spec.node_affinity is not None
            matched = self._table.matched(spec.node_selector, spec.node_affinity) if selected else None
            name, needs = spec.node_name, plan.volumes

            def compute(low: int, high: int) -> Flags:
                good: Flags = tolerated.of(high)[low:high].copy()
                if matched is not None:
                    good &= matched.of(high)[low:high]
                if name:
                    good &= np.array([node.name == name for node in self.nodes[low:high]], np.bool_)
                if has_claims:
                    good &= self._volumes.places(needs, low, high)
                return good

            found = self._places[identity] = self._table.lazy(compute)
        plan.places = found
        return found

    def _charge_all(self, plan: Plan) -> None:
        """Count the pods of a kind that were there from the beginning."""
        if not plan.on:
            return
        where = np.fromiter(plan.on.keys(), np.int64, len(plan.on))
        counts = np.fromiter(plan.on.values(), np.int64, len(plan.on))
        for row, amount in plan.charges:
            self._free[row, where] -= amount * counts
        for counter in plan.counters:
            counter.add_all(plan.on)
        if plan.special:
            for index, count in plan.on.items():
                self._ports.shift(plan.ports, index, count)
                self._volumes.shift(plan.volumes, index, count)

    def _shift(self, kind: Kind, index: int, count: int) -> None:
        plan = self._plans[kind.index]
        free = self._free
        for row, amount in plan.charges:
            free[row, index] -= amount * count
        left = plan.on.get(index, 0) + count
        if left:
            plan.on[index] = left
        else:
            plan.on.pop(index, None)
        for counter in plan.counters:
            counter.add(index, count)
        if plan.special:
            self._ports.shift(plan.ports, index, count)
            self._volumes.shift(plan.volumes, index, count)

    def _shift_all(self, kind: Kind, numbers: Mapping[int, int]) -> None:
        """Do what `_shift` does for many nodes at once."""
        if len(numbers) < _FEW:
            for index, count in numbers.items():
                self._shift(kind, index, count)
            return
        plan = self._plans[kind.index]
        where = np.fromiter(numbers.keys(), np.int64, len(numbers))
        counts = np.fromiter(numbers.values(), np.int64, len(numbers))
        for row, amount in plan.charges:
            self._free[row, where] -= amount * counts
        on = plan.on
        for index, count in numbers.items():
            left = on.get(index, 0) + count
            if left:
                on[index] = left
            else:
                on.pop(index, None)
        for counter in plan.counters:
            counter.add_all(numbers)
        if plan.special:
            for index, count in numbers.items():
                self._ports.shift(plan.ports, index, count)
                self._volumes.shift(plan.volumes, index, count)

    def _daemon_runs(self, kind: Kind, node: Node) -> bool:
        spec = kind.spec
        if spec.node_name and spec.node_name != node.name:
            return False
        return untolerated(node.taints, spec.tolerations) is None and not not_selected(spec, node)

    def _is_sought(self, kind: Kind) -> bool:
        """Whether a rule of any pod of the snapshot may look at such pods."""
        if self._seekers is None:
            self._seekers = LabelIndex()
            for spec in self._specs.values():
                for term in (*spec.affinity, *spec.anti_affinity):
                    self._seekers.add(term.selector, term)
                for spread in spec.spread:
                    if spread.hard:
                        self._seekers.add(spread.selector, spread.selector)
        space = self._space(kind.namespace)
        for seeker in self._seekers.near(kind.labels):
            if isinstance(seeker, PodTerm):
                if term_selects(seeker, kind.namespace, space, kind.labels):
                    return True
            elif selects(seeker, kind.labels):
                return True
        return False

    def _takes(self, kind: Kind, plan: Plan, index: int) -> bool:
        """Whether a node takes a pod that asks for nothing but resources and a node of some sort: mostly it does."""
        table = self._table
        if not (table.open[index] and table.alive[index]):
            return False
        free = self._free
        for row, amount in plan.charges:
            if free[row, index] < amount:
                return False
        return bool(self._where(kind, plan).of(len(self.nodes))[index])

    def _refused(self, kind: Kind, index: int) -> tuple[str, str]:
        spec, plan, node = kind.spec, self._plans[kind.index], self.nodes[index]
        if plan.unruled and not plan.refused_by and self._takes(kind, plan, index):
            return "", ""
        if node.unschedulable and not any(tolerates(t, UNSCHEDULABLE) for t in spec.tolerations):
            return "NodeUnschedulable", "the node is cordoned"
        if spec.node_name and spec.node_name != node.name:
            return "NodeName", f"asks for node {spec.node_name}"
        taint = untolerated(node.taints, spec.tolerations)
        if taint is not None:
            return "TaintToleration", f"{taint.key}{'=' if taint.value else ''}{taint.value}:{taint.effect}"
        detail = not_selected(spec, node)
        if detail:
            return "NodeAffinity", detail
        detail = self._ports.conflict(plan.ports, index)
        if detail:
            return "NodePorts", detail
        for row, amount in plan.charges:
            free = int(self._free[row, index])
            if free < amount:
                return "NodeResourcesFit", shortage(self.resources[row], amount, free)
        if spec.volumes:
            for rule, detail in (
                ("VolumeRestrictions", self._volumes.restricted(plan.volumes, index)),
                ("NodeVolumeLimits", self._volumes.over_limit(plan.volumes, index)),
                ("VolumeBinding", self._volumes.misplaced(plan.volumes, node)),
            ):
                if detail:
                    return rule, detail
        rules = plan.rules or self._make_rules(kind, plan)
        for spread in rules.spread:
            detail = spread.refuses(index)
            if detail:
                return "PodTopologySpread", detail
        detail = rules.affinity.refuses(index) if rules.affinity is not None else ""
        if detail:
            return "InterPodAffinity", detail
        for anti in rules.anti:
            if not anti.allows(index):
                return "InterPodAffinity", anti.text
        for holders in plan.refused_by:
            number = holders.synced()[index]
            if number >= 0 and holders.counts[number] > 0:
                return "InterPodAffinity", f"anti-affinity of a pod in its {holders.column.key} matches it"
        if not self._table.alive[index]:
            return "excluded", "the node is gone"
        if not self._table.open[index]:
            return "excluded", "the node takes nothing new" if node.ready else "the node is not ready"
        return "", ""


_NO_VOLUMES: Final = VolumeNeeds()
_NO_RULES: Final = Rules(None, [], [])


def _count_in(shifts: dict[Kind, dict[int, int]], kind: Kind, index: int, count: int) -> None:
    numbers = shifts.setdefault(kind, {})
    numbers[index] = numbers.get(index, 0) + count


def _unique(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))
