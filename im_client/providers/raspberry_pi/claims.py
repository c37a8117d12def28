"""Who has which board, and what is to become of it; rests in a file a claim."""

from typing import Literal

import msgspec

from im_client.providers.hosts.reservations import Reservation
from im_client.providers.raspberry_pi.boards import ClaimableBoard

__all__ = ["Claim", "is_at", "is_of"]


class Claim(Reservation, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A board that is taken. Times are seconds since the epoch."""

    host_key: str = ""
    """The board's, when it was claimed."""
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
    clocks: dict[str, float] = msgspec.field(default_factory=dict)
    """Of each boot of a computer that has looked since: what its wall clock said when its monotonic one began."""


def is_at(claim: Claim, board: ClaimableBoard) -> bool:
    """Whether the board has the address that the claimed one had."""
    access = board.host.access
    return (claim.address, claim.port) == (access.address, access.port)


def is_of(claim: Claim, board: ClaimableBoard) -> bool:
    """Whether the board is the one that was claimed: its address may be another now, or a fleet has a name again."""
    is_known = claim.host_key in {"", board.host.access.host_key or ""}
    return claim.host == board.board.name and (is_known or is_at(claim, board))
