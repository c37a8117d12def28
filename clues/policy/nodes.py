"""Nodes as columns: one array per label key that a rule looks at, and answers per node that are computed once.

Nodes are only ever appended and, when that is taken back, popped; what hangs on them is computed up to a length and
extended when it is asked for again.
"""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from clues.model import HOSTNAME, Node, NodeTerm, Operator, Requirement, Taint, Toleration
from clues.policy.selectors import UNSCHEDULABLE, holds, is_sound, tolerates, untolerated

__all__ = ["Column", "Flags", "Lazy", "NodeTable"]

Flags: TypeAlias = NDArray[np.bool_]


class Column:
    """The values of one label key, numbered; -1 where a node has none."""

    __slots__ = ("_nodes", "_of", "key", "length", "values")

    def __init__(self, key: str, nodes: list[Node]) -> None:
        self.key = key
        self.values: dict[str, int] = {}
        self.length = 0
        self._nodes = nodes
        self._of: NDArray[np.int64] = np.empty(max(16, len(nodes)), np.int64)

    def of(self) -> NDArray[np.int64]:
        """Return the number of the value of every node."""
        count = len(self._nodes)
        if self.length < count:
            if count > len(self._of):
                self._of = np.concatenate([self._of, np.empty(count, np.int64)])
            key, values = self.key, self.values
            new = [node.labels.get(key) for node in self._nodes[self.length : count]]
            self._of[self.length : count] = [
                -1 if value is None else values.setdefault(value, len(values)) for value in new
            ]
            self.length = count
        return self._of[:count]

    def cut(self, count: int) -> None:
        """Forget nodes from that index on."""
        self.length = min(self.length, count)


class Lazy:
    """A yes or no per node that never changes, computed for new nodes when it is asked for."""

    __slots__ = ("_compute", "_of", "length")

    def __init__(self, compute: Callable[[int, int], Flags]) -> None:
        """Take the function that answers for nodes `low <= index < high`."""
        self._compute = compute
        self._of: Flags = np.empty(0, np.bool_)
        self.length = 0

    def of(self, count: int) -> Flags:
        """Return the answers for the first `count` nodes; not to be written to."""
        if self.length < count:
            if count > len(self._of):
                room = np.empty(max(count, min(2 * len(self._of), count + 4096)), np.bool_)
                room[: self.length] = self._of[: self.length]
                self._of = room
            self._of[self.length : count] = self._compute(self.length, count)
            self.length = count
        return self._of[:count]

    def cut(self, count: int) -> None:
        """Forget nodes from that index on."""
        self.length = min(self.length, count)


class NodeTable:
    """The nodes, and what rules ask about them."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes
        self.alive: Flags = np.ones(max(16, len(nodes)), np.bool_)
        self.open: Flags = np.ones(max(16, len(nodes)), np.bool_)
        self._changes = 0
        self._own_names: tuple[int, bool] = (-1, True)
        """After how many changes it was found out, and the answer."""
        self._columns: dict[str, Column] = {}
        self._lazy: list[Lazy] = []
        self._tolerated: dict[tuple[Toleration, ...], Lazy] = {}
        self._matched: dict[tuple[tuple[tuple[str, str], ...], tuple[NodeTerm, ...] | None], Lazy] = {}

    def append(self, node: Node) -> int:
        """Add a node and return its index."""
        index = len(self.nodes)
        self.nodes.append(node)
        if index >= len(self.alive):
            more = np.ones(index, np.bool_)
            self.alive, self.open = np.concatenate([self.alive, more]), np.concatenate([self.open, more])
        self.alive[index] = self.open[index] = True
        self._changes += 1
        return index

    def set_alive(self, indices: int | NDArray[np.int64], is_alive: bool) -> None:
        """Say of nodes that they are there, or not any more."""
        self.alive[indices] = is_alive
        self._changes += 1

    def has_own_names(self) -> bool:
        """Return whether no two nodes that are there carry the same host name as a label."""
        if self._own_names[0] != self._changes:
            names = self.column(HOSTNAME).of()
            named = names[(names >= 0) & self.alive[: len(names)]]
            self._own_names = (self._changes, not len(named) or int(np.bincount(named).max()) == 1)
        return self._own_names[1]

    def cut(self, count: int) -> None:
        """Take the nodes from that index on back."""
        del self.nodes[count:]
        self._changes += 1
        for lazy in self._lazy:
            lazy.cut(count)
        for column in self._columns.values():
            column.cut(count)

    def column(self, key: str) -> Column:
        """Return the values of a label key."""
        found = self._columns.get(key)
        if found is None:
            found = self._columns[key] = Column(key, self.nodes)
        return found

    def lazy(self, compute: Callable[[int, int], Flags]) -> Lazy:
        """Return answers that are cut when nodes are popped."""
        made = Lazy(compute)
        self._lazy.append(made)
        return made

    def tolerated(self, tolerations: tuple[Toleration, ...]) -> Lazy:
        """Return where such a pod may be as far as cordons and taints say."""
        found = self._tolerated.get(tolerations)
        if found is None:
            known: dict[tuple[Taint, ...], bool] = {}
            despite_cordon = any(tolerates(t, UNSCHEDULABLE) for t in tolerations)

            def compute(low: int, high: int) -> Flags:
                answers = np.empty(high - low, np.bool_)
                for at, node in enumerate(self.nodes[low:high]):
                    good = True
                    if node.taints:
                        cached = known.get(node.taints)
                        if cached is None:
                            cached = known[node.taints] = untolerated(node.taints, tolerations) is None
                        good = cached
                    answers[at] = good and (despite_cordon or not node.unschedulable)
                return answers

            found = self._tolerated[tolerations] = self.lazy(compute)
        return found

    def untainted(self, tolerations: tuple[Toleration, ...]) -> Lazy:
        """Return where the taints alone let such a pod be (spread with `honor_taints`)."""

        def compute(low: int, high: int) -> Flags:
            nodes = self.nodes[low:high]
            return np.array([untolerated(node.taints, tolerations) is None for node in nodes], np.bool_)

        return self.lazy(compute)

    def matched(self, selector: tuple[tuple[str, str], ...], terms: tuple[NodeTerm, ...] | None) -> Lazy:
        """Return where node selector and required node affinity hold."""
        found = self._matched.get((selector, terms))
        if found is None:

            def compute(low: int, high: int) -> Flags:
                good = np.ones(high - low, np.bool_)
                for key, value in selector:
                    column = self.column(key)
                    numbers = column.of()[low:high]
                    good &= numbers == column.values.get(value, -2)
                if terms is not None:
                    good &= self.any_term(terms, low, high)
                return good

            found = self._matched[selector, terms] = self.lazy(compute)
        return found

    def any_term(self, terms: tuple[NodeTerm, ...], low: int, high: int) -> Flags:
        """Return where one of the terms holds."""
        good = np.zeros(high - low, np.bool_)
        for term in terms:
            if not term.labels and not term.fields:
                continue
            one = np.ones(high - low, np.bool_)
            for requirement in term.labels:
                one &= self._holds(requirement, low, high)
            for requirement in term.fields:
                one &= self._field_holds(requirement, low, high)
            good |= one
        return good

    def _holds(self, requirement: Requirement, low: int, high: int) -> Flags:
        if not is_sound(requirement):
            return np.zeros(high - low, np.bool_)
        column = self.column(requirement.key)
        numbers = column.of()[low:high]
        operator = requirement.operator
        if operator == Operator.EXISTS:
            return numbers >= 0
        if operator == Operator.DOES_NOT_EXIST:
            return numbers < 0
        if operator in (Operator.IN, Operator.NOT_IN):
            wanted = [column.values[v] for v in requirement.values if v in column.values]
            inside = numbers == wanted[0] if len(wanted) == 1 else np.isin(numbers, wanted)
            return inside if operator == Operator.IN else ~inside
        table = [holds(requirement, {requirement.key: value}) for value in column.values]
        return np.array([*table, False], np.bool_)[numbers]  # -1 is the last: no value, no comparison

    def _field_holds(self, requirement: Requirement, low: int, high: int) -> Flags:
        if len(requirement.values) != 1 or requirement.operator not in (Operator.IN, Operator.NOT_IN):
            return np.zeros(high - low, np.bool_)
        wanted = requirement.values[0]
        by_name = requirement.key == "metadata.name"
        same = np.array([(node.name if by_name else "") == wanted for node in self.nodes[low:high]], np.bool_)
        return same if requirement.operator == Operator.IN else ~same
