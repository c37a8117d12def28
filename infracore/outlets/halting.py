"""What a board answers while it goes down, and when its power may go. All but `knock` is pure.

The SSH server ends first at a shutdown. The kernel refuses SSH from then on, while containers are ended (systemd gives
them 90 s), logs are saved and file systems unmounted: a refusal is an answer. Silence may come early as well:
systemd-networkd gives a DHCP address back when it stops, beside all that. Hence the long `SETTLE_S`.
"""

import enum
import errno
import socket
from typing import Final

import msgspec

__all__ = ["HALT_S", "SETTLE_S", "Answer", "Quiet", "knock"]

SETTLE_S: Final = 120.0
"""How long nothing comes from a board before its power goes, unless it is set."""
HALT_S: Final = 180.0
"""How long a board may refuse SSH without a break before its power goes, unless it is set."""
_NOBODY: Final = frozenset({errno.EHOSTUNREACH, errno.EHOSTDOWN, errno.ETIMEDOUT})


class Answer(enum.Enum):
    """What comes back from the SSH port."""

    OPEN = "open"
    REFUSED = "refused"
    """Nothing listens, and the kernel says so: the board runs, or is going down."""
    SILENT = "silent"
    """No answer in time, or nobody has the address."""
    UNKNOWN = "unknown"
    """It could not be asked: its name leads nowhere now, or this computer's own network is down."""


class Quiet(msgspec.Struct, frozen=True):
    """Since when a board has let nobody in, and since when nothing at all has come from it; None: it has not."""

    closed_since: float | None = None
    silent_since: float | None = None

    def then(self, answer: Answer, now: float) -> "Quiet":
        """Return what is known after another answer."""
        if answer not in {Answer.REFUSED, Answer.SILENT}:
            return Quiet()
        closed = now if self.closed_since is None else self.closed_since
        if answer is Answer.REFUSED:
            return Quiet(closed)
        return Quiet(closed, now if self.silent_since is None else self.silent_since)

    def is_down(self, now: float, *, settle_s: float, halt_s: float) -> bool:
        """Whether the power may go.

        It may after `settle_s` of silence; or after `halt_s` of refusals, since then the shutdown hangs. A board that
        lets one in, or that could not be asked, keeps it.
        """
        if self.silent_since is not None:
            return now - self.silent_since >= settle_s
        return self.closed_since is not None and now - self.closed_since >= halt_s


def knock(address: str, port: int, timeout_s: float) -> Answer:
    """Try the SSH port; blocks for `timeout_s` at most, and for the resolver."""
    try:
        with socket.create_connection((address, port), timeout=timeout_s):
            return Answer.OPEN
    except ConnectionRefusedError:
        return Answer.REFUSED
    except (TimeoutError, OSError, UnicodeError) as error:
        is_asked = isinstance(error, TimeoutError) or getattr(error, "errno", None) in _NOBODY
        return Answer.SILENT if is_asked else Answer.UNKNOWN
