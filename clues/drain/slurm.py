"""Emptying Slurm nodes: drained with a reason of ours, waited for, resumed. See `clues.drain.base`.

A job is never ended: what runs on a drained node is waited for. A drain of somebody else's stays as it is, with its
reason, whatever is done to the machine.
"""

import contextlib
from collections.abc import Sequence
from typing import Final

from clues.drain.base import Evictions
from clues.drain.jobs import pods_of_jobs, refused
from clues.model import Pod, PodRef
from clues.slurmapi.commands import Slurm
from clues.slurmapi.listing import MARK, ListedNode
from clues.slurmapi.words import node_words
from infracore.errors import NotFound

__all__ = ["SlurmDrain"]

_BUSY: Final = frozenset({"ALLOCATED", "MIXED", "COMPLETING"})
_POWER: Final = frozenset({"POWERED_DOWN", "POWERING_DOWN", "POWER_DOWN", "FUTURE"})
_DOWN: Final = frozenset({"DOWN", "UNKNOWN", "ERROR"})


class SlurmDrain:
    """Satisfies `clues.drain.base.Drain`. Safe under threads."""

    keeps_names = False

    def __init__(self, slurm: Slurm) -> None:
        self._slurm = slurm

    def cordon(self, node: str) -> None:
        """Drain the node, unless it is drained or Slurm itself powers it down. Raises NotFound where there is none."""
        found = self._slurm.node(node)
        words = node_words(found.state)
        if not words & _POWER and "DRAIN" not in words:
            self._slurm.update(node, State="DRAIN", Reason=f"{MARK} it is to be powered off")

    def uncordon(self, node: str) -> None:
        """Resume the node where we drained it, or Slurm put it down for its silence."""
        with contextlib.suppress(NotFound):
            found = self._slurm.node(node)
            words = node_words(found.state)
            mine = found.node.reason.startswith(MARK)
            if ("DRAIN" in words and mine) or (words & _DOWN and not found.node.kept and not words & _POWER):
                self._slurm.update(node, State="RESUME")

    def evict(self, pods: Sequence[PodRef], *, force: bool = False) -> Evictions:  # noqa: ARG002 (the contract)
        """Refuse: jobs end by themselves, also where `force` is set."""
        return refused(pods)

    def pods_on(self, node: str) -> Sequence[Pod]:
        """Return the jobs that have the node now, with those that are ending there."""
        jobs = self._slurm.jobs_on(node).jobs
        return pods_of_jobs(node, (item for item in jobs if not item.job.pending))

    def is_empty(self, node: str) -> bool:
        """Whether no job has the node and none can come: it is still drained (or powered down by Slurm itself)."""
        try:
            found = self._slurm.node(node)
        except NotFound:
            return True
        return found.is_closed and not node_words(found.state) & _BUSY and not self._has_jobs(found)

    def park(self, node: str) -> None:
        """Put the node down with a reason of ours: nothing is there any more that could answer."""
        with contextlib.suppress(NotFound):
            found = self._slurm.node(node)
            words = node_words(found.state)
            if not words & _POWER and not words & _BUSY and not words & _DOWN and found.node.parked:
                self._slurm.update(node, State="DOWN", Reason=f"{MARK} powered off")

    def delete_node(self, node: str, uid: str = "") -> None:  # noqa: ARG002 (the contract)
        """Do as `park`: the name stays declared in slurm.conf."""
        self.park(node)

    def _has_jobs(self, found: ListedNode) -> bool:
        return bool(self.pods_on(found.node.name))
