"""The store's protocol: what is kept, and what every write promises.

Each method is one transaction and returns when it is durable against a crash of this process. Every write to an
infrastructure's nodes or source raises its `revision` by one. Templates, inputs, keys, facts and outputs are
sealed (encrypted) at rest, since templates carry passwords. Safe under threads and processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from im_client.plan.model import Phase, Spec
from im_client.topology.values import Value
from infracore.errors import Transient
from infracore.secrets import Secret

__all__ = [
    "Budget",
    "Endpoint",
    "EventRecord",
    "InfrastructureRecord",
    "NodeRecord",
    "RunRecord",
    "RunState",
    "Source",
    "StateLost",
    "Store",
    "Terms",
]


class StateLost(Transient):
    """The state cannot be reached at the moment; whether the last write was kept is not known."""

    code = "state-lost"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where machines of an infrastructure ask its server for more, where the server says so and not its template."""

    url: str
    token: Secret
    """Can do nothing but scale this infrastructure."""
    authorities: str = ""
    """Certificates (PEM) that vouch for the server; "": those that the machine knows."""


@dataclass(frozen=True, slots=True)
class Source:
    """The template that an infrastructure was last deployed from, whole, so that it can be lowered again.

    The type definitions of `tosca_templates/types/` are not in it: they come with the program.
    """

    template: str
    """Absolute path or URL of the main template, as a name."""
    add_ons: tuple[str, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """Path or URL -> text of the template, its add-ons and every import that is not ours."""
    inputs: Mapping[str, Value] = field(default_factory=dict)
    """Inputs that the user gave."""
    counts: Mapping[str, int] = field(default_factory=dict)
    """Counts set by `im scale`; they win over the template's."""
    images: Mapping[str, str] = field(default_factory=dict)
    """Group -> golden image set by `im scale --image`; wins over the template's. "" is none."""
    endpoint: Endpoint | None = None
    """What `im serve` gave; no part of the template, and shown nowhere."""


@dataclass(frozen=True, slots=True)
class Budget:
    """What all machines of an infrastructure may cost together."""

    per_hour: float
    currency: str = ""
    """"": the one that all prices are in."""
    allows_unknown: bool = False
    """Whether a machine whose price nobody tells counts as nothing; else it is refused."""


@dataclass(frozen=True, slots=True)
class Terms:
    """Under which terms an infrastructure was made."""

    expires_at: float | None = None
    """When it is destroyed, in seconds since the epoch; None: never."""
    budget: Budget | None = None


@dataclass(frozen=True, slots=True)
class InfrastructureRecord:
    """One infrastructure."""

    id: str
    name: str
    """Unique among the infrastructures of a store; chosen by the user or taken from the template."""
    provider: str
    created_at: float
    updated_at: float
    revision: int
    source: Source
    ssh_public_key: str
    ssh_private_key: Secret
    outputs: Mapping[str, Value] = field(default_factory=dict)
    provider_settings: Mapping[str, Value] = field(default_factory=dict)
    """Settings of the provider that later commands need again (for `existing`: the hosts file)."""
    terms: Terms = Terms()


@dataclass(frozen=True, slots=True)
class NodeRecord:
    """One machine. With `phase` CREATING and no `provider_id` it is an intent: look for `token` at the provider."""

    infrastructure: str
    name: str
    group: str
    index: int
    token: str
    provider: str
    phase: Phase
    spec: Spec
    created_at: float
    updated_at: float
    provider_id: str | None = None
    private_address: str | None = None
    public_address: str | None = None
    user: str = "root"
    port: int = 22
    host_key_public: str | None = None
    host_key_private: Secret | None = None
    configured_digest: str | None = None
    operation_digests: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Mapping[str, Value]]] = field(default_factory=dict)
    """What playbooks set: component -> operation -> name -> value."""
    failure: str = ""
    place: str = ""
    """Where it was made (`providers.placed`); "": not recorded, or the provider does not tell."""


class RunState(StrEnum):
    """How a command that changed an infrastructure ended."""

    RUNNING = "running"
    DONE = "done"
    PARTLY_DONE = "partly-done"
    FAILED = "failed"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One command that changed an infrastructure."""

    id: str
    infrastructure: str
    verb: str
    started_at: float
    state: RunState = RunState.RUNNING
    ended_at: float | None = None
    summary: str = ""
    log_dir: str = ""
    """Folder with the full Ansible log of the run."""


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One line of a run's story, for `im logs`."""

    run: str
    at: float
    kind: str
    node: str
    text: str


class Store(Protocol):
    """Where state is kept."""

    def add_infrastructure(self, record: InfrastructureRecord) -> None:
        """Raises `Conflict` if the id or the name is taken."""
        ...

    def infrastructure(self, id_or_name: str) -> InfrastructureRecord:
        """Find by exact id, exact name, or unambiguous beginning (4 characters or more) of an id; never guesses.

        Raises:
            NotFound: nothing fits; Conflict: several ids begin like this.
        """
        ...

    def infrastructures(self) -> Sequence[InfrastructureRecord]:
        """All, newest first."""
        ...

    def expired(self, now: float) -> Sequence[str]:
        """Return the ids of infrastructures that should have ended by now, by one query."""
        ...

    def set_source(self, infrastructure: str, source: Source, now: float) -> None: ...

    def set_terms(self, infrastructure: str, terms: Terms, now: float) -> None:
        """Does not raise the revision: no machine changes by it."""
        ...

    def set_outputs(self, infrastructure: str, outputs: Mapping[str, Value], now: float) -> None:
        """Does not raise the revision: outputs follow from the nodes."""
        ...

    def remove_infrastructure(self, infrastructure: str) -> None:
        """Remove it with its nodes, runs and events. Absent: succeeds."""
        ...

    def nodes(self, infrastructure: str) -> Sequence[NodeRecord]:
        """In the order of group and index."""
        ...

    def node_counts(self) -> Mapping[str, Mapping[Phase, int]]:
        """Infrastructure id -> phase -> number of nodes, by one query: for `im list`."""
        ...

    def put_node(self, record: NodeRecord) -> None:
        """Insert or replace one node."""
        ...

    def remove_node(self, infrastructure: str, name: str, now: float) -> None:
        """Absent: succeeds."""
        ...

    def start_run(self, record: RunRecord) -> None: ...

    def end_run(self, run: str, state: RunState, summary: str, now: float) -> None: ...

    def runs(self, infrastructure: str) -> Sequence[RunRecord]:
        """Newest first. A run still RUNNING whose lock nobody holds was interrupted."""
        ...

    def add_events(self, events: Sequence[EventRecord]) -> None: ...

    def events(self, run: str) -> Sequence[EventRecord]: ...

    def close(self) -> None: ...
