"""Asking every address of one named network once, so that the kernel learns who is there.

A connection to the SSH port is begun and dropped: it makes the kernel ask for the machine's MAC, crosses routers, needs
no rights, and finds machines that do not answer pings.
"""

import contextlib
import errno
import ipaddress
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Final, TypeAlias

from im_client.flash.discover.model import Sighting
from infracore.clock import Clock
from infracore.errors import Cancelled, InvalidUsage

__all__ = ["Network", "parse_network", "sweep"]

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
MOST_ADDRESSES: Final = 1024
"""The kernel keeps about as many neighbours (net.ipv4.neigh.default.gc_thresh3)."""
_AT_ONCE: Final = 128
_ANSWER_S: Final = 1.0
_LOOK_S: Final = 0.1


def parse_network(text: str) -> Network:
    """Read a network such as 192.168.1.0/24.

    Raises:
        InvalidUsage: it is none, or one of more than 1,024 addresses.
    """
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidUsage(f"{text!r} is no network: {error}", "such as 192.168.1.0/24") from error
    if network.num_addresses > MOST_ADDRESSES:
        raise InvalidUsage(
            f"{text} has {network.num_addresses} addresses, and at most {MOST_ADDRESSES} are asked",
            "name the part in which the boards are, such as 10.0.3.0/24",
        )
    return network


def sweep(
    network: Network,
    *,
    port: int,
    clock: Clock,
    cancel: threading.Event,
    on_progress: Callable[[int, int], None],
) -> tuple[Sighting, ...]:
    """Ask each address of a network, and no other. Blocks for a second for each 128 addresses.

    Returned are those that accepted or refused the connection. `on_progress` gets how many were asked, of all.

    Raises:
        Cancelled: `cancel` was set.
    """
    addresses = [str(address) for address in network.hosts()]
    found: list[Sighting] = []
    for at in range(0, len(addresses), _AT_ONCE):
        some = addresses[at : at + _AT_ONCE]
        found += [Sighting(address, source="sweep") for address in _answering(some, port, clock, cancel)]
        on_progress(at + len(some), len(addresses))
    return tuple(found)


def _answering(addresses: list[str], port: int, clock: Clock, cancel: threading.Event) -> Iterator[str]:
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as waiting:
        for address in addresses:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            link = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            link.setblocking(False)
            status = link.connect_ex((address, port))
            if status in {0, errno.ECONNREFUSED}:
                yield address
            elif status == errno.EINPROGRESS:
                waiting.register(link, selectors.EVENT_WRITE, address)
        ends = clock.monotonic() + _ANSWER_S
        while waiting.get_map() and clock.monotonic() < ends:
            if cancel.is_set():
                raise Cancelled("interrupted while the network was asked")
            for key, _ in waiting.select(_LOOK_S):
                assert isinstance(key.fileobj, socket.socket)  # noqa: S101 - nothing else is registered
                waiting.unregister(key.fileobj)
                if key.fileobj.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) in {0, errno.ECONNREFUSED}:
                    yield key.data
