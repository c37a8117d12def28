"""The boards of a fleet, as an Ansible inventory names them.

Variables of a host that are read (a host that has none of them is no board):

    raspberry_pi_node, raspberry_pi_defaults    the keys of `Node`; the first is laid over the second
    raspberry_pi_image, raspberry_pi_image_sha256, raspberry_pi_device, raspberry_pi_serial, raspberry_pi_mac,
    raspberry_pi_model, raspberry_pi_storage, raspberry_pi_power

The inventory is read by `ansible-inventory`, so that plugins, ranges, group variables and precedence are Ansible's own.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import msgspec

from im_client.flash.node import Node, decode_nodes
from im_client.flash.variables import read_variables
from infracore.decoding import fit, shown
from infracore.errors import InfraError, InvalidUsage, Misconfigured, NotFound, Several

__all__ = ["Board", "Fleet", "Storage", "decode_fleet", "read_fleet"]

PREFIX: Final = "raspberry_pi_"
_ADDRESS: Final = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:%-]{0,252}")
_TEXT: Final = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]{1,4096}")
_FORMS: Final = {
    "device": (_TEXT, "a path such as /dev/sda"),
    "image": (_TEXT, "a path, an address, or a name of rpi-imager's list"),
    "image_sha256": (re.compile(r"[0-9a-fA-F]{64}"), "64 hexadecimal digits"),
    "mac": (re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}"), "such as dc:a6:32:01:02:03"),
    "serial": (re.compile(r"[0-9a-fA-F]{8,16}"), "8 to 16 hexadecimal digits, as /proc/cpuinfo of the board has them"),
}


class Storage(StrEnum):
    """What a board boots from."""

    CARD = "card"
    USB = "usb"
    NVME = "nvme"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class Board:
    """One board. Text that the inventory does not give is ""."""

    name: str
    """Its name in the inventory."""
    node: Node
    """What it becomes."""
    image: str = ""
    """Path or address."""
    image_sha256: str = ""
    device: str = ""
    """The block device of this computer that its card or disk is in."""
    serial: str = ""
    """Of the board, in lower case."""
    mac: str = ""
    """In lower case with colons."""
    model: str = ""
    storage: Storage = Storage.CARD
    power: Mapping[str, Any] = field(default_factory=dict)
    address: str = ""
    """Where it will be reached; "" where only its name is known."""
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Fleet:
    """The boards of an inventory, in its order. Names, hostnames and addresses of nodes are each there once."""

    boards: tuple[Board, ...]
    where: str = ""
    """The inventory."""

    def board(self, name: str) -> Board:
        """Return the board of this name or hostname.

        Raises:
            NotFound: there is none.
        """
        for board in self.boards:
            if name in {board.name, board.node.hostname}:
                return board
        names = ", ".join(board.name for board in self.boards)
        raise NotFound(f"there is no board {name!r} in {self.where}", f"there are: {names}")


class _Variables(msgspec.Struct, frozen=True):
    node: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    image: str = ""
    image_sha256: str = ""
    device: str = ""
    serial: str = ""
    mac: str = ""
    model: str = ""
    storage: Storage = Storage.CARD
    power: dict[str, Any] = {}


VARIABLES: Final = tuple(PREFIX + name for name in _Variables.__struct_fields__)


def read_fleet(inventory: Path, *, program: Path, timeout_s: float = 120.0) -> Fleet:
    """Read an inventory, a file or a folder. `program` is `ansible-inventory`; `ansible` is beside it.

    Ansible runs once, and once more where variables are templates or encrypted; passwords for these are found as
    Ansible finds them (`ANSIBLE_VAULT_PASSWORD_FILE`, ansible.cfg). Blocks for a second or two.

    Raises:
        InvalidUsage: there is no such inventory, or no board in it. Misconfigured: Ansible cannot read it, or a
        variable does not fit. Unauthorised: it is encrypted, and there is no password.
    """
    if not inventory.exists():
        raise InvalidUsage(f"there is no inventory {inventory}", "name the file or folder that ansible -i takes")
    hosts = read_variables(inventory, (*VARIABLES, "ansible_host"), program=program, timeout_s=timeout_s)
    return decode_fleet(
        {host.name: host.variables for host in hosts}, str(inventory), {h.name: h.groups for h in hosts}
    )


def decode_fleet(
    hosts: Mapping[str, Mapping[str, Any]], where: str, groups: Mapping[str, tuple[str, ...]] | None = None
) -> Fleet:
    """Turn the variables of hosts into boards.

    Raises:
        InvalidUsage: no host is a board.
        Misconfigured, Several: a variable does not fit, or two boards are the same; all that is wrong is said.
    """
    wrong: list[InfraError] = []
    found: dict[str, _Variables] = {}
    for name, variables in hosts.items():
        ours = {key: value for key, value in variables.items() if key in VARIABLES and value is not None}
        if ours:
            short = {key.removeprefix(PREFIX): value for key, value in ours.items()}
            fitted = fit(short, _Variables)
            wrong += [_misfit(where, name, PREFIX + shown(m.steps), m.said, m.hint) for m in fitted.misfits]
            if not fitted.misfits:
                found[name] = msgspec.convert(fitted.value, _Variables, strict=False)
                wrong += _malformed(where, name, found[name])
                wrong += _unreachable(where, name, str(variables.get("ansible_host") or ""))
    if not found and not wrong:
        raise InvalidUsage(f"no host of {where} is a Raspberry Pi", f"give hosts {PREFIX}node or {PREFIX}device")
    wrong += _said_twice(where, found)
    merged = {name: {"hostname": name, **laid_over(one.node, one.defaults)} for name, one in found.items()}
    try:
        nodes = decode_nodes(merged, where)
    except Several as several:
        wrong += several.errors
    except Misconfigured as error:
        wrong.append(error)
    if wrong:
        raise wrong[0] if len(wrong) == 1 else Several(wrong)
    return Fleet(tuple(_board(name, found[name], nodes[name], hosts[name], groups or {}) for name in found), where)


def laid_over(upper: Mapping[str, Any], lower: Mapping[str, Any]) -> dict[str, Any]:
    """Return two mappings as one: those inside are laid over each other too, all else is the upper one's."""
    both = dict(lower)
    for key, value in upper.items():
        under = both.get(key)
        is_both = isinstance(value, Mapping) and isinstance(under, Mapping)
        both[key] = laid_over(value, under) if is_both else value  # type: ignore[arg-type]
    return both


def _board(
    name: str, one: _Variables, node: Node, variables: Mapping[str, Any], groups: Mapping[str, tuple[str, ...]]
) -> Board:
    return Board(
        name=name,
        node=node,
        image=one.image,
        image_sha256=one.image_sha256.lower(),
        device=one.device,
        serial=one.serial.lower(),
        mac=one.mac.lower().replace("-", ":"),
        model=one.model,
        storage=one.storage,
        power=one.power,
        address=str(variables.get("ansible_host") or ""),
        groups=groups.get(name, ()),
    )


def _malformed(where: str, name: str, one: _Variables) -> list[InfraError]:
    return [
        _misfit(where, name, PREFIX + key, f"{getattr(one, key)[:80]!r} is none", hint)
        for key, (form, hint) in _FORMS.items()
        if getattr(one, key) and not form.fullmatch(getattr(one, key))
    ]


def _unreachable(where: str, name: str, address: str) -> list[InfraError]:
    """Refuse an address that would mean more than one host to ssh, or end a line of known_hosts."""
    if not address or _ADDRESS.fullmatch(address):
        return []
    return [_misfit(where, name, "ansible_host", f"{address[:80]!r} is no address", "a name, or an IP address")]


def _said_twice(where: str, found: Mapping[str, _Variables]) -> list[InfraError]:
    wrong: list[InfraError] = []
    for key in ("serial", "mac"):
        owners: dict[str, str] = {}
        for name, one in found.items():
            value = str(getattr(one, key)).lower().replace("-", ":")
            if value and value in owners:
                said = f"{value} is also that of {owners[value]}"
                wrong.append(_misfit(where, name, PREFIX + key, said, "each board has its own"))
            owners.setdefault(value, name)
    return wrong


def _misfit(where: str, host: str, variable: str, said: str, hint: str) -> Misconfigured:
    return Misconfigured(f"{where}: {host}: {variable}: {said}", hint)
