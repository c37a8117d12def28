"""One action while it is under way, and what its phases mean to the rest."""

import threading
from dataclasses import dataclass, field
from typing import Final

import msgspec

from clues.history import ActionKind, ActionRecord, Phase
from infracore.errors import InfraError

__all__ = ["NODE_WORDS", "Live", "PoolFailure", "RemovalFailure", "Turn"]


@dataclass(eq=False, slots=True)
class Live:
    """An open action with what only this process needs. Times are monotonic."""

    record: ActionRecord
    busy: bool = False
    """A call is out; its outcome moves the action on."""
    not_before: float = 0.0
    ends_at: float | None = None
    failures: int = 0
    """Calls of this phase that failed."""
    unsaved: bool = False
    """The history could not be written; it is tried again."""
    why_return: str = ""
    """It is to be called off, for this reason."""
    failed: bool = False
    """Its end will be FAILED, not CANCELLED, once the node is back in use."""
    cancel: threading.Event = field(default_factory=threading.Event)
    opened_until: float | None = None
    """The node was put back into use; until then a picture is waited for that shows it."""
    call: int = 0
    """Number of the call that is out: an outcome of an older one is dropped."""


class Turn(msgspec.Struct, frozen=True):
    """An action came into another phase."""

    before: Phase | None
    record: ActionRecord


class PoolFailure(msgspec.Struct, frozen=True):
    """An order of a pool failed: the pool is to rest."""

    pool: str
    reason: str
    error: InfraError | None = None
    machine: str = ""
    """Machine that was given up; "" where there was none yet."""


class RemovalFailure(msgspec.Struct, frozen=True):
    """A removal failed: the node is in use again, and is to be left alone for a while."""

    node: str
    """"" where the machine never became one."""
    reason: str


NODE_WORDS: Final = {
    (ActionKind.POWER_ON, Phase.GIVING_UP): "stopping",
    (ActionKind.POWER_OFF, Phase.STOPPING): "stopping",
    (ActionKind.POWER_OFF, Phase.GOING_OFF): "stopping",
    (ActionKind.POWER_OFF, Phase.DISCARDING): "stopping",
    (ActionKind.POWER_OFF, Phase.CORDONING): "draining",
    (ActionKind.POWER_OFF, Phase.LOOKING): "draining",
    (ActionKind.POWER_OFF, Phase.DRAINING): "draining",
    (ActionKind.POWER_OFF, Phase.VERIFYING): "draining",
}
"""What a node is called while an action is in a phase (`NodeView.state`)."""
