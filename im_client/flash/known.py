"""What this computer keeps of the boards that it made cards for: their host keys, so that nothing is trusted at first.

In the folder `raspberry_pi` of the state: `HOSTNAME/host_key.pub`, and `known_hosts` for `ssh -o UserKnownHostsFile`.
Private halves are on the cards only.
"""

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from im_client.flash.node import Node
from im_client.remote.hostkeys import known_hosts_name, public_of
from infracore.errors import Misconfigured
from infracore.files import write_durably

__all__ = ["FOLDER", "KnownBoards", "names_of"]

FOLDER: Final = "raspberry_pi"


def names_of(node: Node, address: str = "") -> tuple[str, ...]:
    """Return under which names and addresses a board is reached."""
    fixed = (interface.address.partition("/")[0] for interface in node.interfaces)
    return tuple(dict.fromkeys(name for name in (node.hostname, f"{node.hostname}.local", *fixed, address) if name))


class KnownBoards:
    """The folder. It is made when something is first kept; several processes may use it at once."""

    def __init__(self, state_dir: Path) -> None:
        self.folder = state_dir / FOLDER

    @property
    def known_hosts(self) -> Path:
        """The file, which may not be there yet."""
        return self.folder / "known_hosts"

    def host_key(self, hostname: str) -> str | None:
        """Return the public half that the board of this name shows, None where none is known."""
        try:
            return (self.folder / hostname / "host_key.pub").read_text(encoding="utf-8", errors="replace").strip()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error) from error

    def check(self) -> None:
        """See that a key could be kept, before a card is written that would need it. Raises Misconfigured."""
        with self._locked():
            self._lines()

    def remember(self, hostname: str, public: str, names: Iterable[str]) -> None:
        """Keep the host key of a board; whatever had its names before is forgotten. May be repeated.

        Raises:
            Misconfigured: the folder cannot be written.
        """
        public = public_of(public)
        wanted = [known_hosts_name(name, 22) for name in names]
        with self._locked():
            own = self.folder / hostname
            own.mkdir(mode=0o700, exist_ok=True)
            before = self.host_key(hostname)
            write_durably(own / "host_key.pub", f"{public}\n".encode())
            named = (line.partition(" ") for line in self._lines())
            kept = [f"{name} {key}" for name, _, key in named if name not in wanted and key != before]
            lines = [*kept, *(f"{name} {public}" for name in wanted)]
            write_durably(self.known_hosts, "".join(f"{line}\n" for line in lines).encode(errors="surrogateescape"))

    def _lines(self) -> list[str]:
        if not self.known_hosts.exists():
            return []
        return self.known_hosts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()

    def _unusable(self, error: OSError) -> Misconfigured:
        said = f"cannot keep host keys in {self.folder}: {error.strerror}"
        return Misconfigured(said, "another folder: set IM_STATE_DIR")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with (self.folder / ".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # held for milliseconds
                yield
        except OSError as error:
            raise self._unusable(error) from error
