"""Host keys that nobody tells: looked at on the first connection, kept, and asked for ever after.

What is shown the first time is believed (ssh(1) calls it `accept-new`); a machine that shows another key later is
refused. Used where machines come from a server that does not say their keys.
"""

import dataclasses
import os
import re
import tempfile
from pathlib import Path
from typing import Final

from im_client.remote.access import Access
from im_client.remote.hostkeys import public_of
from im_client.remote.shell import open_shell
from infracore.errors import Conflict, Misconfigured
from infracore.process import run

__all__ = ["first_use", "kept_key", "scan"]

_SCAN_S: Final = 10.0
_KEY: Final = re.compile(r"^\S+ ((?:ssh-ed25519|ecdsa-sha2-nistp\d+|ssh-rsa) \S+)\s*$", re.MULTILINE)
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
