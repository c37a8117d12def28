"""One host, with what is known of it and how it is logged in to."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from im_client.remote.access import Access

__all__ = ["Host"]


@dataclass(frozen=True, slots=True)
class Host:
    """One host. Sizes are None where nobody has said: then any size that is asked for is taken to fit."""

    name: str
    access: Access
    groups: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    cpus: int | None = None
    mem_bytes: int | None = None
    disk_bytes: int | None = None
    gpus: int = 0
    architecture: str | None = None
    distribution: str | None = None
    version: str | None = None
    private_address: str | None = None
    public_address: str | None = None
    fault: str = ""
    """Why it cannot be used, such as a host key that is not known."""
