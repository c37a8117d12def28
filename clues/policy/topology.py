"""Rules between pods: counters per value of a topology key, and what spread, affinity and anti-affinity read in them.

Every counter is kept up to date by each placement, so that asking costs one pass over the nodes. Rules as in
kube-scheduler 1.36:
- PodTopologySpread (hard constraints): domains are the values of the key on nodes that carry all keys of the pod's hard
  constraints and, by policy, match its node affinity and taints; pods of its namespace that are not being deleted
  count; an empty selector counts nothing; fewer domains than `minDomains` make the least count 0.
- InterPodAffinity: an affinity counts pods that match *all* of the pod's affinity terms; where none is found anywhere
  and the pod matches its own terms, any node with the keys is good; anti-affinity counts per term, both ways.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clues.model import Labels, PodTerm, Selector, Spread
from clues.policy.kinds import Kind
from clues.policy.nodes import Column, Flags, Lazy, NodeTable
from clues.policy.selectors import selects, term_selects

__all__ = ["AffinityRule", "AntiRule", "Counted", "Counter", "Holders", "Matching", "SpreadCounted", "SpreadRule"]

Counts: TypeAlias = NDArray[np.int64]
EVERY: Final = slice(None)
"""The nodes that a question is about, where it is not about some indices."""


@dataclass(frozen=True)
class Matching:
    """Pods that match all of these terms (whose topology keys do not matter)."""

    terms: tuple[tuple[frozenset[str], Selector | None, Selector | None], ...]

    @classmethod
    def of(cls, terms: Iterable[PodTerm]) -> "Matching":
        unique = dict.fromkeys((term.namespaces, term.namespace_selector, term.selector) for term in terms)
        return cls(tuple(unique))

    def includes(self, kind: Kind, namespace_labels: Labels) -> bool:
        return all(
            term_selects(PodTerm("", selector, spaces, by_labels), kind.namespace, namespace_labels, kind.labels)
            for spaces, by_labels, selector in self.terms
        )

    def selector(self) -> Selector | None:
        """One that all these pods satisfy, to find them quickly."""
        return self.terms[0][2]


@dataclass(frozen=True)
class SpreadCounted:
    """Pods that a spread constraint counts."""

    namespace: str
    selected: Selector | None

    def includes(self, kind: Kind, _: Labels) -> bool:
        if kind.deleting or kind.namespace != self.namespace or self.selected is None:
            return False
        return bool(self.selected.requirements) and selects(self.selected, kind.labels)

    def selector(self) -> Selector | None:
        return self.selected


@dataclass(frozen=True)
class Holders:
    """Pods that have this term of required anti-affinity themselves."""

    term: PodTerm

    def includes(self, kind: Kind, _: Labels) -> bool:
        return self.term in kind.spec.anti_affinity


Counted: TypeAlias = Matching | SpreadCounted | Holders


class Counter:
    """How many pods of some sort there are per value of a topology key; with `eligible`, on such nodes only."""

    __slots__ = ("_table", "column", "counted", "counts", "eligible", "length", "nodes", "total")

    def __init__(self, table: NodeTable, key: str, counted: Counted, eligible: Lazy | None) -> None:
        self._table = table
        self.column: Column = table.column(key)
        self.counted = counted
        self.eligible = eligible
        self.counts: Counts = np.zeros(16, np.int64)
        self.nodes: Counts = np.zeros(16, np.int64)
        """Eligible nodes per value: a value without one is no domain."""
        self.total = 0
        self.length = 0

    def synced(self) -> Counts:
        """Take in new nodes; return the number of the value of every node."""
        numbers = self.column.of()
        count = len(numbers)
        if self.length < count:
            short = len(self.column.values) - len(self.counts)
            if short > 0:
                more = np.zeros(short + len(self.counts), np.int64)
                self.counts = np.concatenate([self.counts, more])
                self.nodes = np.concatenate([self.nodes, more])
            if self.eligible is not None:
                new = slice(self.length, count)
                values = numbers[new]
                good = self.eligible.of(count)[new] & self._table.alive[new] & (values >= 0)
                np.add.at(self.nodes, values[good], 1)
            self.length = count
        return numbers

    def is_free(self, at: Counts | slice = EVERY) -> Flags:
        """Return, per node, whether none of these pods is in its domain; a node without the key has none."""
        numbers = self.synced()[at]
        return (numbers < 0) | (self.counts[numbers] <= 0)

    def add(self, index: int, count: int) -> None:
        """Count pods on a node (negative: they are gone)."""
        number = self.synced()[index]
        if number < 0 or (self.eligible is not None and not self.eligible.of(self.length)[index]):
            return
        self.counts[number] += count
        self.total += count

    def add_all(self, on: Mapping[int, int]) -> None:
        """Count the pods of a kind, by node."""
        if not on:
            return
        where = np.fromiter(on.keys(), np.int64, len(on))
        counts = np.fromiter(on.values(), np.int64, len(on))
        numbers = self.synced()[where]
        good = numbers >= 0
        if self.eligible is not None:
            good &= self.eligible.of(self.length)[where]
        np.add.at(self.counts, numbers[good], counts[good])
        self.total += int(counts[good].sum())

    def node_back(self, index: int) -> None:
        """A node that was counted and went is there again."""
        if self.eligible is None or index >= self.length:
            return
        number = self.column.of()[index]
        if number >= 0 and self.eligible.of(self.length)[index]:
            self.nodes[number] += 1

    def nodes_gone(self, indices: Counts) -> None:
        """Nodes that were counted go, many at once."""
        if self.eligible is None:
            return
        counted = indices[indices < self.length]
        numbers = self.column.of()[counted]
        good = self.eligible.of(self.length)[counted] & (numbers >= 0)
        np.subtract.at(self.nodes, numbers[good], 1)

    def cut(self, length: int) -> None:
        """Forget the nodes from that index on, which hold nothing that is counted."""
        if self.eligible is not None and self.length > length:
            going = slice(length, self.length)
            values = self.column.of()[going]
            good = self.eligible.of(self.length)[going] & self._table.alive[going] & (values >= 0)
            np.subtract.at(self.nodes, values[good], 1)
        self.length = min(self.length, length)


class AntiRule:
    """No pod of these in the node's domain. Nodes without the key have no domain."""

    __slots__ = ("counter", "self_match", "text")

    def __init__(self, counter: Counter, *, self_match: bool, text: str) -> None:
        self.counter = counter
        self.self_match = self_match
        """A second pod of the kind in the domain would be refused."""
        self.text = text

    def good(self, at: Counts | slice = EVERY) -> Flags:
        return self.counter.is_free(at)

    def allows(self, index: int) -> bool:
        number = self.counter.synced()[index]
        return bool(number < 0 or self.counter.counts[number] <= 0)

    def cap(self, at: Counts | slice = EVERY) -> Counts | None:
        """At most so many on each node, or None: no limit."""
        if not self.self_match:
            return None
        return np.where(self.counter.synced()[at] < 0, _MANY, 1)

    def cap_on(self, index: int) -> int:
        """At most so many on one node."""
        return _MANY if not self.self_match or self.counter.synced()[index] < 0 else 1


class AffinityRule:
    """Pods that match all terms are in the node's domain of each term's key."""

    __slots__ = ("counters", "self_match")

    def __init__(self, counters: list[Counter], *, self_match: bool) -> None:
        self.counters = counters
        self.self_match = self_match

    @property
    def is_first(self) -> bool:
        """No such pod is anywhere and this one would do: any node with the keys is good."""
        numbers = [counter.synced() for counter in self.counters]
        return self.self_match and bool(numbers) and all(counter.total <= 0 for counter in self.counters)

    def good(self, at: Counts | slice = EVERY) -> Flags:
        first = self.is_first
        result: Flags = np.ones(len(self.counters[0].synced()[at]), np.bool_)
        for counter in self.counters:
            numbers = counter.synced()[at]
            result &= numbers >= 0
            if not first:
                result &= counter.counts[numbers] > 0
        return result

    def refuses(self, index: int) -> str:
        """Return why not, or ""."""
        first = self.is_first
        for counter in self.counters:
            number = counter.synced()[index]
            if number < 0:
                return f"affinity: the node has no label {counter.column.key}"
            if not first and counter.counts[number] <= 0:
                return f"affinity: no matching pod in its {counter.column.key}"
        return ""


class SpreadRule:
    """One hard constraint."""

    __slots__ = ("counter", "grows", "self_match", "spread")

    def __init__(self, counter: Counter, spread: Spread, *, self_match: bool, grows: bool) -> None:
        self.counter = counter
        self.spread = spread
        self.self_match = self_match
        self.grows = grows
        """Whether placing such a pod raises the count (with an empty selector it matches and is not counted)."""

    def _least(self) -> tuple[int, int, int]:
        """Return the least count, how many domains have it, and the least of the others."""
        here = self.counter.counts[self.counter.nodes > 0]
        if len(here) < max(self.spread.min_domains, 1):
            return 0, 2, 0
        least = int(here.min())
        same = int((here == least).sum())
        others = here[here > least]
        return least, same, int(others.min()) if len(others) else _MANY

    def good(self, at: Counts | slice = EVERY) -> Flags:
        numbers = self.counter.synced()[at]
        least, _, _ = self._least()
        most = self.spread.max_skew + least - int(self.self_match)
        return (numbers >= 0) & (self.counter.counts[numbers] <= most)

    def counts(self) -> dict[int, int]:
        """Return how many pods every domain has that has a node, by the number of its value."""
        counter = self.counter
        counter.synced()
        there = np.flatnonzero(counter.nodes > 0)
        return dict(zip(there.tolist(), counter.counts[there].tolist(), strict=True))

    def most(self, counts: Collection[int]) -> int:
        """Return how many pods a domain may have that takes one more, if the domains have so many."""
        least = min(counts) if len(counts) >= max(self.spread.min_domains, 1) else 0
        return self.spread.max_skew + least - int(self.self_match)

    def is_full(self, value: str) -> bool:
        """Return whether a domain that has a node takes no more; nodes that are added there change nothing for that."""
        counts = self.counts()
        number = self.counter.column.values.get(value, -1)
        return number in counts and counts[number] > self.most(counts.values())

    def levels(self) -> dict[str, int]:
        """Return how many pods every domain has that has a node."""
        counter = self.counter
        counter.synced()
        return {
            value: int(counter.counts[number])
            for value, number in counter.column.values.items()
            if counter.nodes[number]
        }

    def refuses(self, index: int) -> str:
        """Return why not, or ""."""
        number = self.counter.synced()[index]
        if number < 0:
            return f"the node has no label {self.counter.column.key}"
        least, _, _ = self._least()
        skew = int(self.counter.counts[number]) + int(self.self_match) - least
        if skew <= self.spread.max_skew:
            return ""
        return f"{self.counter.column.key}: skew would be {skew}, {self.spread.max_skew} allowed"

    def cap(self, at: Counts | slice = EVERY) -> Counts | None:
        """At most so many on each node, taken alone, where one fits; None: no limit."""
        if not self.grows:
            return None
        numbers = self.counter.synced()[at]
        least, same, others = self._least()
        counts = self.counter.counts[numbers]
        # A domain that alone has the least count draws the least up with it, as far as the next.
        bound = np.where(counts == least, others if same == 1 else least, least)
        return np.where(bound >= _MANY, _MANY, self.spread.max_skew + bound - counts)

    def cap_on(self, index: int) -> int:
        """At most so many on one node, taken alone, where one fits."""
        if not self.grows:
            return _MANY
        least, same, others = self._least()
        count = int(self.counter.counts[self.counter.synced()[index]])
        bound = (others if same == 1 else least) if count == least else least
        return _MANY if bound >= _MANY else self.spread.max_skew + bound - count


_MANY = 1 << 40
