"""What a provider may offer besides: to say beforehand what a machine would be made of and what it would cost."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from im_client.plan.model import Spec

__all__ = ["Offer", "Offers", "Price"]


@dataclass(frozen=True, slots=True)
class Price:
    """What one machine costs while it runs, without traffic and taxes."""

    per_hour: float
    currency: str = "USD"
    source: str = ""
    """Where the number comes from: `settings`, `price list of 2026-11`, `spot now`."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a machine would be made of. Names are the place's own."""

    size: str = ""
    """Flavor or instance type."""
    image: str = ""
    """For people: name and id."""
    zone: str = ""
    price: Price | None = None
    """None: the place does not tell."""
    num_cpus: int | None = None
    mem_bytes: int | None = None
    disk_bytes: int | None = None
    num_gpus: int = 0
    notes: tuple[str, ...] = ()
    """What was chosen without the template saying so, and why: networks, pools, sizes larger than asked for."""


@runtime_checkable
class Offers(Protocol):
    """A provider that can say what it would make."""

    def offer(self, spec: Spec) -> Offer:
        """Choose image, size and networks for a machine. Looks, changes nothing; seconds at most.

        Raises:
            NotFound: no image or size fits; the message says what came closest. Unsupported, Unauthorised, Transient.
        """
        ...
