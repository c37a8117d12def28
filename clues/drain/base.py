"""What emptying a node needs of a cluster.

Every method asks the API server itself, never a cache: it is called when something irreversible is near. All block
for at most one request's time limit each, and may be repeated; they run in worker threads, several at once. What is
absent is as good as done: cordoning raises `NotFound` for a node that does not exist, all others succeed.

Errors are `infracore.errors`: `Transient`, `TimedOut` and `Conflict` are tried again, `Unauthorised` and
`Misconfigured` are not.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from clues.model import Pod, PodRef

__all__ = ["Drain", "Evictions"]


class Evictions(msgspec.Struct, frozen=True):
    """What came of asking for evictions once."""

    accepted: tuple[PodRef, ...] = ()
    """Going, or gone already (a pod of the same name with another uid counts as gone)."""
    refused: Mapping[PodRef, str] = {}
    """Not now: a disruption budget says no (HTTP 429), with what the server said."""


class Drain(Protocol):
    """See the module's docstring. Satisfied by `clues.drain.kubernetes` and `clues.drain.fake`."""

    @property
    def keeps_names(self) -> bool:
        """Whether a name may still be drained when another machine comes as this node, and nothing shows it."""
        ...

    def cordon(self, node: str) -> None:
        """Make the node unschedulable. Raises NotFound where there is no such node."""
        ...

    def uncordon(self, node: str) -> None:
        """Make it schedulable, and take away the mark of a parked node."""
        ...

    def evict(self, pods: Sequence[PodRef], *, force: bool = False) -> Evictions:
        """Ask once for the eviction of each pod, in order; returns without waiting for them to be gone.

        `force` deletes a pod that its budget protects (with its own grace period).
        """
        ...

    def pods_on(self, node: str) -> Sequence[Pod]:
        """Return the pods of the node that are not finished, as the server has them now."""
        ...

    def is_empty(self, node: str) -> bool:
        """Whether all pods of the node are such as stay with it (`Pod.stays_with_node`)."""
        ...

    def park(self, node: str) -> None:
        """Cordon the node and mark it as parked (turned off by us, kept for later)."""
        ...

    def delete_node(self, node: str, uid: str = "") -> None:
        """Delete the Node object; with `uid` only that one, and another one of its name stays."""
        ...
