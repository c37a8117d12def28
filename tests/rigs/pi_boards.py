"""A shelf of boards: sshd servers on loopback, each behind an outlet of a smart plug, and their inventory.

A board with power runs; `systemctl poweroff` on it ends its sshd, and power alone brings it back. What is in its home
stays.
"""

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from im_client.remote.hostkeys import new_host_key, new_key_pair
from infracore.secrets import Secret
from tests.im_client.remote.loopback import Loopback, free_port, serve
from tests.rigs.plug_server import PlugServer, plug_server

__all__ = ["ANSIBLE_INVENTORY", "Board", "Shelf", "shelf"]

ANSIBLE_INVENTORY = str(Path(sys.executable).parent / "ansible-inventory")


class Board:
    """One board; it is off at first."""

    def __init__(self, folder: Path, name: str, outlet: int, key: str) -> None:
        self.name = name
        self.outlet = outlet
        self.folder = folder / name
        self.port = free_port()
        self.host_key = new_host_key()
        self.has_power = False
        self.died_by_power = False
        """Whether its power was ever cut while it ran."""
        self.is_dead = False
        """Gets power, and does not come up."""
        self._key = key
        self._server: Loopback | None = None
        self._lock = threading.Lock()

    @property
    def runs(self) -> bool:
        return self._server is not None and self._server.process.poll() is None

    @property
    def authorized(self) -> str:
        """Who may log in, beside the fleet's own key."""
        path = self._authorized_path
        text = path.read_text() if path.exists() else ""
        return "".join(line for line in text.splitlines(keepends=True) if "im-clues" in line)

    @property
    def _authorized_path(self) -> Path:
        return self.folder / "home" / ".ssh" / "authorized_keys"

    def power(self, on: bool) -> None:
        """Give or cut power."""
        with self._lock:
            self.has_power = on
            if on and not self.runs and not self.is_dead:
                self._boot()
            elif not on and self.runs:
                self.died_by_power = True
                self._stop()

    def _boot(self) -> None:
        kept = self.authorized
        assert self.host_key.private is not None
        pair = (self.host_key.public, self.host_key.private)
        server = serve(self.folder, host_key=pair, port=self.port, key=self._key)
        with self._authorized_path.open("a") as file:
            file.write(kept)
        program = self.folder / "bin" / "systemctl"
        log = self.folder / "home" / "power.log"
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {log}\n[ "$1" != poweroff ] || kill {server.process.pid}\n', encoding="utf-8"
        )
        self._server = server

    @property
    def log(self) -> list[str]:
        """What its systemctl was asked for."""
        path = self.folder / "home" / "power.log"
        return path.read_text().splitlines() if path.exists() else []

    def ignore_poweroff(self) -> None:
        """Let it take the order, and go on."""
        (self.folder / "bin" / "systemctl").write_text("#!/bin/sh\nexit 0\n")

    def lock_out(self) -> None:
        """Let nobody in any more."""
        self._authorized_path.write_text("")

    def _stop(self) -> None:
        if self._server is not None and self.runs:
            self._server.stop()

    def end(self) -> None:
        """End it, at the end of a test."""
        with self._lock:
            self._stop()


class Shelf:
    """The boards, their plug, the inventory and the folders of the provider."""

    def __init__(self, folder: Path, plug: PlugServer, boards: Sequence[Board]) -> None:
        self.folder = folder
        self.plug = plug
        self.boards = tuple(boards)
        self.inventory = folder / "inventory.yaml"
        plug.on_switch = lambda outlet, on: self.at(outlet).power(on)

    def at(self, outlet: int) -> Board:
        return next(board for board in self.boards if board.outlet == outlet)

    def write(self, changed: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        """Write the inventory; `changed` has variables of hosts by name."""
        more = changed or {}
        hosts = {board.name: {**self._variables(board), **more.get(board.name, {})} for board in self.boards}
        self.inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}))

    def _variables(self, board: Board) -> dict[str, Any]:
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": board.port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.folder / "key"),
            "raspberry_pi_model": "4B 2GB",
            "raspberry_pi_power": {
                "kind": "plug",
                "plug": self.plug.kind,
                "address": self.plug.address,
                "outlet": board.outlet,
                "password": {"file": str(self.folder / "password")},
            },
        }

    def settings(self, **changed: Any) -> dict[str, Any]:
        """Return the settings of the provider."""
        return {
            "inventory": str(self.inventory),
            "state_dir": str(self.folder / "state"),
            "flash_dir": str(self.folder / "flash"),
            "ansible_inventory": ANSIBLE_INVENTORY,
            "settle_s": 0.2,
            "halt_s": 0.4,
            "boot_s": 20.0,
            "connect_timeout_s": 2.0,
            **changed,
        }


@contextmanager
def shelf(folder: Path, count: int = 3) -> Iterator[Shelf]:
    """Make a shelf whose boards are off; their host keys are recorded as `im flash` does."""
    folder.mkdir(exist_ok=True)
    public, private = new_key_pair("fleet")
    _write(folder / "key", private)
    with ExitStack() as stack:
        plug = stack.enter_context(plug_server("shelly2", outlets=count))
        _write(folder / "password", Secret(plug.password))
        boards = [Board(folder / "boards", f"pi-{number}", number, public) for number in range(1, count + 1)]
        for board in boards:
            stack.callback(board.end)
            recorded = folder / "flash" / board.name / "host_key.pub"
            recorded.parent.mkdir(parents=True)
            recorded.write_text(board.host_key.public + "\n")
        made = Shelf(folder, plug, boards)
        made.write()
        yield made


def _write(path: Path, secret: Secret) -> None:
    path.touch(mode=0o600)
    path.write_text(secret.reveal())
