"""Since when a node of a batch system is idle: by its own word where that can be, else since it was first seen so."""

from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from clues.slurm_model import SlurmNode, SlurmNodeState

__all__ = ["JUMP_S", "IdleTimes"]

JUMP_S: Final = 5.0
"""A difference of the two clocks beyond this is a jump of the wall clock."""


class IdleTimes:
    """Remembers idle nodes from look to look, by the monotonic clock.

    Programs of batch systems need not say a time at all, and Slurm says 0, or the time of a machine whose clock is
    ahead. Taken at its word the one node would go off at once, and the other stay on for ever. What is remembered ends
    with the process: after a start such nodes are idle since the first look.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[float, float]] = {}
        """Node -> the time that it said, and since when it is idle (monotonic)."""

    def told(self, nodes: Iterable[SlurmNode], used: Collection[str], now: float, mono: float) -> tuple[SlurmNode, ...]:
        """Return the nodes with times that can be; those in `used` have a job, whatever they say."""
        before, self._known = self._known, {}
        return tuple(
            self._told(node, before.get(node.name), now, mono)
            if node.state is SlurmNodeState.IDLE and node.name not in used
            else node
            for node in nodes
        )

    def _told(self, node: SlurmNode, before: tuple[float, float] | None, now: float, mono: float) -> SlurmNode:
        if before is None or before[0] != node.since:
            before = node.since, mono - (now - node.since if 0 < node.since <= now else 0.0)
        self._known[node.name] = before
        since = now - (mono - before[1])
        return node if abs(since - node.since) < JUMP_S else msgspec.structs.replace(node, since=since)
