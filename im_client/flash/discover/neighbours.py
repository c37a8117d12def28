"""The kernel's neighbour table: addresses and MACs of machines that this computer has exchanged packets with."""

import ipaddress
import threading
from typing import Any, Final

import msgspec

from im_client.flash.discover.model import Sighting, plain_mac
from infracore.errors import CommandFailed
from infracore.process import run

__all__ = ["own_networks", "parse_neighbours", "read_neighbours"]

_RUN_S: Final = 10.0
_NOT_THERE: Final = frozenset({"FAILED", "INCOMPLETE", "NOARP", "NONE"})
"""States of an entry that nobody has answered for (ip-neighbour(8))."""


def read_neighbours(cancel: threading.Event) -> tuple[Sighting, ...]:
    """Ask `ip -j neigh`.

    Raises:
        Misconfigured: iproute2 is not installed. CommandFailed: it says something else than expected.
    """
    return parse_neighbours(run(("ip", "-j", "neigh"), timeout_s=_RUN_S, cancel=cancel).stdout)


def parse_neighbours(text: str) -> tuple[Sighting, ...]:
    """Read what `ip -j neigh` prints. Link-local addresses of IPv6 carry their interface: `fe80::1%eth0`."""
    found = []
    for entry in _entries(text, "ip neigh"):
        mac = plain_mac(str(entry.get("lladdr", "")))
        address = _address(entry.get("dst"), str(entry.get("dev", "")))
        states = entry.get("state")
        if mac and address and not _NOT_THERE & set(states if isinstance(states, list) else ()):
            found.append(Sighting(address, mac, source="neighbours"))
    return tuple(found)


def own_networks(cancel: threading.Event) -> tuple[tuple[str, ipaddress.IPv4Interface], ...]:
    """Return the names and IPv4 addresses of interfaces that are up and carry multicast.

    Raises:
        Misconfigured: iproute2 is not installed. CommandFailed: it says something else than expected.
    """
    text = run(("ip", "-j", "-4", "address"), timeout_s=_RUN_S, cancel=cancel).stdout
    found = []
    for entry in _entries(text, "ip address"):
        flags = set(entry.get("flags") or ())
        if "UP" not in flags or "MULTICAST" not in flags:
            continue
        for one in entry.get("addr_info") or ():
            address = ipaddress.IPv4Interface(f"{one['local']}/{one['prefixlen']}")
            found.append((str(entry.get("ifname", "")), address))
    return tuple(found)


def _entries(text: str, what: str) -> list[dict[str, Any]]:
    try:
        return msgspec.json.decode(text or "[]", type=list[dict[str, Any]])
    except msgspec.DecodeError as error:
        raise CommandFailed(
            f"{what} printed something else than JSON: {error}", "is iproute2 4.17 or later?"
        ) from error


def _address(text: object, interface: str) -> str:
    try:
        address = ipaddress.ip_address(str(text))
    except ValueError:
        return ""
    return f"{address}%{interface}" if address.version == 6 and address.is_link_local else str(address)
