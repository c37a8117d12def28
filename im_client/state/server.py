"""What a server keeps beside infrastructures: the records and the protocol of their store.

The promises are those of `im_client.state.store`: a method is one transaction, durable against a crash of this
process when it returns, and safe under threads and processes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from im_client.state.store import InfrastructureRecord, Source
from infracore.errors import Conflict

__all__ = [
    "Acceptance",
    "AccountRecord",
    "AnswerRecord",
    "FormerRecord",
    "ImageRecord",
    "OperationKind",
    "OperationRecord",
    "OperationState",
    "Outdated",
    "Role",
    "ServerStore",
    "TokenRecord",
]


class Outdated(Conflict):
    """The client saw another version than that which is there."""

    code = "outdated"


class Role(StrEnum):
    """What an account or a token may do with an infrastructure; each may all that stands before it."""

    VIEWER = "viewer"
    """Look at it; no credential of a machine is shown."""
    SCALER = "scaler"
    """Add and remove machines: for the daemon of an elastic cluster."""
    OPERATOR = "operator"
    """Change, start, stop and configure it."""
    OWNER = "owner"
    """Destroy it, export it, and say who else may."""

    def allows(self, needed: "Role") -> bool:
        """Return whether this role may do what `needed` may."""
        return _RANK[self] >= _RANK[needed]


_RANK = {role: rank for rank, role in enumerate(Role)}


class OperationKind(StrEnum):
    """What an operation does; most are verbs of `im`."""

    CREATE = "create"
    UPDATE = "update"
    REMOVE = "remove"
    RECONFIGURE = "reconfigure"
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    SNAPSHOT = "snapshot"
    DESTROY = "destroy"


class OperationState(StrEnum):
    """Where an operation stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    PARTLY_DONE = "partly-done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        """Whether nothing more will happen."""
        return self not in {OperationState.QUEUED, OperationState.RUNNING}


@dataclass(frozen=True, slots=True)
class OperationRecord:
    """One change of an infrastructure that somebody asked for. Holds no secret."""

    id: str
    infrastructure: str
    kind: OperationKind
    account: str
    created_at: float
    nodes: tuple[str, ...] = ()
    """Machines that it is about; empty: all."""
    configure: bool = True
    skip_hooks: bool = False
    state: OperationState = OperationState.QUEUED
    started_at: float | None = None
    ended_at: float | None = None
    run: str = ""
    """The run whose events tell its story; "" before it has begun."""
    summary: str = ""
    error: str = ""
    hint: str = ""


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """A golden image that a caller asked for. Whether it is there, its provider knows."""

    site: str
    name: str
    """The provider's name of it, which no other image at the site has."""
    account: str
    """Whose it is."""
    title: str
    """What the caller calls it; no two of an account at one site are called the same."""
    infrastructure: str
    node: str
    operation: str
    """The one that makes it."""
    created_at: float
    auto_delete: bool = False
    """Whether it goes with its infrastructure."""
    restart: bool | None = None
    """Whether its machine ran before, and so must run again; None until that was looked at."""


@dataclass(frozen=True, slots=True)
class Acceptance:
    """All that is written, at once, when a change is accepted."""

    operation: OperationRecord
    new: InfrastructureRecord | None = None
    owner: str = ""
    """With `new`: who owns it."""
    source: Source | None = None
    """What is wanted from now on; None: as before."""
    source_before: Source | None = None
    """What it was made from; somebody else's change meanwhile is a conflict."""
    if_version: int | None = None
    """The version of the source that the client saw."""
    new_nodes: tuple[str, ...] = ()
    """Machines to come, which get their numbers now."""
    image: ImageRecord | None = None
    """The image to come."""
    most_images: int = 0
    """With `image`: how many an account may have; 0: any number."""
    token: "TokenRecord | None" = None
    """One that the infrastructure's own machines get, in place of one of the same name."""
    request: tuple[str, str] | None = None
    """Account and idempotency key of the request, whose answer then knows of the operation."""


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """Somebody who may use the server."""

    name: str
    password_hash: str
    is_admin: bool
    created_at: float


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """What may be done with one token. The token itself is not kept, its SHA-256 is."""

    id: str
    account: str | None
    """None: it belongs to the infrastructure itself, whoever owns that."""
    digest: bytes
    role: Role
    created_at: float
    infrastructure: str | None = None
    """The only infrastructure that it is good for, with which it goes; None: all of the account's."""
    expires_at: float | None = None
    name: str = ""
    """No two tokens for an infrastructure are called the same."""


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """The answer to a request with an idempotency key; `status` None while it is being made."""

    digest: bytes
    status: int | None = None
    text: str = ""
    operation: str = ""
    """What the request has led to, known also where the server was killed before it answered."""
    is_abandoned: bool = False
    """Whether the server that was to answer is known to be gone."""


@dataclass(frozen=True, slots=True)
class FormerRecord:
    """An infrastructure that was destroyed, for statistics."""

    infrastructure: str
    account: str
    deleted_at: float
    facts: Mapping[str, object] = field(default_factory=dict)


class ServerStore(Protocol):
    """Where it is kept."""

    # changes

    def accept(self, acceptance: Acceptance, now: float) -> Mapping[str, int]:
        """Write all of an acceptance, or nothing; return the numbers of its new machines.

        Raises:
            Conflict: the source is not what it was made from, or the account has an image of this title.
            NotFound: the infrastructure is gone. QuotaExceeded: the account has too many images.
        """
        ...

    def operation(self, operation: str) -> OperationRecord:
        """Raises NotFound."""
        ...

    def operations(self, infrastructure: str) -> Sequence[OperationRecord]:
        """Newest first."""
        ...

    def unfinished(self) -> Sequence[OperationRecord]:
        """Those that have not ended, oldest first."""
        ...

    def put_operation(self, record: OperationRecord) -> None:
        """Replace an operation that is there."""
        ...

    def source_version(self, infrastructure: str) -> int:
        """Return how often what is wanted has changed. Raises NotFound."""
        ...

    def infrastructure_ids(self) -> Sequence[str]:
        """Return the ids of all infrastructures, newest first; nothing is unsealed for it."""
        ...

    # VMs

    def vm_numbers(self, infrastructure: str) -> Mapping[str, int]:
        """Return node name -> number, in the order of the numbers."""
        ...

    def number_vms(self, infrastructure: str, nodes: Sequence[str]) -> Mapping[str, int]:
        """Give a number to those of these nodes that have none; return all. A number is never given twice."""
        ...

    def forget_vms(self, infrastructure: str, nodes: Sequence[str]) -> None:
        """Take the numbers of nodes that did not come to be."""
        ...

    # who may do what

    def members(self, infrastructure: str) -> Mapping[str, Role]: ...

    def set_member(self, infrastructure: str, account: str, role: Role, *, alone: bool = False) -> None:
        """Add a member or change its role; with `alone` all others lose theirs."""
        ...

    def memberships(self, account: str) -> Mapping[str, Role]:
        """Return infrastructure id -> role, for one account."""
        ...

    def account(self, name: str) -> AccountRecord | None: ...

    def accounts(self) -> Sequence[AccountRecord]: ...

    def put_account(self, record: AccountRecord) -> None: ...

    def remove_account(self, name: str) -> None:
        """Remove it with its tokens. Absent: succeeds."""
        ...

    def token(self, digest: bytes) -> TokenRecord | None: ...

    def tokens(self, account: str) -> Sequence[TokenRecord]: ...

    def tokens_of(self, infrastructure: str) -> Sequence[TokenRecord]:
        """Return those that are good for one infrastructure only."""
        ...

    def put_token(self, record: TokenRecord) -> None:
        """Add one.

        Raises:
            NotFound: its infrastructure is gone. Conflict, QuotaExceeded: that has one of this name, or too many.
        """
        ...

    def remove_token(self, token: str) -> None:
        """Absent: succeeds."""
        ...

    # images, newest first

    def images(self, account: str) -> Sequence[ImageRecord]:
        """Return those of an account."""
        ...

    def images_of(self, infrastructure: str) -> Sequence[ImageRecord]:
        """Return those whose machine was of an infrastructure."""
        ...

    def images_at(self, site: str) -> Sequence[ImageRecord]:
        """Return everybody's at a site."""
        ...

    def image_by(self, operation: str) -> ImageRecord | None:
        """Return the one that an operation makes."""
        ...

    def set_restart(self, operation: str, restart: bool) -> None:
        """Note whether the machine must run again."""
        ...

    def remove_image(self, operation: str) -> None:
        """Forget the one that an operation has made. Absent: succeeds."""
        ...

    # answers, vault, statistics

    def begin_answer(self, account: str, key: str, digest: bytes, now: float, oldest: float) -> AnswerRecord | None:
        """Note that a request with this key is being answered; return what is known if one was before.

        Answers from before `oldest` are forgotten first.
        """
        ...

    def forget_unanswered(self) -> None:
        """Forget requests that a server before this one neither answered nor began with."""
        ...

    def end_answer(self, account: str, key: str, answer: AnswerRecord) -> None:
        """Keep the answer (sealed)."""
        ...

    def forget_answer(self, account: str, key: str) -> bool:
        """Forget that it was asked, unless it has led to an operation; return whether it is forgotten."""
        ...

    def vault(self, account: str) -> Mapping[str, bytes]:
        """Return credential id -> what its own key sealed."""
        ...

    def put_vault(self, account: str, entry: str, sealed: bytes | None) -> None:
        """Keep one credential; None: remove it."""
        ...

    def add_former(self, record: FormerRecord) -> None: ...

    def former(self, since: float) -> Sequence[FormerRecord]: ...
