"""Which nodes go, and why each other one stays."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from clues.decision import NodeVerdict, Removal, Replacement

__all__ = ["ScaleInResult"]


@dataclass(frozen=True, slots=True)
class ScaleInResult:
    """What scaling in decided. `out.give_up` is not among the removals: `decide` adds it."""

    removals: tuple[Removal, ...] = ()
    replacements: tuple[Replacement, ...] = ()
    cancel: tuple[str, ...] = ()
    """Nodes whose removal has begun and that are needed again."""
    nodes: tuple[NodeVerdict, ...] = ()
    unneeded_since: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
