"""What is stored, as values."""

from enum import StrEnum
from typing import Final

import msgspec

from clues.decision import RemovalKind
from clues.model import PodRef
from clues.snapshot import Machine
from infracore.errors import InfraError

__all__ = [
    "ENDED",
    "ActionKind",
    "ActionRecord",
    "MachineRecord",
    "NodeChange",
    "Phase",
    "PodWait",
    "Unwritable",
]


class Unwritable(InfraError):
    """The history cannot be written: full disk, lost rights. Nothing is ordered or turned off without it."""

    code = "history-unwritable"


class ActionKind(StrEnum):
    POWER_ON = "power-on"
    POWER_OFF = "power-off"


class Phase(StrEnum):
    """Where an action is. The order of a kind's phases is that of its life; `ENDED` are its ends."""

    QUEUED = "queued"
    """Stored, and waiting for its turn (a replacement's removals: for what replaces them)."""
    # power-on
    ORDERING = "ordering"
    """The driver is being called, or was when the daemon died: it is called again with the same token."""
    BOOTING = "booting"
    """The driver accepted; the node is awaited."""
    ADMITTING = "admitting"
    """The node is ready and is being uncordoned."""
    GIVING_UP = "giving-up"
    """It came too late or not at all: it is turned off."""
    # power-off
    CORDONING = "cordoning"
    LOOKING = "looking"
    """Cordoned; a fresh picture is awaited before anything is evicted."""
    DRAINING = "draining"
    VERIFYING = "verifying"
    STOPPING = "stopping"
    """The point of no return: the driver is being told to turn it off."""
    GOING_OFF = "going-off"
    """The driver accepted; the machine is awaited to be off."""
    DISCARDING = "discarding"
    """The Node object is being deleted, or marked as parked."""
    RETURNING = "returning"
    """Cancelled or failed: the node is being uncordoned."""
    # ends
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


ENDED: Final = frozenset({Phase.DONE, Phase.CANCELLED, Phase.FAILED})


class ActionRecord(msgspec.Struct, frozen=True):
    """One machine that is being turned on or off. It is stored before the driver is called."""

    token: str
    """Also the driver's token of the order."""
    kind: ActionKind
    pool: str
    created_at: float
    phase: Phase = Phase.QUEUED
    since: float = 0.0
    """When the phase began, seconds since the epoch."""
    machine: str = ""
    """"" until the driver has said it, for pools whose machines are made anew."""
    node: str = ""
    reason: str = ""
    error: str = ""
    """Why it failed, was cancelled, or is tried again."""
    group: str = ""
    """Actions of one replacement have the same."""
    removal: RemovalKind | None = None
    evict: tuple[PodRef, ...] = ()
    """Pods that are to be evicted, in order."""
    pods: tuple[PodRef, ...] = ()
    """Pods that a new node is for (at most 50)."""
    force: bool = False
    """A person asked for it and accepts that budgets and blocking pods are passed over."""
    manual: bool = False
    """A person asked for it: no decision cancels it."""
    disable: bool = False
    """Part of taking the machine out of use."""
    cordoned: bool = False
    """We cordoned the node: it is uncordoned if it stays."""
    node_uid: str = ""
    """Of the Node object that was looked at: one made anew under its name is not deleted. "" where nobody looked."""

    @property
    def is_open(self) -> bool:
        return self.phase not in ENDED

    @property
    def can_return(self) -> bool:
        """Whether the removal can still be called off."""
        return self.kind is ActionKind.POWER_OFF and self.phase in _BEFORE_NO_RETURN


_BEFORE_NO_RETURN: Final = frozenset({Phase.QUEUED, Phase.CORDONING, Phase.LOOKING, Phase.DRAINING, Phase.VERIFYING})


class MachineRecord(msgspec.Struct, frozen=True):
    """What is remembered of a machine."""

    machine: Machine
    reason: str = ""
    """Why it is held, disabled or failed."""
    on_since: float | None = None
    ready_before: float | None = None
    """`ready_since` of its node when it went off: for some time after that the Node object still says ready."""


class NodeChange(msgspec.Struct, frozen=True):
    """A node or machine came into a state (the words of `clues.control.NodeView`), or went (`gone`)."""

    at: float
    name: str
    pool: str
    machine: str
    state: str
    busy: float = 0.0
    """Share of its cpu or memory, the larger, that pods ask for."""


class PodWait(msgspec.Struct, frozen=True):
    """A pod that is not pending any more."""

    namespace: str
    name: str
    uid: str
    since: float
    ended_at: float
    node: str = ""
    """Where it was bound; "": it went away, or nobody saw where to."""
