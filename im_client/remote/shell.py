"""Commands and files on one machine; two programs can carry them: the system's ssh and paramiko."""

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from im_client.remote.access import Access
from infracore.process import Completed

__all__ = ["Shell", "open_shell"]


class Shell(Protocol):
    """A way to run commands on one machine. Each call logs in anew and blocks until it is done."""

    def run(self, command: str, *, timeout_s: float, stdin: str = "", check: bool = True) -> Completed:
        """Run a command line of the login shell.

        Raises:
            Conflict: the machine shows another host key than it must. Never worth a retry.
            Unauthorised: it refuses the key or password.
            Transient: it cannot be reached now.
            TimedOut: the command did not end within `timeout_s`.
            CommandFailed: it ended with another status than 0, and `check` is set.
        """
        ...

    def put(self, local: Path, remote: str, *, timeout_s: float) -> None:
        """Copy a file to the machine. Raises what `run` raises."""
        ...

    def get(self, remote: str, local: Path, *, timeout_s: float) -> None:
        """Copy a file from the machine. Raises what `run` raises."""
        ...


@contextlib.contextmanager
def open_shell(access: Access, *, connect_timeout_s: float = 10.0) -> Iterator[Shell]:
    """Open the system's ssh, or paramiko where there is none or a password is needed. Connects at the first call."""
    if shutil.which("ssh") and access.password is None and (access.jump is None or access.jump.password is None):
        from im_client.remote.openssh import OpenSshShell
        from im_client.remote.private import private_folder

        with private_folder() as folder:
            yield OpenSshShell(access, folder, connect_timeout_s=connect_timeout_s)
    else:
        from im_client.remote.paramiko_shell import ParamikoShell

        yield ParamikoShell(access, connect_timeout_s=connect_timeout_s)
