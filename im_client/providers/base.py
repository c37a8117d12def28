"""The contract between the deployer and a place where machines come from.

Rules for every provider:

- **Return at once.** `create`, `start`, `stop`, `reboot`, `resize` and `delete` ask for the change and return;
  the caller polls `get`. None blocks for longer than a few seconds, save where its docstring says so.
- **May be repeated.** `create` with a token that a machine carries already returns that machine. `start` of a
  running, `stop` of a stopped and `delete` of an absent machine succeed.
- **Nothing is leaked.** The token stands in the machine's name, tag or metadata before `create` returns or fails,
  so that `list_machines` finds it after a crash. A `create` that fails removes what it made, or leaves it listed.
- **Typed errors only**: `QuotaExceeded`, `NoCapacity` (another provider may do), `Unauthorised` (never retried),
  `Transient` (retried), `Conflict`, `NotFound`, `Unsupported`, `Misconfigured`, `CommandFailed`, `TimedOut`.
- **Safe under threads**: the engine calls one provider object from many threads.
- **Stateless between processes**: whatever it must remember is found again at the place itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from im_client.plan.model import Limits, Phase, Spec
from im_client.remote.access import Access, HostKey
from infracore.secrets import Secret

__all__ = ["Finding", "Instance", "MachineRequest", "Provider", "Severity"]

from enum import StrEnum


class Severity(StrEnum):
    """How grave a finding of `im doctor` is."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `im doctor`: what was looked at, what was seen, and how to mend it."""

    check: str
    severity: Severity
    text: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class MachineRequest:
    """All that a provider needs to make one machine."""

    infrastructure: str
    name: str
    """Unique in the infrastructure and a valid DNS label; becomes the host name."""
    token: str
    spec: Spec
    authorized_keys: tuple[str, ...] = ()
    """OpenSSH public keys that may log in as the access user."""
    host_key: HostKey | None = None
    """The SSH host key to put on the machine, so that its first connection is checked already.

    A provider that cannot inject it reports the key it knows of in `Instance.access.host_key`.
    """
    is_new: bool = False
    """The token was made just now, so that nothing can carry it yet: `create` need not look for such a machine."""
    user_data: str = ""
    """cloud-init user data; never holds a secret."""
    image_credentials: Mapping[str, Secret] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Instance:
    """A machine as its provider reports it."""

    provider_id: str
    name: str
    token: str
    infrastructure: str
    phase: Phase
    private_address: str | None = None
    public_address: str | None = None
    access: Access | None = None
    """How to log in; None while it is not known. Carries no private key of the infrastructure; one that the place
    has made for this very machine may be in it."""
    spec: Mapping[str, int | str] = field(default_factory=dict)
    """What it really got, where the provider says so: `num_cpus`, `mem_bytes`, `disk_bytes`, `image`."""
    fault: str = ""
    """Why it is FAILED, in the provider's words."""
    has_no_room: bool = False
    """Whether it is FAILED because the place has no room for it, as some clouds say only after `create`."""
    created_at: float | None = None
    """Seconds since the epoch; None: the place does not tell."""


class Provider(Protocol):
    """A place where machines come from."""

    name: str

    def limits(self) -> Limits:
        """Return what it can change in place and what it cannot honour. Pure and quick."""
        ...

    def check(self) -> Sequence[Finding]:
        """Examine this computer and the account for all that is needed. Changes nothing; seconds at most."""
        ...

    def prepare(self, on_progress: "Progress") -> None:
        """Make what all machines share (base image, bridge, network), once. May take minutes; may be repeated.

        Raises:
            Misconfigured: something is missing on this computer; the hint says how to get it.
        """
        ...

    def create(self, request: MachineRequest) -> Instance:
        """Ask for a machine; return it PENDING or RUNNING. See the rules above."""
        ...

    def get(self, provider_id: str) -> Instance:
        """Look at one machine.

        Raises:
            NotFound: there is none with this id.
        """
        ...

    def list_machines(self, infrastructure: str | None = None) -> Sequence[Instance]:
        """List the machines of one infrastructure, or all that carry our mark."""
        ...

    def start(self, provider_id: str) -> None:
        """Ask a stopped machine to run. Its addresses and disks are the same as before."""
        ...

    def stop(self, provider_id: str) -> None:
        """Ask a machine to shut down cleanly; it is powered off if it has not within a limit."""
        ...

    def reboot(self, provider_id: str) -> None:
        """Ask a running machine to restart."""
        ...

    def resize(self, provider_id: str, spec: Spec) -> None:
        """Change in place the fields that `limits()` names. What is equal already is left alone."""
        ...

    def delete(self, provider_id: str) -> None:
        """Remove the machine and all that was made for it. Absent: succeeds. `get` then raises `NotFound`."""
        ...

    def console(self, provider_id: str) -> str:
        """Return the last part (64 KiB at most) of the machine's console, or "" where there is none."""
        ...

    def close(self) -> None:
        """Release connections. The machines stay."""
        ...


class Progress(Protocol):
    """Takes a line that says what is being done now."""

    def __call__(self, text: str, /) -> None: ...
