"""A machine leaves its own disk: it restarts into its memory, where ssh, its host key and its account are as before.

What runs there is `ram_system.py`. Until the first write the disk is as it was, and ten minutes without use start its
own system again.
"""

import secrets
import threading
from dataclasses import dataclass
from typing import Any, Final

from im_client.flash import ram_system
from im_client.flash.guard import UNFINISHED
from im_client.flash.ram_scripts import IDLE_S, RamFacts, ram_files
from im_client.flash.remote_disk import ELSEWHERE, RemoteDisk
from im_client.flash.remote_program import never_started, running
from im_client.remote.wait import wait_reachable
from infracore.clock import Clock
from infracore.errors import Cancelled, CommandFailed, InfraError, InvalidUsage, TimedOut, Transient, Unauthorised

__all__ = ["RamState", "check_ram", "enter_ram", "ram_state"]

_BUILD_S: Final = 180.0
"""Most that the files take to be copied and tried."""
_AWAY_S: Final = 600.0
"""Most that a shutdown takes (services may have 90 s each), and ssh after it."""
_PAUSE_S: Final = 1.0
_KEPT: Final = f"nothing was written; left alone for {IDLE_S // 60} minutes it starts its own system again"


@dataclass(frozen=True, slots=True)
class RamState:
    """From where a machine runs."""

    token: str
    """Of the one who sent it into its memory; "": it runs from a disk."""
    boot: str
    """The kernel's boot_id, which stays the same on the way into memory."""


def ram_state(disk: RemoteDisk) -> RamState:
    """Ask a machine from where it runs. Raises what `look_remote` raises."""
    said = _ask(disk, {"do": "state"}, "boot")
    return RamState(str(said["token"]), str(said["boot"]))


def check_ram(disk: RemoteDisk) -> RamFacts:
    """See that a machine could run from its memory; changes nothing there. Blocks for seconds.

    Raises:
        InvalidUsage: it cannot; the reason is in the message. What `look_remote` raises.
    """
    user = disk.access.user
    said = _ask(disk, {"do": "check", "disk": disk.path, "user": user}, "card")
    return RamFacts(
        card=str(said["card"]),
        addresses=said["addresses"],
        routes=said["routes"],
        port=int(said["port"]),
        host_keys=said["host_keys"],
        user=user,
        sshd=str(said["sshd"]),
        python=str(said["python"]),
    )


def enter_ram(disk: RemoteDisk, *, clock: Clock, cancel: threading.Event, timeout_s: float = _AWAY_S) -> None:
    """Restart a machine into its memory and return when it answers from there, with the host key that is known.

    Blocks for a minute, and for `timeout_s` at most. Its disk is not written.

    Raises:
        InvalidUsage: it cannot run from its memory; it has not restarted. Conflict: it shows another host key.
        CommandFailed, TimedOut, Unauthorised: it did not come back from its memory. Cancelled.
    """
    before = ram_state(disk)
    token = secrets.token_hex(8)
    _send_off(disk, token)
    deadline = clock.monotonic() + timeout_s
    while True:
        try:
            wait_reachable(disk.access, timeout_s=max(0.0, deadline - clock.monotonic()), clock=clock, cancel=cancel)
            now = ram_state(disk)
        except Cancelled as error:
            raise Cancelled(f"{disk.where}: cancelled while it restarts into its memory", _KEPT) from error
        except (TimedOut, Unauthorised) as error:
            raise type(error)(f"{disk.where}: it did not come back from its memory: {error.message}", _KEPT) from error
        except (CommandFailed, Transient):  # in the middle of its shutdown
            now = before
        if now.token == token:
            return
        if now.boot != before.boot:
            said = f"{disk.where}: it started its own system, and not the one in its memory; nothing was written"
            raise CommandFailed(said, ELSEWHERE)
        if clock.monotonic() >= deadline:
            raise TimedOut(
                f"{disk.where}: it did not shut down within {timeout_s:g} s; nothing was written", "look at it"
            )
        if clock.wait(cancel, _PAUSE_S):
            raise Cancelled(f"{disk.where}: cancelled while it restarts into its memory", _KEPT)


def _send_off(disk: RemoteDisk, token: str) -> None:
    access = disk.access
    files = ram_files(check_ram(disk), token=token, disk=disk.path, mark=UNFINISHED.decode().strip())
    order = {"do": "go", "disk": disk.path, "user": access.user, "python": access.python, "files": files}
    with running(access, ram_system.__file__, order) as (pipe, answers):
        answers.wait(lambda: "going" in answers.seen or answers.error is not None or answers.is_over, _BUILD_S)
        if "going" in answers.seen:  # its connection may end before it has said more
            answers.wait(lambda: answers.is_over)
        if answers.error is not None:
            raise _refused(disk, answers.error)
        if "going" not in answers.seen:
            raise pipe.failure() or never_started(disk.where, pipe)


def _ask(disk: RemoteDisk, order: dict[str, Any], word: str) -> dict[str, Any]:
    with running(disk.access, ram_system.__file__, order) as (pipe, answers):
        answers.wait(lambda: answers.last != {} or answers.is_over, _BUILD_S)
        if answers.error is not None:
            raise _refused(disk, answers.error)
        if word not in answers.last:
            raise pipe.failure() or never_started(disk.where, pipe)
        return answers.last


def _refused(disk: RemoteDisk, said: dict[str, Any]) -> InfraError:
    return InvalidUsage(f"{disk.where}: it cannot run from its memory: {said['message']}", ELSEWHERE)
