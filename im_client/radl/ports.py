"""The `outports` of a network: `22/tcp,8080-80/tcp,9000:9100/udp`.

A dash maps the port that is opened to one of the machine, a colon makes a range; `10.0.0.0/8-22/tcp` opens to one
network only (manual of the Infrastructure Manager, RADL, network features).
"""

import ipaddress
import re
from typing import Final

from im_client.topology.model import PortRule, Protocol

__all__ = ["BadPort", "ports_text", "read_ports"]

_SIDE: Final = r"(\d{1,5})(?::(\d{1,5}))?(?:/([A-Za-z]+))?"
_PORT: Final = re.compile(rf"(?:([0-9a-fA-F.:]+/\d{{1,3}})-)?{_SIDE}(?:-{_SIDE})?")
_EVERYWHERE: Final = "0.0.0.0/0"


class BadPort(Exception):
    """One of the ports cannot be opened; the text says why."""


def read_ports(text: str) -> tuple[list[PortRule], list[BadPort]]:
    """Return what is to be opened, and what cannot be read."""
    rules: dict[PortRule, None] = {}
    bad: list[BadPort] = []
    for part in text.split(","):
        if part.strip():
            try:
                rules[_rule(part.strip())] = None
            except BadPort as error:
                bad.append(error)
    return list(rules), bad


def _rule(said: str) -> PortRule:
    match = _PORT.fullmatch(said)
    if match is None:
        raise BadPort(f"'{said[:60]}' is no port")
    cidr, first, last, protocol, local, local_last, local_protocol = match.groups()
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65535:
        raise BadPort(f"there are no ports {low} to {high}" if last else f"there is no port {low}")
    if local_protocol and (protocol or "tcp").lower() != local_protocol.lower():
        raise BadPort(f"'{said[:60]}' maps {protocol or 'tcp'} to {local_protocol}")
    if local is not None and not 1 <= int(local) <= 65535:
        raise BadPort(f"there is no port {local}")
    if local is not None and (last or local_last) and (local, local_last) != (first, last):
        raise BadPort(f"'{said[:60]}' maps a range to another one, which is not done here")
    try:
        kind = Protocol((protocol or "tcp").lower())
    except ValueError:
        raise BadPort(f"the protocol '{protocol}' cannot be opened here") from None
    if cidr is not None:
        try:
            ipaddress.ip_network(cidr, strict=False)
        except ValueError:
            raise BadPort(f"{cidr} is no network") from None
    target = int(local) if local is not None and local != first else None
    return PortRule(low, high, kind, cidr or _EVERYWHERE, target)


def ports_text(rules: tuple[PortRule, ...]) -> str:
    """Write rules as `outports`."""
    return ",".join(_text(rule) for rule in rules)


def _text(rule: PortRule) -> str:
    head = "" if rule.remote_cidr == _EVERYWHERE else f"{rule.remote_cidr}-"
    ports = str(rule.first) if rule.first == rule.last else f"{rule.first}:{rule.last}"
    said = f"{head}{ports}/{rule.protocol.value}"
    return said if rule.target is None else f"{said}-{rule.target}/{rule.protocol.value}"
