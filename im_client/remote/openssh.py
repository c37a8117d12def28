"""The system's ssh and sftp as a `Shell`, and the command line of `im ssh`."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from im_client.remote.access import Access
from im_client.remote.options import Files, destination, ssh_options
from infracore.errors import CommandFailed, Conflict, InfraError, Misconfigured, Transient, Unauthorised
from infracore.process import Completed, run

__all__ = ["OpenSshShell", "interactive_argv", "refusal"]

_OWN_STATUS: Final = 255
"""ssh(1), EXIT STATUS: its own errors; others are the command's."""
_WRONG_KEY: Final = re.compile(
    r"host identification has changed|host key verification failed|no \S+ host key is known|no matching host key type"
    r"|incorrect signature",
    re.IGNORECASE,
)
_REFUSED: Final = re.compile(r"permission denied \(|too many authentication failures", re.IGNORECASE)
_BAD_KEY_FILE: Final = re.compile(r"(load key .*|identity file .*not accessible.*|.*bad permissions.*)", re.IGNORECASE)


class OpenSshShell:
    """See `Shell`. `folder` is private and lives as long as this object is used."""

    def __init__(self, access: Access, folder: Path, *, connect_timeout_s: float = 10.0) -> None:
        self._access = access
        self._options = ssh_options(access, Files(folder), connect_timeout_s=connect_timeout_s)
        self._destination = destination(access)

    def run(self, command: str, *, timeout_s: float, stdin: str = "", check: bool = True) -> Completed:
        """See `Shell.run`."""
        argv = ("ssh", "-T", *self._options, self._destination, "--", command)
        done = run(argv, timeout_s=timeout_s, stdin=stdin, check=False)
        if done.status == _OWN_STATUS:
            error = refusal(self._access, done.stderr)
            if error is not None:
                raise error
        if check and done.status != 0:
            said = (done.stderr or done.stdout).strip().splitlines()[-3:]
            raise CommandFailed(
                f"{command.split(maxsplit=1)[0]} on {self._access.address} ended with status {done.status}: "
                + " ".join(said),
                status=done.status,
                stderr=done.stderr,
            )
        return done

    def put(self, local: Path, remote: str, *, timeout_s: float) -> None:
        """See `Shell.put`."""
        self._sftp(f"put {_quoted(str(local))} {_quoted(remote)}", timeout_s)

    def get(self, remote: str, local: Path, *, timeout_s: float) -> None:
        """See `Shell.get`."""
        self._sftp(f"get {_quoted(remote)} {_quoted(str(local))}", timeout_s)

    def _sftp(self, line: str, timeout_s: float) -> None:
        argv = ("sftp", "-q", "-b", "-", *self._options, self._sftp_destination())
        done = run(argv, timeout_s=timeout_s, stdin=f"{line}\n", check=False)
        if done.status == 0:
            return
        error = refusal(self._access, done.stderr) if done.status == _OWN_STATUS else None
        said = " ".join(done.stderr.strip().splitlines()[-2:])
        raise error or CommandFailed(f"copying ({line}) failed on {self._access.address}: {said}", status=done.status)

    def _sftp_destination(self) -> str:
        """Return the destination as sftp(1) takes it: IPv6 in brackets."""
        user, _, address = self._destination.rpartition("@")
        return f"{user}@[{address}]" if ":" in address else self._destination


def interactive_argv(access: Access, files: Files, remote: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the ssh command that a person is put through to; with `remote` words it runs these instead of a shell.

    The words reach the login shell of the machine as ssh(1) has it: joined by blanks.
    """
    options = ssh_options(access, files, batch=False)
    return ("ssh", *options, destination(access), *(("--", *remote) if remote else ()))


def refusal(access: Access, said: str) -> InfraError | None:
    """Return what ssh's own error means; None where it is no word of ssh, so that the status is the command's."""
    lines = [line.strip() for line in said.splitlines() if line.strip() and not line.startswith("Warning:")]
    last = lines[-1] if lines else ""
    where = f"{access.address}:{access.port}"
    if _WRONG_KEY.search(said):
        return Conflict(
            f"{where} shows another SSH host key than the one that is known: {last}",
            "another machine answers at this address, or it was made anew: look before you trust it",
        )
    bad_file = _BAD_KEY_FILE.search(said)
    if bad_file and access.private_key_file is not None and not _REFUSED.search(said):
        return Misconfigured(f"the key file {access.private_key_file} cannot be used: {bad_file[1]}")
    if _REFUSED.search(said):
        return Unauthorised(
            f"{where} refuses {access.user}: {last}", "is the public key in authorized_keys of this account?"
        )
    if not lines:
        return Transient(f"ssh to {where} ended without a word")
    return Transient(f"{where} cannot be reached by ssh: {last}")


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
