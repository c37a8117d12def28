"""Ports for servers that take no port 0."""

import socket

__all__ = ["free_udp_port"]


def free_udp_port() -> int:
    """Return a UDP port of loopback that nobody has now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
