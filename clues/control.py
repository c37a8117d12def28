"""What people may ask of a running cluesd: the contract between daemon (which answers) and api and cli (which ask).

Every method is called from threads of the control server; the daemon answers out of its last finished pass or hands
the request to its loop, and never blocks for longer than 5 s. All values become JSON by msgspec.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from clues.decision import Decision, NodeVerdict, PodVerdict

__all__ = ["ActionView", "Control", "NodeView", "PoolView", "Status"]


class PoolView(msgspec.Struct, frozen=True):
    name: str
    driver: str
    on: int
    booting: int
    off: int
    failed: int
    min: int
    max: int
    price: float
    resting_until: float | None = None
    rest_reason: str = ""


class NodeView(msgspec.Struct, frozen=True):
    """A node or a machine that is none yet."""

    name: str
    pool: str
    machine: str
    state: str
    """`ready`, `unready`, `booting`, `draining`, `stopping`, `off`, `failed`, `unmanaged`."""
    since: float
    pods: int = 0
    cpu_m: tuple[int, int] = (0, 0)
    """Requested, allocatable."""
    memory_bytes: tuple[int, int] = (0, 0)
    held: bool = False
    disabled: bool = False
    failures: int = 0
    verdict: NodeVerdict | None = None


class ActionView(msgspec.Struct, frozen=True):
    """One thing that is being done."""

    id: str
    kind: str
    """`power-on` or `power-off`."""
    pool: str
    target: str
    phase: str
    since: float
    reason: str = ""
    error: str = ""


class Status(msgspec.Struct, frozen=True):
    version: str
    now: float
    started_at: float
    leader: bool
    holder: str
    dry_run: bool
    paused: bool
    complete: bool
    stale_s: float
    last_pass_at: float | None
    last_pass_ms: float
    pending: int
    unschedulable: int
    pools: tuple[PoolView, ...] = ()
    actions: tuple[ActionView, ...] = ()
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    work: str = "pod"
    """What is pending there: `pod`, or `job` of Slurm or another batch system."""


class Control(Protocol):
    """See the module's docstring. Methods that change something return a sentence each that says what was done.

    Raises (all): NotFound for a name that is neither node, machine nor pod; Conflict where the state forbids it.
    """

    def status(self) -> Status: ...

    def nodes(self) -> Sequence[NodeView]: ...

    def pods(self) -> Sequence[PodVerdict]:
        """Return the verdicts on all pending pods."""
        ...

    def why(self, name: str) -> Mapping[str, object]:
        """Explain a node, machine or pod (`NAME` or `NAMESPACE/NAME`), by keys `kind`, `name`, `summary`, `details`.

        `kind` is `node` (also of a machine) or `pod`. `details` holds, of a pod, `verdict` (its `PodVerdict`) and of a
        node `view` (its `NodeView`), `removal` (the `Removal` of the last decision that takes it, if one does) and
        `action` (the `ActionView` of what is being done to it, if anything is). A pod that is not pending: `verdict`
        None, and `summary` says where it runs.
        """
        ...

    def last_decision(self) -> Decision | None: ...

    def records(self, *, since: float, until: float) -> Sequence[Mapping[str, object]]:
        """Return decisions, actions and state changes of a period, oldest first (see clues.history)."""
        ...

    def power_on(self, names: Sequence[str]) -> Sequence[str]:
        """Order machines of powered pools by name, or `POOL=N` more nodes of a pool."""
        ...

    def power_off(self, names: Sequence[str], *, force: bool = False) -> Sequence[str]:
        """Drain and power off nodes by name; `force` goes on where a budget or a blocking pod would stop it."""
        ...

    def hold(self, names: Sequence[str], *, reason: str = "") -> Sequence[str]:
        """Keep machines as they are: neither on nor off by decision. No name: all (a pause)."""
        ...

    def release(self, names: Sequence[str]) -> Sequence[str]: ...

    def enable(self, names: Sequence[str]) -> Sequence[str]: ...

    def disable(self, names: Sequence[str], *, reason: str = "") -> Sequence[str]:
        """Take machines out of use: drained and off, and not ordered again."""
        ...

    def reload(self) -> Sequence[str]: ...
