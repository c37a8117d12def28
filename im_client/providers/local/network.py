"""The bridge, the addresses, and each machine's network namespace with its veth pair."""

import hashlib
import ipaddress
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from im_client.providers.local.records import file_lock
from infracore.errors import CommandFailed, InfraError, Misconfigured, NoCapacity, NotFound, Unsupported
from infracore.files import write_durably
from infracore.process import run

__all__ = ["Bridge", "BridgeRecord", "link_name"]

_DEFAULT: Final = ipaddress.IPv4Network("10.77.0.0/24")
_CHOICE_LOCK: Final = Path("/run/im-clues-network.lock")
"""Held while a network is chosen and until the bridge has its address: two state folders must not choose the same."""
_FIRST_HOST: Final = 11
"""Addresses .2 to .10 stay free for services on the bridge."""


class BridgeRecord(msgspec.Struct, frozen=True):
    """The network that a state folder has chosen; kept as long as it has machines."""

    bridge: str
    network: str


@dataclass(frozen=True, slots=True)
class _Address:
    device: str
    network: ipaddress.IPv4Network


def link_name(root: Path, token: str) -> str:
    """Return the name of a machine's namespace and veth: 15 characters at most, of this state folder alone."""
    return "imc" + hashlib.sha256(f"{root}\0{token}".encode()).hexdigest()[:11]


def _ip(*words: str, check: bool = True) -> str:
    return run(["ip", *words], timeout_s=20, check=check).stdout


def _batch(*lines: str, netns: str = "") -> None:
    """Run several commands of ip(8) in one process; it ends with the first that fails."""
    argv = ["ip", *(["-n", netns] if netns else []), "-batch", "-"]
    run(argv, stdin="".join(f"{line}\n" for line in lines), timeout_s=20)


def _taken(bridge: str) -> list[_Address]:
    """List the networks of this computer's other interfaces and routes."""
    found = []
    for link in json.loads(_ip("-j", "-4", "addr", "show") or "[]"):
        if link.get("ifname") == bridge:
            continue
        for entry in link.get("addr_info", ()):
            network = ipaddress.IPv4Interface(f"{entry['local']}/{entry['prefixlen']}").network
            found.append(_Address(link["ifname"], network))
    routes = json.loads(_ip("-j", "-4", "route", "show") or "[]")
    found += (
        _Address(route.get("dev", "a route"), ipaddress.IPv4Network(route["dst"], strict=False))
        for route in routes
        if route.get("dst", "default") != "default" and route.get("dev") != bridge
    )
    return found


class Bridge:
    """The bridge of one state folder. All methods are to be called under `Records.network_lock`."""

    def __init__(self, root: Path, bridge: str, network: str) -> None:
        self._root = root
        self._wanted = bridge
        self._network = network
        self._alias = f"im-clues {root}"

    @property
    def _file(self) -> Path:
        return self._root / "network.json"

    def chosen(self) -> BridgeRecord | None:
        """Return what was chosen earlier."""
        try:
            return msgspec.json.decode(self._file.read_bytes(), type=BridgeRecord)
        except FileNotFoundError:
            return None

    def ensure(self) -> BridgeRecord:
        """Choose the network, once, and bring the bridge up.

        Raises:
            Misconfigured: the bridge belongs to somebody else, or no network is free.
        """
        with file_lock(_CHOICE_LOCK):
            record = self.chosen()
            if record is None:
                if self._link(self._wanted) is not None:
                    raise self._foreign(self._wanted)
                record = self._choose()
            self._bring_up(record)
        return record

    def _bring_up(self, record: BridgeRecord) -> None:
        link = self._link(record.bridge)
        if link is None:
            _ip("link", "add", record.bridge, "type", "bridge")
        elif link.get("ifalias") not in (None, self._alias):  # none yet: we were killed in between
            raise self._foreign(record.bridge)
        _ip("link", "set", record.bridge, "alias", self._alias)
        address = f"{gateway(record.network)}/24"
        if address not in _ip("-4", "addr", "show", "dev", record.bridge):
            _ip("addr", "add", address, "dev", record.bridge)
        _ip("link", "set", record.bridge, "up")

    @staticmethod
    def _foreign(name: str) -> Misconfigured:
        return Misconfigured(
            f"the interface {name} exists already and does not belong to this state folder",
            "set another `bridge` for the local provider",
        )

    def _link(self, name: str) -> dict[str, str] | None:
        done = run(["ip", "-j", "link", "show", "dev", name], timeout_s=20, check=False)
        found = json.loads(done.stdout or "[]") if done.status == 0 else []
        return found[0] if found else None

    def _choose(self) -> BridgeRecord:
        taken = _taken(self._wanted)
        if self._network:
            candidates = [ipaddress.IPv4Network(self._network)]
        else:
            first = int(_DEFAULT.network_address)
            candidates = [ipaddress.IPv4Network((first + 256 * n, 24)) for n in range(256)]
        for network in candidates:
            if not any(network.overlaps(other.network) for other in taken):
                record = BridgeRecord(self._wanted, str(network))
                write_durably(self._file, msgspec.json.encode(record))
                return record
        holder = next(other for other in taken if candidates[0].overlaps(other.network))
        raise Misconfigured(
            f"the network {candidates[0]} of the local provider is taken by {holder.device} ({holder.network})",
            "set another `network` for the local provider",
        )

    def remove(self) -> None:
        """Remove the bridge and forget the choice. Absent: succeeds."""
        record = self.chosen()
        if record is None:
            return
        link = self._link(record.bridge)
        if link is not None and link.get("ifalias") in (None, self._alias):
            _ip("link", "del", record.bridge)
        self._file.unlink(missing_ok=True)

    @staticmethod
    def free_address(network: str, used: Collection[str], fixed: str | None = None) -> str:
        """Pick an address for a machine.

        Raises:
            NoCapacity: all are in use.
            Unsupported: the fixed one is outside of the network, or in use.
        """
        net = ipaddress.IPv4Network(network)
        if fixed is not None:
            if ipaddress.IPv4Address(fixed) not in net or fixed == gateway(network) or fixed in used:
                raise Unsupported(
                    f"the fixed address {fixed} is not free in the local network {network}",
                    "leave it out, or set `network` of the local provider",
                )
            return fixed
        hosts = list(net.hosts())
        for host in hosts[_FIRST_HOST - 1 :] + hosts[1 : _FIRST_HOST - 1]:
            if str(host) not in used:
                return str(host)
        raise NoCapacity(f"all addresses of the local network {network} are in use")

    @staticmethod
    def attach(record: BridgeRecord, link: str, address: str) -> None:
        """Make a machine's namespace and connect it to the bridge. May be repeated.

        A half-made namespace is made anew, for nothing can run in it yet.
        """
        if _is_attached(link, address, record.bridge):
            return
        Bridge.detach(link)
        _ip("netns", "add", link)
        _batch(
            f"link add {link} type veth peer name host0 netns {link}",
            f"link set {link} master {record.bridge} up",
        )
        _batch(
            f"addr add {address}/24 dev host0",
            "link set lo up",
            "link set host0 up",
            f"route add default via {gateway(record.network)}",
            netns=link,
        )

    @staticmethod
    def detach(link: str) -> None:
        """Remove a machine's namespace and veth. Absent: succeeds."""
        if Path("/sys/class/net", link).exists():
            _ignore_absent(lambda: _ip("link", "del", link))
        if Path("/run/netns", link).exists():
            _ignore_absent(lambda: _ip("netns", "del", link))


def gateway(network: str) -> str:
    """Return this computer's address on the bridge."""
    return str(ipaddress.IPv4Network(network)[1])


def _is_attached(link: str, address: str, bridge: str) -> bool:
    master = Path("/sys/class/net", link, "master")
    if not (Path("/run/netns", link).exists() and master.exists() and master.resolve().name == bridge):
        return False
    done = run(["ip", "-n", link, "-4", "route", "show"], timeout_s=20, check=False)
    return done.status == 0 and "default via" in done.stdout and address in done.stdout


def _ignore_absent(action: Callable[[], object]) -> None:
    """Run a removal that may find its object gone."""
    try:
        action()
    except CommandFailed as error:
        if not any(text in error.stderr for text in ("Cannot find device", "No such file")):
            raise _as_conflict(error) from error


def _as_conflict(error: CommandFailed) -> InfraError:
    return error if "busy" not in error.stderr else NotFound(error.message)
