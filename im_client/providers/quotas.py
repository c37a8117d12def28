"""What a provider may offer besides: how much of what there is room for, and how much of it is used."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Quota", "Quotas", "Share"]


@dataclass(frozen=True, slots=True)
class Share:
    """How much of one thing is used, and how much there is. None: the place does not tell, or has no limit."""

    used: int | None = None
    limit: int | None = None
    is_firm: bool = True
    """False where machines share it, so that more may be given away than there is."""

    @property
    def left(self) -> int | None:
        """How much more there is room for, 0 at the least."""
        return None if self.limit is None else max(0, self.limit - (self.used or 0))


@dataclass(frozen=True, slots=True)
class Quota:
    """Of a whole place, or of the account that is used there."""

    cpus: Share = Share()
    memory_bytes: Share = Share()
    machines: Share = Share()
    disk_bytes: Share = Share()
    """Of machines and volumes together."""


@runtime_checkable
class Quotas(Protocol):
    """A provider that knows how much room there is."""

    def quotas(self) -> Quota:
        """Look at it now. Seconds at most, changes nothing, and promises nothing: others may be quicker."""
        ...
