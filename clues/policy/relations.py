"""Who looks at whom: the rules of kinds about other pods, and the counters that answer them."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

import numpy as np

from clues.model import Labels, PodSpec, PodTerm, Selector, Toleration
from clues.policy.kinds import Kind
from clues.policy.label_index import LabelIndex
from clues.policy.nodes import Flags, Lazy, NodeTable
from clues.policy.plans import Plan, Rules
from clues.policy.selectors import selects, term_selects
from clues.policy.topology import AffinityRule, AntiRule, Counter, Holders, Matching, SpreadCounted, SpreadRule

__all__ = ["Relations"]

_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"


class Relations:
    """Those of the kinds of one simulation, which tells of each kind by `meet` and changes the counters itself."""

    def __init__(self, table: NodeTable, namespaces: Mapping[str, Labels], specs: Collection[PodSpec]) -> None:
        """`specs` are those of all pods of the snapshot: their rules may look at any pod."""
        self._table = table
        self._namespaces = namespaces
        self._specs = specs
        self._kinds: list[Kind] = []
        self._plans: list[Plan] = []
        self._spaces: dict[str, Labels] = {}
        self._eligibles: dict[Any, Lazy] = {}
        self.counters: dict[Any, Counter] = {}
        self._counted: LabelIndex = LabelIndex()
        self._holders: dict[PodTerm, Counter] = {}
        self._held: LabelIndex = LabelIndex()
        self._kinds_by_label: dict[tuple[str, str], list[Kind]] = {}
        self._seekers: LabelIndex | None = None

    def meet(self, kind: Kind, plan: Plan) -> None:
        """Take a new kind in, whose index is the number of those before: who counts it, and whose terms refuse it."""
        self._kinds.append(kind)
        self._plans.append(plan)
        spec = kind.spec
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

    def make_rules(self, kind: Kind, plan: Plan) -> Rules:
        """Make the rules of a kind, and the counters that they ask; they are kept in its plan."""
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

    def is_sought(self, kind: Kind) -> bool:
        """Whether a rule of any pod of the snapshot may look at such pods."""
        if self._seekers is None:
            self._seekers = LabelIndex()
            for spec in self._specs:
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

    # inside

    def _space(self, namespace: str) -> Labels:
        """Labels of a namespace; one that is not known has the label that the API server gives to every one."""
        found = self._spaces.get(namespace)
        if found is None:
            found = self._namespaces.get(namespace) or {_NAMESPACE_NAME: namespace}
            self._spaces[namespace] = found
        return found

    def _holder(self, term: PodTerm, met: Kind) -> Counter:
        """Return the counter of pods that hold a term of anti-affinity; tell the kinds that it refuses."""
        found = self._holders.get(term)
        if found is None:
            found = self._holders[term] = Counter(self._table, term.topology_key, Holders(term), None)
            self.counters["holders", term] = found
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
        return self._kinds

    def _counter(
        self, key: str, counted: Matching | SpreadCounted, eligible: Lazy | None = None, how: Any = None
    ) -> Counter:
        """Return a counter with all pods that are there counted."""
        identity = (key, counted, how)
        found = self.counters.get(identity)
        if found is None:
            found = self.counters[identity] = Counter(self._table, key, counted, eligible)
            found.synced()
            self._counted.add(counted.selector(), found)
            for kind in self._near(counted.selector()):
                if counted.includes(kind, self._space(kind.namespace)):
                    plan = self._plans[kind.index]
                    plan.counters.append(found)
                    found.add_all(plan.on)
        return found

    def _eligible(self, how: tuple[tuple[str, ...], Any, tuple[Toleration, ...] | None]) -> Lazy:
        """Return which nodes a spread constraint looks at."""
        found = self._eligibles.get(how)
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

            found = self._eligibles[how] = self._table.lazy(compute)
        return found


def _unique(items: Iterable[Any]) -> list[Any]:
    return list(dict.fromkeys(items))
