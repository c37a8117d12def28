"""A machine that is reached by ssh: a real sshd on loopback, whose shutdown command ends it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.im_client.remote.loopback import Loopback, serve
from tests.rigs.needs import need_programs

__all__ = ["SshMachine", "ssh_machine"]


class SshMachine:
    """The machine, which is on."""

    def __init__(self, folder: Path, server: Loopback) -> None:
        self.folder = folder
        self._server = server
        key = folder / "key"
        key.touch(mode=0o600)
        assert server.access.private_key is not None
        key.write_text(server.access.private_key.reveal())
        known = folder / "known_hosts"
        known.write_text(f"[127.0.0.1]:{server.access.port} {server.access.host_key}\n")
        self.settings: dict[str, Any] = {
            "user": server.access.user,
            "key": str(key),
            "port": server.access.port,
            "known_hosts": str(known),
            "off_command": ["kill", str(server.process.pid)],
        }
        """As `ssh` of a driver."""

    @property
    def is_on(self) -> bool:
        return self._server.process.poll() is None

    def lock_out(self) -> None:
        """Let nobody in any more."""
        (self._server.home / ".ssh" / "authorized_keys").write_text("")

    def log_and(self, then: str) -> list[str]:
        """Return an `off_command` that notes that it was run, and then does something."""
        return [f"echo asked >> {self.folder}/asked; {then}"]

    @property
    def asked(self) -> int:
        """How often it was asked to shut down."""
        path = self.folder / "asked"
        return len(path.read_text().splitlines()) if path.exists() else 0

    def stop(self) -> None:
        """Let it be off."""
        if self.is_on:
            self._server.stop()


@contextmanager
def ssh_machine(folder: Path) -> Iterator[SshMachine]:
    """Start a machine."""
    need_programs("sshd", "ssh")
    machine = SshMachine(folder, serve(folder / "server"))
    try:
        yield machine
    finally:
        machine.stop()
