"""Selectors and terms of node selectors."""

from clues.kubeapi import forms
from clues.model import NodeTerm, Operator, Requirement, Selector

__all__ = ["selector_of", "term_of"]


def _requirement(form: forms.ExpressionForm) -> Requirement:
    return Requirement(form.key, Operator(form.operator), tuple(form.values or ()))


def selector_of(form: forms.SelectorForm | None) -> Selector | None:
    """Return a label selector; None for null. Raises ValueError for an operator that there is not."""
    if form is None:
        return None
    equal = [Requirement(key, Operator.IN, (value,)) for key, value in sorted((form.match_labels or {}).items())]
    return Selector((*equal, *(_requirement(item) for item in form.match_expressions or ())))


def term_of(form: forms.NodeTermForm) -> NodeTerm:
    """Return a term of a node selector. Raises ValueError."""
    labels = tuple(_requirement(item) for item in form.match_expressions or ())
    return NodeTerm(labels, tuple(_requirement(item) for item in form.match_fields or ()))
