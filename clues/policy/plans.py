"""What a simulation knows of each kind of pods."""

from dataclasses import dataclass

from clues.model import HostPort
from clues.policy.nodes import Lazy
from clues.policy.topology import AffinityRule, AntiRule, Counter, SpreadRule
from clues.policy.volumes import VolumeNeeds

__all__ = ["Plan", "Rules"]


@dataclass(slots=True)
class Rules:
    """Those of a kind that look at other pods; made when the kind is first asked about."""

    affinity: AffinityRule | None
    anti: list[AntiRule]
    spread: list[SpreadRule]


@dataclass(slots=True)
class Plan:
    """What placing a kind changes and what it needs."""

    charges: tuple[tuple[int, int], ...]
    """(row of the free matrix, amount), the slot first."""
    ports: tuple[HostPort, ...]
    volumes: VolumeNeeds
    on: dict[int, int]
    """Node -> pods of the kind."""
    counters: list[Counter]
    """That count it."""
    refused_by: list[Counter]
    """Holders of anti-affinity that matches it."""
    special: bool
    """Ports or volumes are to be counted."""
    unruled: bool
    """It asks for resources and for a sort of nodes, and for nothing else."""
    places: Lazy | None = None
    rules: Rules | None = None
    simple: bool | None = None
