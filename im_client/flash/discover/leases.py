"""Leases that a DHCP server of this computer has given: dnsmasq, NetworkManager, ISC dhcpd and systemd-networkd."""

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from im_client.flash.discover.model import Sighting, plain_mac
from infracore.errors import Misconfigured

__all__ = ["LEASE_FILES", "parse_dnsmasq", "parse_isc", "parse_networkd", "read_leases"]

LEASE_FILES: Final = (
    "var/lib/misc/dnsmasq*.leases",
    "var/lib/dnsmasq/*.leases",
    "var/lib/raspberry_pi_netboot/*.leases",
    "var/lib/libvirt/dnsmasq/*.leases",
    "var/lib/NetworkManager/dnsmasq-*.leases",
    "var/lib/dhcp/dhcpd*.leases",
    "var/lib/systemd/network/dhcp-server-lease/*",
)
"""Below `/`, as patterns. NetworkManager runs dnsmasq for connections that it shares."""
_MOST_BYTES: Final = 16 << 20
_ISC_LEASE: Final = re.compile(r"^lease\s+(\S+)\s*\{(.*?)^\}", re.DOTALL | re.MULTILINE)
_END: Final = re.compile("[0-9]{1,20}")
_ISC_FIELD: Final = {
    "mac": re.compile(r"^\s*hardware ethernet ([0-9a-fA-F:]+);", re.MULTILINE),
    "hostname": re.compile(r'^\s*client-hostname "([^"]*)";', re.MULTILINE),
    "state": re.compile(r"^\s*binding state (\w+);", re.MULTILINE),
}


def read_leases(root: Path, now: float, more: tuple[Path, ...] = ()) -> tuple[Sighting, ...]:
    """Read all lease files below a root folder, and others that are named. Files that others own are passed over.

    `now` in seconds since the epoch: leases that have ended are left out.

    Raises:
        Misconfigured: a named file cannot be read.
    """
    found = [path for pattern in LEASE_FILES for path in sorted(root.glob(pattern)) if path.is_file()]
    sightings: list[Sighting] = []
    for path in (*found, *more):
        try:
            if path in more and path.exists() and not path.is_file():  # a pipe would wait for its writer
                raise Misconfigured(f"cannot read the leases in {path}: it is no file", "name the server's lease file")
            with path.open("rb") as file:
                text = file.read(_MOST_BYTES).decode(errors="replace")
        except OSError as error:
            if path in more:
                raise Misconfigured(f"cannot read the leases in {path}: {error.strerror}") from error
            continue
        sightings += parse_leases(text, now)
    return tuple(sightings)


def parse_leases(text: str, now: float) -> tuple[Sighting, ...]:
    """Read the text of a lease file of any of the kinds."""
    if text.lstrip().startswith("{"):
        return tuple(parse_networkd(text, now))
    if _ISC_LEASE.search(text):
        return tuple(parse_isc(text))
    return tuple(parse_dnsmasq(text, now))


def parse_dnsmasq(text: str, now: float) -> Iterator[Sighting]:
    """Read `end MAC address hostname client-id` lines (dnsmasq(8), FILES); end 0 means never."""
    for line in text.splitlines():
        words = line.split()
        if len(words) < 4 or not _END.fullmatch(words[0]):
            continue
        ends = int(words[0])
        if ends == 0 or ends > now:
            yield from _sighting(words[2], words[1], "" if words[3] == "*" else words[3])


def parse_isc(text: str) -> Iterator[Sighting]:
    """Read dhcpd.leases(5); the last block of an address counts, and only where its lease is active."""
    blocks = dict(_ISC_LEASE.findall(text))
    for address, body in blocks.items():
        fields = {name: (hit[1] if (hit := pattern.search(body)) else "") for name, pattern in _ISC_FIELD.items()}
        if fields["state"] in {"active", ""}:
            yield from _sighting(address, fields["mac"], fields["hostname"])


class _Lease(msgspec.Struct):
    Address: list[int] = []
    AddressString: str = ""
    HardwareAddress: list[int] = []
    Hostname: str = ""
    ExpirationRealtimeUSec: int = 0


class _Leases(msgspec.Struct):
    Leases: list[_Lease] = []


def parse_networkd(text: str, now: float) -> Iterator[Sighting]:
    """Read the JSON that systemd-networkd keeps of its DHCP server (systemd 257)."""
    try:
        leases = msgspec.json.decode(text, type=_Leases).Leases
    except msgspec.DecodeError:
        return
    for lease in leases:
        address = lease.AddressString or ".".join(map(str, lease.Address))
        mac = ":".join(f"{byte & 255:02x}" for byte in lease.HardwareAddress)
        if not lease.ExpirationRealtimeUSec or lease.ExpirationRealtimeUSec > now * 1e6:
            yield from _sighting(address, mac, lease.Hostname)


def _sighting(address: str, mac: str, hostname: str) -> Iterator[Sighting]:
    try:
        plain = str(ipaddress.ip_address(address))
    except ValueError:
        return
    if found := plain_mac(mac):
        yield Sighting(plain, found, hostname.partition(".")[0], "leases")
