"""Many sightings -> machines, and which board each seems to be. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from ipaddress import ip_address
from typing import Final

from im_client.flash.discover.model import Finding, Sighting, Wanted, by_hostname, serial_of_mac

__all__ = ["machines_of", "matched", "serial_fits", "usable"]

_ORDER: Final = {"neighbours": 0, "sweep": 1, "mdns": 2, "leases": 3}
"""Whom to believe: a lease may outlive the machine that had it."""
_SERIAL_DIGITS: Final = 6
"""So many of a serial number are in the MACs of boards up to the Raspberry Pi 3."""


def machines_of(sightings: Iterable[Sighting]) -> tuple[Finding, ...]:
    """Join what several places tell of one address; an address of IPv6 only where its card has none of IPv4."""
    by_address: dict[str, list[Sighting]] = {}
    for sighting in sorted(sightings, key=lambda one: _ORDER.get(one.source, len(_ORDER))):
        by_address.setdefault(sighting.address, []).append(sighting)
    found = [
        Finding(
            address=address,
            mac=next((one.mac for one in some if one.mac), ""),
            hostname=next((one.hostname.lower() for one in some if one.hostname), ""),
            sources=tuple(dict.fromkeys(one.source for one in some)),
        )
        for address, some in by_address.items()
    ]
    with_four = {one.mac for one in found if one.mac and ":" not in one.address}
    kept = [one for one in found if ":" not in one.address or one.mac not in with_four]
    return tuple(sorted(kept, key=lambda one: _sort_key(one.address)))


def matched(finding: Finding, boards: Sequence[Wanted]) -> Finding:
    """Say which board a machine seems to be, by its MAC, else by what it calls itself, else by where it is."""
    for board in boards:
        if board.mac and board.mac == finding.mac:
            return replace(finding, board=board.name, by="mac")
    tail = serial_of_mac(finding.mac)
    for board in boards:
        if tail and len(board.serial) >= _SERIAL_DIGITS and board.serial.lower().endswith(tail):
            return replace(finding, board=board.name, by="serial")
    named = by_hostname(tuple(boards)).get(finding.hostname)
    if named is not None and finding.hostname:
        return replace(finding, board=named.name, by="hostname", note=_other_mac(finding, named))
    for board in boards:
        if board.address and board.address == finding.address:
            return replace(finding, board=board.name, by="address", note=_other_mac(finding, board))
    return finding


def serial_fits(told: str, recorded: str) -> bool:
    """Say whether two serial numbers are the same, of which one may be without its first digits or zeros."""
    one, other = told.lower().lstrip("0"), recorded.lower().lstrip("0")
    return one.endswith(other) or other.endswith(one)


def usable(findings: Sequence[Finding]) -> Mapping[str, Finding]:
    """Return board -> where it can be reached: only machines that have proved their key.

    A board may be found twice, by cable and by wifi: the card that the inventory names comes first, then the address.
    """
    order = {"mac": 0, "serial": 1}
    trusted = [one for one in findings if one.is_trusted]
    best: dict[str, Finding] = {}
    for one in sorted(trusted, key=lambda one: (order.get(one.by, 2), _sort_key(one.address))):
        best.setdefault(one.board, one)
    return best


def _other_mac(finding: Finding, board: Wanted) -> str:
    if finding.mac and board.mac and finding.mac != board.mac:
        return f"its MAC is not {board.mac}, that of {board.name}"
    return ""


def _sort_key(address: str) -> tuple[int, int]:
    parsed = ip_address(address.partition("%")[0])
    return parsed.version, int(parsed)
