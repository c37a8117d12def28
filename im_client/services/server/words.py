"""States in the words of the Infrastructure Manager."""

from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Final

from im_client.plan.model import Phase
from im_client.state.store import NodeRecord

__all__ = ["state_of_all", "state_of_vm"]

_WORDS: Final[Mapping[Phase, str]] = MappingProxyType(
    {
        Phase.CREATING: "pending",
        Phase.PENDING: "pending",
        Phase.RUNNING: "running",
        Phase.CONFIGURED: "configured",
        Phase.UNCONFIGURED: "unconfigured",
        Phase.STOPPED: "stopped",
        Phase.FAILED: "failed",
        Phase.DELETING: "deleting",
        Phase.GONE: "off",
        Phase.UNKNOWN: "unknown",
    }
)
_ORDER: Final = ("failed", "unknown", "pending", "running", "stopped", "off", "unconfigured", "configured")
"""The first of these that any VM has is the state of the infrastructure."""


def state_of_vm(node: NodeRecord | None, *, is_busy: bool) -> str:
    """Return the state of a VM; None is one that was announced and has not begun. `is_busy`: it may be worked on."""
    if node is None:
        return "pending"
    if is_busy and node.phase is Phase.UNCONFIGURED and not node.failure:
        return "running"  # that is how a machine is recorded while it is configured
    if not is_busy and node.phase in {Phase.CREATING, Phase.PENDING} and node.failure:
        return "failed"
    return _WORDS[node.phase]


def state_of_all(vms: Collection[str], *, is_deleting: bool, has_failed: bool) -> str:
    """Return the state of an infrastructure from its VMs' states; `has_failed`: its last change did."""
    if is_deleting:
        return "deleting"
    if not vms:
        return "failed" if has_failed else "pending"
    present = set(vms)
    return next((word for word in _ORDER if word in present), "deleting")
