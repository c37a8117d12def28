"""Whether a board that shall lose its power may: what it answers, and what follows. `after` is pure."""

import math
from typing import Final

import msgspec

from im_client.providers.raspberry_pi.claims import Claim
from im_client.providers.raspberry_pi.settings import RaspberryPiSettings
from im_client.remote.access import Access
from infracore.outlets import halting
from infracore.outlets.halting import Answer, Quiet

__all__ = ["Answer", "after", "by_steady_clock", "knock"]

ASK_AGAIN_S: Final = 60.0
"""A board that took the order and still answers so long after is asked again."""
_JUMP_S: Final = 2.0
"""More than a clock is steered between two looks."""


def knock(access: Access, timeout_s: float) -> Answer:
    """Try the SSH port."""
    return halting.knock(access.address, access.port, timeout_s)


def by_steady_clock(claim: Claim, now: float, monotonic: float, boot: str) -> Claim:
    """Return the claim without what a clock that was set makes untrue, or one that has not looked yet.

    `boot` tells whose clocks these are: another computer's, or the same one's before it restarted, begin elsewhere.
    """
    began = now - monotonic
    if claim.clocks and not abs(began - claim.clocks.get(boot, math.inf)) <= _JUMP_S:
        claim = msgspec.structs.replace(claim, closed_since=None, silent_since=None, asked_at=None)
    return msgspec.structs.replace(claim, clocks={**claim.clocks, boot: began})


def after(claim: Claim, answer: Answer, now: float, settings: RaspberryPiSettings) -> tuple[Claim, bool]:
    """Return the claim with what was seen, and whether the power may go now; see `Quiet.is_down`."""
    quiet = Quiet(claim.closed_since, claim.silent_since).then(answer, now)
    asked_at = claim.asked_at
    if answer is Answer.OPEN and asked_at is not None and now - asked_at > ASK_AGAIN_S:
        asked_at = None
    claim = msgspec.structs.replace(
        claim, closed_since=quiet.closed_since, silent_since=quiet.silent_since, asked_at=asked_at
    )
    return claim, quiet.is_down(now, settle_s=settings.settle_s, halt_s=settings.halt_s)
