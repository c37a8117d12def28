"""A real Infrastructure Manager on loopback, with its Dummy cloud: VMs that are nothing but entries.

The server comes from PyPI, pinned in requirements/im-server.txt, into a virtual environment of its own that is kept
outside the checkout. `python -m tests.rigs.im_server` makes it and prints the place.
"""

import json
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.rigs.process import Daemon, daemon
from tests.rigs.venvs import environment

__all__ = ["ImServer", "im_server", "program"]

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements" / "im-server.txt"
_RUN = """
import sys
from IM.config import Config
folder, Config.REST_PORT = sys.argv[1], int(sys.argv[2])
Config.REST_ADDRESS = "127.0.0.1"
Config.DATA_DB = f"sqlite://{folder}/im.db"
Config.LOG_FILE = f"{folder}/im.log"
Config.VM_INFO_UPDATE_FREQUENCY = 1
from IM.im_service import main
sys.argv = sys.argv[:1]
main()
"""
_RADL = """
network net ()
system {group} (
cpu.arch = 'x86_64' and
cpu.count >= 1 and
memory.size >= 512m and
net_interface.0.connection = 'net' and
net_interface.0.dns_name = '{node}' and
disk.0.os.name = 'linux' and
disk.0.image.url = 'mock0://linux.for.ev.er' and
disk.0.os.credentials.username = 'user'
)
contextualize ()
deploy {group} 0
"""


def program() -> Path:
    """Return the Python that has the server, installing it where it is not there yet; takes a minute then.

    Raises:
        RuntimeError: pip cannot; the text says why.
    """
    return environment("im-server", REQUIREMENTS, "an Infrastructure Manager") / "python"


class ImServer:
    """The running server. `auth` is what a driver sends."""

    auth = "id = im; type = InfrastructureManager; username = user; password = secret\nid = dummy; type = Dummy\n"

    def __init__(self, running: Daemon, port: int) -> None:
        self.running = running
        self.url = f"http://127.0.0.1:{port}"

    def infrastructure(self, group: str, node: str) -> str:
        """Make an infrastructure without VMs, whose system `group` names its VMs `node`; return its id."""
        radl = _RADL.format(group=group, node=node)
        return self.ask("POST", "/infrastructures", radl).decode().rsplit("/", 1)[-1]

    def vms(self, infrastructure: str) -> dict[str, str]:
        """Return the states of the VMs."""
        said: dict[str, Any] = json.loads(self.ask("GET", f"/infrastructures/{infrastructure}/state"))
        return dict(said["state"]["vm_states"])

    def ask(self, method: str, path: str, body: str = "") -> bytes:
        """Send one request as the user does."""
        headers = {"Authorization": "\\n".join(self.auth.splitlines()), "Accept": "application/json"}
        if body:
            headers |= {"Content-Type": "text/plain", "Accept": "text/*"}
        request = urllib.request.Request(self.url + path, body.encode() or None, headers, method=method)
        with urllib.request.urlopen(request, timeout=20) as answer:
            found: bytes = answer.read()
        return found


@contextmanager
def im_server(folder: Path) -> Iterator[ImServer]:
    """Run one; its data are in the folder."""
    python = program()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with daemon([python, "-c", _RUN, folder, str(port)], folder) as running:

        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/version", timeout=5):
                    return True
            except (urllib.error.URLError, OSError):
                return False

        running.wait_for(answers)
        yield ImServer(running, port)


if __name__ == "__main__":
    try:
        print(program())
    except RuntimeError as error:
        print(error)
        sys.exit(1)
