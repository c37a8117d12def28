"""Multicast DNS, asked once: who is `pi-1.local`, and what is the machine at this address called?

A one-shot query (RFC 6762, section 5.1) from a port of our own, which responders answer to us alone. It takes a socket
for each interface and ends; a library would bring threads, port 5353 and a cache for the same question.
"""

import contextlib
import secrets
import selectors
import socket
import threading
from collections.abc import Iterable, Iterator, Sequence
from ipaddress import IPv4Address, IPv4Interface
from typing import Final

from im_client.flash.discover.dns_message import PTR, A, Question, Record, decode_answers, encode_query, reverse_name
from im_client.flash.discover.model import Sighting
from infracore.clock import Clock
from infracore.errors import Cancelled

__all__ = ["ask", "questions_for", "sightings_of"]

_GROUP: Final = ("224.0.0.251", 5353)
_SERVICES: Final = ("_workstation._tcp.local", "_ssh._tcp.local", "_sftp-ssh._tcp.local")
"""What many systems announce; Raspberry Pi OS announces only its own name."""
_AT_ONCE: Final = 10
"""Questions in one packet: the answers to them shall fit in one, too."""
_MOST_BYTES: Final = 9000
"""RFC 6762, section 17."""
_AGAIN_S: Final = 1.0
"""UDP may be lost: the questions are sent a second time."""
_LOOK_S: Final = 0.2
_SUFFIX: Final = ".local"
_REVERSE: Final = ".in-addr.arpa"


def questions_for(hostnames: Iterable[str], addresses: Iterable[str]) -> tuple[Question, ...]:
    """Return the questions for the addresses of hosts, for the names of addresses, and for hosts that announce SSH."""
    asked = [Question(service, PTR) for service in _SERVICES]
    asked += [Question(f"{name.partition('.')[0].lower()}{_SUFFIX}", A) for name in hostnames if name]
    with_name = (IPv4Address(address) for address in addresses if ":" not in address)
    asked += [Question(reverse_name(address), PTR) for address in with_name]
    return tuple(dict.fromkeys(asked))


def ask(
    questions: Sequence[Question],
    networks: Sequence[tuple[str, IPv4Interface]],
    *,
    listen_s: float,
    clock: Clock,
    cancel: threading.Event,
) -> tuple[Sighting, ...]:
    """Ask on interfaces of this computer and listen for answers. Blocks for `listen_s`.

    An interface that cannot multicast now is passed over.

    Raises:
        Cancelled: `cancel` was set.
    """
    packets = [
        encode_query(secrets.randbelow(1 << 16), questions[at : at + _AT_ONCE])
        for at in range(0, len(questions), _AT_ONCE)
    ]
    found: dict[Sighting, None] = {}
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as waiting:
        for _, interface in networks:
            with contextlib.suppress(OSError):
                waiting.register(stack.enter_context(_opened(interface)), selectors.EVENT_READ, interface)
        begin = clock.monotonic()
        times = [begin, begin + _AGAIN_S]
        while waiting.get_map() and clock.monotonic() < begin + listen_s:
            if cancel.is_set():
                raise Cancelled("interrupted while listening for answers of multicast DNS")
            if times and clock.monotonic() >= times[0]:
                times.pop(0)
                _send(waiting, packets)
            for key, _ in waiting.select(_LOOK_S):
                assert isinstance(key.fileobj, socket.socket)  # noqa: S101 - nothing else is registered
                with contextlib.suppress(OSError):
                    records = decode_answers(key.fileobj.recv(_MOST_BYTES))
                    found.update(dict.fromkeys(sightings_of(records, key.data)))
    return tuple(found)


def sightings_of(records: Iterable[Record], interface: IPv4Interface) -> Iterator[Sighting]:
    """Say which hosts records tell of. Addresses of other networks than the interface's are passed over."""
    for record in records:
        name, address = record.name, record.value
        if record.kind == PTR:
            if not name.endswith(_REVERSE):
                continue
            name, address = address, ".".join(reversed(name.removesuffix(_REVERSE).split(".")))
        if name.endswith(_SUFFIX) and name.count(".") == 1 and _is_in(address, interface):
            yield Sighting(address, hostname=name.removesuffix(_SUFFIX), source="mdns")


def _is_in(address: str, interface: IPv4Interface) -> bool:
    try:
        return IPv4Address(address) in interface.network
    except ValueError:
        return False


def _opened(interface: IPv4Interface) -> socket.socket:
    """Return a socket that sends to the link of an interface, and receives what is sent to its port alone."""
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        link.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, interface.ip.packed)
        link.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        link.bind((str(interface.ip), 0))
        link.setblocking(False)
    except OSError:
        link.close()
        raise
    return link


def _send(waiting: selectors.BaseSelector, packets: Sequence[bytes]) -> None:
    for key in waiting.get_map().values():
        for packet in packets:
            with contextlib.suppress(OSError):  # the interface went down: the others are still asked
                key.fileobj.sendto(packet, _GROUP)  # type: ignore[union-attr]
