"""The boards of the inventory as hosts: how each is logged in to, what it is, how its power is switched."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from im_client.flash.fleet import VARIABLES, Board, decode_fleet
from im_client.flash.variables import HostVariables, read_variables
from im_client.providers.hosts.host import Host
from im_client.providers.raspberry_pi.models import ARCHITECTURE, Model, parse_model
from im_client.providers.raspberry_pi.power import Power, decode_power
from im_client.remote.access import Access
from im_client.remote.hostkeys import find_known_host, public_of
from infracore.errors import InfraError, Misconfigured, Several
from infracore.secrets import Secret

__all__ = ["ClaimableBoard", "make_board", "read_boards", "stamp_of"]

_LOGIN: Final = (
    "ansible_host",
    "ansible_port",
    "ansible_user",
    "ansible_ssh_private_key_file",
    "ansible_private_key_file",
    "ansible_become",
    "ansible_become_password",
    "ansible_python_interpreter",
    "im_host_key",
)
_READ_S: Final = 60.0
_ARCHITECTURES: Final = (("armhf", "armhf"), ("armv7", "armhf"), ("32-bit", "armhf"))
"""What an image's name says of it -> its architecture; all others are of 64 bits."""


@dataclass(frozen=True, slots=True)
class ClaimableBoard:
    """A board and the host that it is."""

    board: Board
    host: Host
    model: Model | None
    power: Power | None
    """None: nobody can switch it."""


def read_boards(inventory: Path, *, program: Path, flash_dir: Path) -> tuple[ClaimableBoard, ...]:
    """Read the fleet. Blocks for a second or two, in which Ansible reads the inventory.

    A board whose host key is not known has a `fault`: the others can be used.

    Raises:
        InvalidUsage, Misconfigured, Unauthorised, Several: as `flash.fleet.read_fleet`; a model or a power that cannot
        be, or two boards on one outlet.
    """
    if not inventory.exists():
        raise Misconfigured(f"there is no inventory {inventory}", "set inventory of the provider raspberry_pi")
    hosts = read_variables(inventory, (*VARIABLES, *_LOGIN), program=program, timeout_s=_READ_S)
    named: dict[str, HostVariables] = {host.name: host for host in hosts}
    fleet = decode_fleet(
        {host.name: host.variables for host in hosts}, str(inventory), {host.name: host.groups for host in hosts}
    )
    wrong: list[InfraError] = []
    found: list[ClaimableBoard] = []
    for board in fleet.boards:
        try:
            found.append(make_board(board, named[board.name].variables, str(inventory), flash_dir))
        except Misconfigured as error:
            wrong.append(error)
    wrong += _shared_outlets(found, str(inventory))
    if wrong:
        raise wrong[0] if len(wrong) == 1 else Several(wrong)
    return tuple(found)


def make_board(board: Board, variables: Mapping[str, Any], where: str, flash_dir: Path) -> ClaimableBoard:
    """Turn a board of the fleet into one that can be claimed. Raises Misconfigured."""
    at = f"{where}: {board.name}"
    try:
        model = parse_model(board.model) if board.model else None
    except Misconfigured as error:
        raise Misconfigured(f"{at}: raspberry_pi_model: {error.message}", error.hint) from error
    access = _access(board, variables, at)
    words = {"name": board.name, "hostname": board.node.hostname, "address": access.address}
    power = decode_power(board.power, at, {**words, "serial": board.serial, "mac": board.mac})
    fault = ""
    try:
        access = dataclasses.replace(access, host_key=_host_key(board, access, variables, flash_dir))
    except Misconfigured as error:
        fault = f"{error.message}: {error.hint}"
    host = Host(
        name=board.name,
        access=access,
        groups=board.groups,
        cpus=model.cpus if model else None,
        mem_bytes=model.least_bytes if model else None,
        architecture=next((a for word, a in _ARCHITECTURES if word in board.image.lower()), ARCHITECTURE),
        fault=fault,
    )
    return ClaimableBoard(board, host, model, power)


def stamp_of(inventory: Path) -> tuple[tuple[str, int, int], ...]:
    """Return what changes when the inventory does: its files, those beside it in group_vars and host_vars too."""
    folder = inventory if inventory.is_dir() else inventory.parent
    tops = [folder] if inventory.is_dir() else [inventory, folder / "group_vars", folder / "host_vars"]
    files = sorted(file for top in tops for file in ([top] if top.is_file() else top.rglob("*")) if file.is_file())
    return tuple((str(file), file.stat().st_mtime_ns, file.stat().st_size) for file in files)


def _access(board: Board, variables: Mapping[str, Any], at: str) -> Access:
    static = next((one.address.partition("/")[0] for one in board.node.interfaces), "")
    user = str(variables.get("ansible_user") or board.node.user or "root")
    key = variables.get("ansible_ssh_private_key_file") or variables.get("ansible_private_key_file")
    password = variables.get("ansible_become_password")
    port = str(variables.get("ansible_port") or 22)
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise Misconfigured(f"{at}: ansible_port: {port!r} is no port")
    return Access(
        address=board.address or static or board.name,
        user=user,
        port=int(port),
        private_key_file=str(Path(str(key)).expanduser()) if key else None,
        become=str(variables.get("ansible_become", user != "root")).lower() in {"true", "yes", "1"},
        become_password=Secret(str(password)) if password else None,
        python=str(variables.get("ansible_python_interpreter") or "/usr/bin/python3"),
    )


def _host_key(board: Board, access: Access, variables: Mapping[str, Any], flash_dir: Path) -> str:
    """Find the key that a board must show: said in the inventory, recorded by `im flash`, or known to ssh."""
    given = variables.get("im_host_key")
    recorded = flash_dir / board.node.hostname / "host_key.pub"
    for text in (str(given or ""), _text(recorded)):
        if text.strip():
            try:
                return public_of(text)
            except ValueError as error:
                raise Misconfigured(f"the host key of {board.name} is wrong: {error}", f"see {recorded}") from error
    for path in (flash_dir / "known_hosts", Path("~/.ssh/known_hosts").expanduser()):
        text = _text(path)
        for name in dict.fromkeys((access.address, board.node.hostname)):
            found = find_known_host(text, name, access.port)
            if found is not None:
                return found
    raise Misconfigured(
        f"the SSH host key of {board.name} is not known",
        f"im flash records it in {recorded}; of a card that was written otherwise give im_host_key in the inventory",
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _shared_outlets(boards: Sequence[ClaimableBoard], where: str) -> list[InfraError]:
    owners: dict[str, str] = {}
    wrong: list[InfraError] = []
    for one in boards:
        if one.power is not None and one.power.place in owners:
            said = f"{one.power.where} is also that of {owners[one.power.place]}"
            wrong.append(Misconfigured(f"{where}: {one.board.name}: raspberry_pi_power: {said}"))
        if one.power is not None:
            owners.setdefault(one.power.place, one.board.name)
    return wrong
