"""OpenStack's Redfish emulator (sushy-tools, PyPI) with its fake driver: machines that take seconds to turn on and off.

It runs over TLS with HTTP basic authentication, which is all that it has. It needs no libvirt, and Flask stays in a
virtual environment of its own. `python -m tests.rigs.sushy` makes that and prints the place.
"""

import contextlib
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import bcrypt

from tests.rigs.certificates import certificate
from tests.rigs.process import daemon
from tests.rigs.venvs import environment

__all__ = ["PASSWORD", "USER", "Emulator", "emulator", "program"]

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements" / "sushy-tools.txt"
USER, PASSWORD = "admin", "loopback-only"


@dataclass(frozen=True)
class Emulator:
    """One that runs."""

    port: int
    ca_file: Path
    systems: tuple[str, ...]
    """Ids of its ComputerSystems."""


def program() -> Path:
    """Return the emulator's command, installing it where it is not there yet; takes some seconds then.

    Raises:
        RuntimeError: pip cannot; the text says why.
    """
    return environment("sushy-tools", REQUIREMENTS, "OpenStack's Redfish emulator") / "sushy-emulator"


@contextlib.contextmanager
def emulator(folder: Path, names: Sequence[str]) -> Iterator[Emulator]:
    """Run it on 127.0.0.1, with a system for each name; all are off."""
    chain, key = certificate(folder)
    users = folder / "users"
    users.write_text(f"{USER}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    state = folder / "state"
    state.mkdir()
    ids = tuple(f"00000000-0000-4000-8000-{number:012}" for number in range(1, len(names) + 1))
    systems = [
        {"uuid": uuid, "name": name, "power_state": "Off", "external_notifier": False, "nics": []}
        for uuid, name in zip(ids, names, strict=True)
    ]
    settings = {"AUTH_FILE": str(users), "STATE_DIR": str(state), "FAKE_SYSTEMS": systems}
    config = folder / "emulator.conf"
    config.write_text("".join(f"SUSHY_EMULATOR_{name} = {value!r}\n" for name, value in settings.items()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    argv: list[str | Path] = [program(), "--fake", "--config", config, "--interface", "127.0.0.1", "--port", str(port)]
    argv += ["--ssl-certificate", chain, "--ssl-key", key]
    with daemon(argv, folder) as running:
        running.wait_for(lambda: _answers(port))
        yield Emulator(port, chain, ids)


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


if __name__ == "__main__":
    try:
        print(program())
    except RuntimeError as error:
        print(error)
        sys.exit(1)
