"""Who has which board, and what is to become of it; rests in a file a claim."""

from typing import Literal

from im_client.providers.hosts.reservations import Reservation

__all__ = ["Claim"]


class Claim(Reservation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A board that is taken. Times are seconds since the epoch."""

    wanted: Literal["on", "off", "free"] = "on"
    """`off`: stopped, and still taken; `free`: let go of once it is down."""
    since: float = 0.0
    """When that was asked for."""
    is_let_in: bool = False
    """Whether the infrastructure's key was put on it."""
    is_waiting: bool = False
    """Whether it is to be switched on when others have started."""
    has_answered: bool = False
    """Whether it was seen to run since it was switched on."""
    asked_at: float | None = None
    """When it took the order to shut down; None: it did not yet."""
    closed_since: float | None = None
    """From when on it has let nobody in by SSH without a break."""
    silent_since: float | None = None
    """From when on nothing came from it, not even a refusal."""
