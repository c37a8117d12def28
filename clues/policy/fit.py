"""Host ports and resources of nodes: NodePorts and NodeResourcesFit of kube-scheduler 1.36."""

from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clues.model import HostPort
from clues.policy.nodes import Flags

__all__ = ["SLOTS", "Amounts", "Ports", "clamped", "shortage"]

Amounts: TypeAlias = NDArray[np.int64]
SLOTS: Final = "pods"
_EVERY_ADDRESS: Final = ("", "0.0.0.0")  # noqa: S104 (the API's word for every address)
_MOST: Final = 1 << 52
"""No node has 4 PiB of anything; what is larger is broken input, and sums of it must not overflow 64 bits."""


def clamped(amount: int) -> int:
    """Return an amount within what sums of 64 bits can take."""
    return max(-_MOST, min(_MOST, amount))


def shortage(resource: str, asked: int, free: int) -> str:
    """Say what is missing, for people."""
    if resource == SLOTS:
        return "no pod slot is free"
    if resource == "cpu":
        return f"cpu: asks {asked}m, {free}m free"
    return f"{resource}: asks {asked}, {free} free"


class Ports:
    """Which host ports are taken on which nodes."""

    def __init__(self) -> None:
        self._taken: dict[tuple[int, str], dict[str, dict[int, int]]] = {}

    def shift(self, ports: Iterable[HostPort], index: int, count: int) -> None:
        """Count pods with these ports on a node (negative: they are gone)."""
        for port in ports:
            users = self._taken.setdefault(_key(port), {}).setdefault(_address(port), {})
            left = users.get(index, 0) + count
            if left > 0:
                users[index] = left
            else:
                users.pop(index, None)

    def conflict(self, ports: Iterable[HostPort], index: int) -> str:
        """Return the first port that is taken on a node, in words, or ""."""
        for port in ports:
            if any(index in users for users in self._rivals(port)):
                return f"host port {port.port}/{port.protocol} is taken"
        return ""

    def narrow(self, ports: Iterable[HostPort], good: Flags) -> None:
        """Clear the nodes where one of the ports is taken."""
        for port in ports:
            for users in self._rivals(port):
                if users:
                    good[np.fromiter(users, np.int64, len(users))] = False

    def _rivals(self, port: HostPort) -> list[Mapping[int, int]]:
        addresses = self._taken.get(_key(port))
        if not addresses:
            return []
        own = _address(port)
        if own == _EVERY_ADDRESS[1]:
            return list(addresses.values())
        return [users for address, users in addresses.items() if address in (own, _EVERY_ADDRESS[1])]


def _key(port: HostPort) -> tuple[int, str]:
    return port.port, port.protocol or "TCP"


def _address(port: HostPort) -> str:
    return _EVERY_ADDRESS[1] if port.ip in _EVERY_ADDRESS else port.ip
