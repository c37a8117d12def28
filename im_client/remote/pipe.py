"""One command on a machine that is written to and read from while it runs: what a file or a shell cannot carry."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import IO, Final

from im_client.remote.access import Access
from im_client.remote.openssh import refusal
from im_client.remote.options import Files, destination, ssh_options
from im_client.remote.private import private_folder
from infracore.errors import InfraError, Misconfigured, Unsupported

__all__ = ["Pipe", "open_pipe"]

_OWN_STATUS: Final = 255
_END_S: Final = 10.0
_MOST_SAID: Final = 64 << 10


@dataclass(slots=True)
class Pipe:
    """A running command."""

    access: Access
    process: "subprocess.Popen[bytes]"
    said: bytearray = field(default_factory=bytearray)
    """The begin of what came on standard error."""
    reader: threading.Thread | None = None

    @property
    def stdin(self) -> IO[bytes]:
        """What the command reads."""
        assert self.process.stdin is not None  # noqa: S101 - opened so
        return self.process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """What the command writes."""
        assert self.process.stdout is not None  # noqa: S101 - opened so
        return self.process.stdout

    def kill(self) -> None:
        """End the connection at once. May be repeated, and called by another thread."""
        if self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def failure(self) -> InfraError | None:
        """Wait for its end and return what ssh itself says went wrong; None where that is the command's matter.

        Blocks for ten seconds at most. May be repeated.
        """
        with contextlib.suppress(OSError):
            self.stdin.close()
        try:
            status = self.process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self.process.wait()
        if self.reader is not None:
            self.reader.join(_END_S)  # what ssh said last
        if status != _OWN_STATUS and status >= 0:
            return None
        return refusal(self.access, self.text())

    def text(self) -> str:
        """Return what came on standard error."""
        return self.said.decode(errors="replace")


@contextlib.contextmanager
def open_pipe(access: Access, command: str, *, connect_timeout_s: float = 10.0) -> Iterator[Pipe]:
    """Start a command line on a machine by the system's ssh; it is ended with the context.

    Raises:
        Unsupported: a password would be needed. Misconfigured: there is no ssh here.
    """
    if access.password is not None or (access.jump is not None and access.jump.password is not None):
        raise Unsupported(
            f"{access.address}: a connection that is written to needs an SSH key, not a password",
            f"ssh-copy-id {access.user}@{access.address}",
        )
    with private_folder() as folder:
        options = ssh_options(access, Files(folder), connect_timeout_s=connect_timeout_s)
        argv = ("ssh", "-T", *options, destination(access), "--", command)
        pipes = subprocess.PIPE
        try:
            process = subprocess.Popen(argv, stdin=pipes, stdout=pipes, stderr=pipes, start_new_session=True)
        except FileNotFoundError as error:
            raise Misconfigured("the program 'ssh' is not installed", "run: im doctor") from error
        pipe = Pipe(access, process)
        pipe.reader = threading.Thread(target=_keep, args=(pipe,), name="ssh-stderr", daemon=True)
        pipe.reader.start()
        try:
            yield pipe
        finally:
            pipe.kill()
            with contextlib.suppress(OSError):
                pipe.stdin.close()
            process.wait()
            pipe.reader.join(_END_S)
            pipe.stdout.close()


def _keep(pipe: Pipe) -> None:
    assert pipe.process.stderr is not None  # noqa: S101 - opened so
    with pipe.process.stderr as errors:
        while part := errors.read1(4096):  # type: ignore[attr-defined]
            if len(pipe.said) < _MOST_SAID:
                pipe.said += part
