"""Removing from a running machine what does not belong into its image, where its provider cannot look into the disk.

The machine itself loses it too: identity, keys and secrets. At its next start cloud-init takes it for a new machine and
makes them anew, and the roles of its template do the rest. What cannot be made anew, the state of a cluster's server,
is never removed: such a machine is refused.
"""

from collections.abc import Sequence
from typing import Final

from im_client.providers.scrub import PATTERNS, scrub_program
from im_client.remote.access import Access
from im_client.remote.shell import open_shell
from infracore.errors import Conflict, Unsupported

__all__ = ["check_scrub", "scrub_machine"]

_LOOK_S: Final = 60.0
_SCRUB_S: Final = 600.0
_IS_SERVER: Final = 3


def check_scrub(access: Access | None, name: str) -> None:
    """Look whether a machine may be scrubbed, changing nothing.

    Raises:
        Conflict: it holds the state of a cluster's server. Unsupported: it cannot be logged in to, as root.
    """
    _run(access, name, (), _LOOK_S)


def scrub_machine(access: Access | None, name: str, further: Sequence[str]) -> None:
    """Remove what is not to be in an image, from a machine that is stopped next. Raises what `check_scrub` does."""
    _run(access, name, (*PATTERNS, *further), _SCRUB_S)


def _run(access: Access | None, name: str, patterns: Sequence[str], limit_s: float) -> None:
    if access is None or access.become_password is not None:
        why = "and it cannot be logged in to" if access is None else "and its account needs a password for sudo"
        raise Unsupported(
            f"{name} cannot be saved: secrets are removed by root, over ssh, before it is stopped, {why}",
            "to save it with its secrets and identity: im image save --unscrubbed",
        )
    words = f"{'sudo -n ' if access.become else ''}{access.python} -"
    with open_shell(access) as shell:
        done = shell.run(words, timeout_s=limit_s, stdin=scrub_program(patterns), check=False)
    if done.status == _IS_SERVER:
        raise Conflict(f"{name} cannot be saved: {done.stderr.strip()}", "save a worker of the cluster")
    if done.status != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise Conflict(f"{name} cannot be saved: its files could not be looked at: {last}", "log in: im ssh")
