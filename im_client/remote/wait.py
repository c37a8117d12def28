"""Waiting until a machine answers on SSH, as the machine that it must be."""

import contextlib
import socket
import threading
from typing import Final

from im_client.remote.access import Access
from im_client.remote.shell import open_shell
from infracore.clock import Clock
from infracore.errors import Cancelled, TimedOut, Transient, Unauthorised

__all__ = ["wait_reachable"]

_FIRST_PAUSE_S: Final = 0.2
_MOST_PAUSE_S: Final = 2.0
_GROWTH: Final = 1.3
_TRY_LIMIT_S: Final = 15.0
_CONNECT_S: Final = 5.0
_REFUSED_PAUSE_S: Final = 6.0
"""OpenSSH 9.8 and later drops who fails too often: 5 s of penalty a failure (sshd_config(5), PerSourcePenalties)."""
_GRACE_S: Final = 60.0
"""How long keys may be missing: cloud-init writes authorized_keys some seconds after sshd has started."""


def wait_reachable(
    access: Access,
    *,
    timeout_s: float,
    clock: Clock,
    cancel: threading.Event,
    grace_s: float = _GRACE_S,
) -> None:
    """Return when a login by SSH, with the host key checked, has succeeded.

    Raises:
        Conflict: it shows another host key; at once.
        Unauthorised: it refused the login for `grace_s` since it first did, or until the time was over.
        TimedOut: with the last reason.
        Cancelled: `cancel` was set.
    """
    deadline = clock.monotonic() + timeout_s
    refused_at: float | None = None
    pause, is_open = _FIRST_PAUSE_S, False
    with open_shell(access, connect_timeout_s=_CONNECT_S) as shell:
        while True:
            try:
                if not is_open:
                    _look(access)
                    is_open = True
                shell.run("true", timeout_s=_TRY_LIMIT_S)
            except Unauthorised as error:
                refused_at = clock.monotonic() if refused_at is None else refused_at
                if clock.monotonic() >= min(refused_at + grace_s, deadline):
                    raise
                reason, pause = error.message, _REFUSED_PAUSE_S
            except (Transient, TimedOut) as error:
                refused_at, is_open = None, False
                reason = error.message
            else:
                return
            if clock.monotonic() >= deadline:
                raise TimedOut(
                    f"{access.address}:{access.port} did not answer by ssh within {timeout_s:g} s: {reason}",
                    "is it running, is the port open, is there a route to it?",
                )
            if clock.wait(cancel, pause):
                raise Cancelled(f"interrupted while waiting for {access.address}")
            pause = min(pause * _GROWTH, _MOST_PAUSE_S)


def _look(access: Access) -> None:
    """Look whether the port is open: cheaper than ssh, and most tries find it closed. Not done once it was open,
    for a connection without a login is penalised too."""
    if access.jump is not None:
        return
    try:
        with contextlib.closing(socket.create_connection((access.address, access.port), timeout=_CONNECT_S)):
            pass
    except OSError as error:
        raise Transient(f"no connection: {error.strerror or error}") from error
