"""Host keys that nobody tells: looked at on the first connection, kept, and asked for ever after.

What is shown the first time is believed (ssh(1) calls it `accept-new`); a machine that shows another key later is
refused. Used where machines come from a server that does not say their keys.
"""

import dataclasses
import os
import re
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from im_client.remote.access import Access
from im_client.remote.hostkeys import public_of
from im_client.remote.shell import open_shell
from infracore.clock import Clock
from infracore.errors import Cancelled, Conflict, Misconfigured, TimedOut, Transient
from infracore.process import run

__all__ = ["console_key", "first_use", "kept_key", "learned_key", "scan"]

_SCAN_S: Final = 10.0
_KEY: Final = re.compile(r"^\S+ ((?:ssh-ed25519|ecdsa-sha2-nistp\d+|ssh-rsa) \S+)\s*$", re.MULTILINE)
_CONSOLE: Final = re.compile(
    r"-----BEGIN SSH HOST KEY KEYS-----(.*?)-----END SSH HOST KEY KEYS-----", re.DOTALL | re.MULTILINE
)
"""What cloud-init writes at the end of a boot (its module keys_to_console)."""
_CONSOLE_KEY: Final = re.compile(r"\b(ssh-ed25519|ecdsa-sha2-nistp\d+|ssh-rsa) (AAAA[A-Za-z0-9+/]+={0,3})")
_FIRST_S: Final = 0.5
_MOST_S: Final = 5.0
_LIKED: Final = ("ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa")


def first_use(access: Access, kept: Path) -> Access:
    """Return the access with the host key that is kept in a file; where there is none, look at it and keep it.

    Raises:
        Conflict: the machine does not answer. Misconfigured: the file cannot be used.
    """
    found = kept_key(access, kept)
    if found is None:
        raise Conflict(f"{access.address} does not answer on SSH port {access.port}", "later it may")
    return found


def kept_key(access: Access, kept: Path) -> Access | None:
    """Do as `first_use`; None where there is no key yet and the machine does not answer.

    Raises:
        Misconfigured: the file cannot be used.
    """
    try:
        return dataclasses.replace(access, host_key=public_of(kept.read_text()))
    except FileNotFoundError:
        key = scan(access)
    except (OSError, ValueError) as error:
        raise Misconfigured(f"cannot use the host key in {kept}: {error}", "remove the file to begin anew") from error
    if key is None:
        return None
    _keep(kept, key)
    return dataclasses.replace(access, host_key=key)


def learned_key(
    access: Access, console: Callable[[], str], *, timeout_s: float, clock: Clock, cancel: threading.Event
) -> str:
    """Wait until a machine shows a host key, and return it: as its console says, else as it is shown the first time.

    Raises:
        Conflict: it shows another key than its console told. TimedOut, Cancelled: it showed none.
    """
    deadline, pause = clock.monotonic() + timeout_s, _FIRST_S
    while (shown := _shown(access)) is None:
        if clock.monotonic() >= deadline:
            raise TimedOut(
                f"{access.address}:{access.port} showed no SSH host key within {timeout_s:g} s",
                "is it running, is the port open, is there a route to it?",
            )
        if clock.wait(cancel, pause):
            raise Cancelled(f"interrupted while waiting for {access.address}")
        pause = min(pause * 1.5, _MOST_S)
    told = console_key(console(), shown.split()[0])
    if told is not None and told != shown:
        raise Conflict(
            f"{access.address} shows another SSH host key than its console told: somebody may be in between",
            "look at the machine's console; to begin anew delete the machine",
        )
    return shown


def console_key(text: str, kind: str | None = None) -> str | None:
    """Return the host key that cloud-init wrote on a console when the machine last booted; None where it wrote none.

    `kind` is `ssh-ed25519`, say; without it the best of them is returned.
    """
    blocks = _CONSOLE.findall(text)
    if not blocks:
        return None
    found = {name: f"{name} {key}" for name, key in _CONSOLE_KEY.findall(blocks[-1])}
    return next((found[name] for name in ((kind,) if kind else _LIKED) if name in found), None)


def _shown(access: Access) -> str | None:
    """Do as `scan`; None also where the way to it does not answer at the moment."""
    try:
        return scan(access)
    except (Transient, TimedOut):
        return None


def scan(access: Access) -> str | None:
    """Return the key that a machine shows now, `ssh-ed25519 AAAA...`; None where it does not answer."""
    words = ("ssh-keyscan", "-T", "3", "-t", "ed25519,ecdsa,rsa", "-p", str(access.port), access.address)
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._:%-]*", access.address):
        raise Misconfigured(f"{access.address!r} is not an address that ssh can use")
    if access.jump is None:
        said = run(words, timeout_s=_SCAN_S, check=False).stdout
    else:
        with open_shell(access.jump) as shell:
            said = shell.run(" ".join(words), timeout_s=_SCAN_S, check=False).stdout
    found = {line.split()[0]: line for line in _KEY.findall(said)}
    return next((found[kind] for kind in _LIKED if kind in found), None)


def _keep(kept: Path, key: str) -> None:
    try:
        kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd, name = tempfile.mkstemp(prefix=f".{kept.name}.", dir=kept.parent)
        with os.fdopen(fd, "w") as out:
            out.write(f"{key}\n")
        Path(name).replace(kept)
    except OSError as error:
        raise Misconfigured(f"cannot keep the host key in {kept}: {error.strerror}") from error
