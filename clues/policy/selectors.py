"""Do labels satisfy a selector: the rules of label selectors, node selectors, taints and tolerations, one at a time.

Meanings: Kubernetes API reference v1.36. A requirement that the API server would refuse (`In` without values, `Gt` of a
word) holds for nothing, so that broken input selects less, never more.
"""

import re
from collections.abc import Iterable
from typing import Final

from clues.model import (
    Effect,
    Labels,
    Node,
    NodeTerm,
    Operator,
    PodSpec,
    PodTerm,
    Requirement,
    Selector,
    Taint,
    Toleration,
)

__all__ = [
    "UNSCHEDULABLE",
    "any_term_holds",
    "holds",
    "integer",
    "is_sound",
    "not_selected",
    "selector_keys",
    "selects",
    "term_holds",
    "term_selects",
    "tolerates",
    "untolerated",
]

UNSCHEDULABLE: Final = Taint("node.kubernetes.io/unschedulable", "", Effect.NO_SCHEDULE)
"""What a pod must tolerate to be placed on a cordoned node."""
_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,25}", re.ASCII)
_INT64: Final = 1 << 63


def integer(text: str) -> int | None:
    """Return a decimal integer of 64 bits, or None where the text is none."""
    if _INTEGER.fullmatch(text) is None:
        return None
    number = int(text)
    return number if -_INT64 <= number < _INT64 else None


def is_sound(requirement: Requirement) -> bool:
    """Return whether the operator has the values that it needs."""
    operator, values = requirement.operator, requirement.values
    if operator in (Operator.IN, Operator.NOT_IN):
        return bool(values)
    if operator in (Operator.EXISTS, Operator.DOES_NOT_EXIST):
        return not values
    return len(values) == 1 and integer(values[0]) is not None


def holds(requirement: Requirement, labels: Labels) -> bool:
    """Return whether one requirement holds."""
    if not is_sound(requirement):
        return False
    operator, value = requirement.operator, labels.get(requirement.key)
    if operator == Operator.IN:
        return value is not None and value in requirement.values
    if operator == Operator.NOT_IN:
        return value is None or value not in requirement.values
    if operator == Operator.EXISTS:
        return value is not None
    if operator == Operator.DOES_NOT_EXIST:
        return value is None
    found, bound = None if value is None else integer(value), integer(requirement.values[0])
    if found is None or bound is None:
        return False
    return found > bound if operator == Operator.GT else found < bound


def selects(selector: Selector | None, labels: Labels) -> bool:
    """Return whether a label selector matches; None matches nothing, an empty one everything."""
    if selector is None:
        return False
    return all(holds(requirement, labels) for requirement in selector.requirements)


def term_selects(term: PodTerm, namespace: str, namespace_labels: Labels, labels: Labels) -> bool:
    """Return whether a term of pod (anti-)affinity matches a pod of that namespace with those labels."""
    if namespace not in term.namespaces and not selects(term.namespace_selector, namespace_labels):
        return False
    return selects(term.selector, labels)


def _field_holds(requirement: Requirement, name: str) -> bool:
    """`metadata.name` is the only field, `In` and `NotIn` with one value the only operators."""
    if len(requirement.values) != 1:
        return False
    found = name if requirement.key == "metadata.name" else ""
    if requirement.operator == Operator.IN:
        return found == requirement.values[0]
    return requirement.operator == Operator.NOT_IN and found != requirement.values[0]


def term_holds(term: NodeTerm, labels: Labels, name: str) -> bool:
    """Return whether a node selector's term holds; one that asks for nothing matches no node."""
    if not term.labels and not term.fields:
        return False
    return all(holds(r, labels) for r in term.labels) and all(_field_holds(r, name) for r in term.fields)


def any_term_holds(terms: Iterable[NodeTerm], labels: Labels, name: str) -> bool:
    """Return whether one of the terms holds (none: False)."""
    return any(term_holds(term, labels, name) for term in terms)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """Return whether one toleration covers a taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    operator = toleration.operator
    if operator == "Exists":
        return True
    if operator in ("", "Equal"):
        return toleration.value == taint.value
    given, limit = integer(taint.value), integer(toleration.value)
    if given is None or limit is None:
        return False
    return (operator == "Lt" and given < limit) or (operator == "Gt" and given > limit)


def untolerated(taints: Iterable[Taint], tolerations: Iterable[Toleration]) -> Taint | None:
    """Return the first taint that keeps such a pod away; `PreferNoSchedule` never does."""
    known = tuple(tolerations)
    for taint in taints:
        if taint.effect != Effect.PREFER_NO_SCHEDULE and not any(tolerates(t, taint) for t in known):
            return taint
    return None


def selector_keys(spec: PodSpec) -> frozenset[str]:
    """Return the pod label keys that the placement rules of a pod look at (soft spread is none)."""
    if not (spec.affinity or spec.anti_affinity or spec.spread):
        return _NOTHING
    selectors = [term.selector for term in (*spec.affinity, *spec.anti_affinity)]
    selectors += [spread.selector for spread in spec.spread if spread.hard]
    return frozenset(r.key for s in selectors if s is not None for r in s.requirements)


_NOTHING: Final[frozenset[str]] = frozenset()


def not_selected(spec: PodSpec, node: Node) -> str:
    """Return why selector and required node affinity refuse a node, or ""."""
    for key, value in spec.node_selector:
        found = node.labels.get(key)
        if found != value:
            return f"asks for {key}={value}, the node has {'none' if found is None else found}"
    if spec.node_affinity is not None and not any_term_holds(spec.node_affinity, node.labels, node.name):
        return "required node affinity does not match its labels"
    return ""
