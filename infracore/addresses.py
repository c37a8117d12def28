"""Addresses of hosts, and which of them are of the public internet."""

import ipaddress
import socket
from typing import Final

from infracore.errors import Transient

__all__ = ["addresses_of", "is_public"]

_EMBEDDING: Final = (ipaddress.IPv6Network("64:ff9b::/96"), ipaddress.IPv6Network("::/96"))
"""Their last four bytes are an IPv4 address."""
_METADATA: Final = frozenset({ipaddress.ip_address("168.63.129.16")})
"""Public by their numbers, and answered by the host of a virtual machine: Azure's."""


def addresses_of(host: str, port: int) -> list[str]:
    """Return the addresses that a name has now. Asks the resolver.

    Raises:
        Transient: it has none.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Transient(f"{host} is not known: {error}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses:
        raise Transient(f"{host} has no address")
    return addresses


def is_public(address: str) -> bool:
    """Say whether an IP address is of the public internet: not private, of this computer, of a link, or for metadata.

    One of IPv6 that holds one of IPv4 is public where both are.
    """
    whole = ipaddress.ip_address(address.partition("%")[0])
    parts = [one for one in (whole, _inside(whole)) if one is not None]
    return all(one.is_global and not one.is_multicast and one not in _METADATA for one in parts)


def _inside(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    """Return the IPv4 address that one of IPv6 leads to: mapped, compatible (RFC 4291), 6to4, NAT64 (RFC 6052)."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if any(address in network for network in _EMBEDDING):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour
