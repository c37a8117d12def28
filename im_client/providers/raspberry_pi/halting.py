"""Whether a board that shall lose its power may: what it answers, and what follows. `after` is pure."""

import enum
import errno
import socket
from typing import Final

import msgspec

from im_client.providers.raspberry_pi.claims import Claim
from im_client.providers.raspberry_pi.settings import RaspberryPiSettings
from im_client.remote.access import Access

__all__ = ["Answer", "after", "knock"]


class Answer(enum.Enum):
    """What comes back from the SSH port."""

    OPEN = "open"
    REFUSED = "refused"
    """Nothing listens, and the kernel says so: the board runs, or is going down."""
    SILENT = "silent"
    """No answer in time, or nobody has the address."""
    UNKNOWN = "unknown"
    """It could not be asked: its name leads nowhere now, or this computer's own network is down."""


_NOBODY: Final = frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT})
ASK_AGAIN_S: Final = 60.0
"""A board that took the order and still answers so long after is asked again."""


def knock(access: Access, timeout_s: float) -> Answer:
    """Try the SSH port."""
    try:
        with socket.create_connection((access.address, access.port), timeout=timeout_s):
            return Answer.OPEN
    except ConnectionRefusedError:
        return Answer.REFUSED
    except (TimeoutError, OSError, UnicodeError) as error:
        is_asked = isinstance(error, TimeoutError) or getattr(error, "errno", None) in _NOBODY
        return Answer.SILENT if is_asked else Answer.UNKNOWN


def after(claim: Claim, answer: Answer, now: float, settings: RaspberryPiSettings) -> tuple[Claim, bool]:
    """Return the claim with what was seen, and whether the power may go now.

    Power goes when nothing at all has come from the board for `settle_s`, or when its kernel has refused SSH for
    `halt_s`: then the shutdown hangs behind the end of sshd. A board that lets one in keeps its power.
    """
    silent_since = None if answer is not Answer.SILENT else claim.silent_since if claim.silent_since else now
    asked_at = claim.asked_at
    if answer is Answer.OPEN and asked_at is not None and now - asked_at > ASK_AGAIN_S:
        asked_at = None
    claim = msgspec.structs.replace(claim, silent_since=silent_since, asked_at=asked_at)
    if answer is Answer.SILENT:
        return claim, silent_since is not None and now - silent_since >= settings.settle_s
    return claim, answer is Answer.REFUSED and now - claim.since >= settings.halt_s
