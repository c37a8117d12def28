"""Security groups: one in which the machines of an infrastructure reach each other, and one a set of open ports."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from im_client.providers.cloud.kept import Kept
from im_client.providers.cloud.model import Rule
from im_client.providers.openstack.api import Api
from im_client.providers.openstack.marks import described, digest, named_for
from infracore.errors import Conflict

__all__ = ["Firewall"]

_INSIDE: Final = "inside"
_Wire = Mapping[str, Any]
_SAME: Final = ("direction", "ethertype", "protocol", "port_range_min", "port_range_max", "remote_ip_prefix")


class Firewall:
    """The groups of one project. Safe under threads."""

    def __init__(self, api: Api, kept: Kept) -> None:
        self._api = api
        self._kept = kept

    def groups(self, infrastructure: str, rules: Sequence[Rule]) -> tuple[str, str]:
        """Return the ids of the two groups of a machine: found, or made by two requests a group."""
        words = [f"{rule.protocol}/{rule.first}-{rule.last}@{rule.remote_cidr}" for rule in rules]
        return (
            self._group(infrastructure, _INSIDE, _among),
            self._group(infrastructure, digest(words), lambda _: [_wire(rule) for rule in rules]),
        )

    def _group(self, infrastructure: str, what: str, rules: Callable[[str], Sequence[_Wire]]) -> str:
        name = named_for(infrastructure, what)
        return self._kept.get(("group", infrastructure, what), lambda: self._found_or_made(infrastructure, name, rules))

    def _found_or_made(self, infrastructure: str, name: str, rules: Callable[[str], Sequence[_Wire]]) -> str:
        group = self._find(name)
        if group is None:
            new = {"name": name, "description": described(infrastructure)}
            self._api.post("network", "/security-groups", {"security_group": new})
            group = self._find(name) or {}  # where another process was quicker, its group is the first
        made = str(group.get("id", ""))
        there = {_key(rule, made) for rule in group.get("security_group_rules") or ()}
        missing = [{**rule, "security_group_id": made} for rule in rules(made) if _key(rule, made) not in there]
        if missing:
            try:
                self._api.post("network", "/security-group-rules", {"security_group_rules": missing})
            except Conflict:  # the same rule by another process: one by one, then, each may be there
                self._add_each(missing)
        return made

    def _add_each(self, rules: Sequence[_Wire]) -> None:
        for rule in rules:
            try:
                self._api.post("network", "/security-group-rules", {"security_group_rule": rule})
            except Conflict:
                continue

    def _find(self, name: str) -> dict[str, Any] | None:
        """Return the first of the groups of a name: the others are removed with the infrastructure."""
        query = {"name": name, "project_id": self._api.project_id}
        found = self._api.all("network", "/security-groups", "security_groups", query)
        return min(found, key=lambda group: (str(group.get("created_at", "")), str(group.get("id", ""))), default=None)


def _among(group: str) -> list[_Wire]:
    versions = ("IPv4", "IPv6")
    return [{"direction": "ingress", "ethertype": version, "remote_group_id": group} for version in versions]


def _wire(rule: Rule) -> _Wire:
    version = 6 if ":" in rule.remote_cidr else 4
    protocol = "ipv6-icmp" if rule.protocol == "icmp" and version == 6 else rule.protocol
    ports = {} if rule.protocol == "icmp" else {"port_range_min": rule.first, "port_range_max": rule.last}
    return {
        "direction": "ingress",
        "ethertype": f"IPv{version}",
        "protocol": protocol,
        "remote_ip_prefix": rule.remote_cidr,
        **ports,
    }


def _key(rule: _Wire, group: str) -> tuple[object, ...]:
    anywhere = rule.get("remote_ip_prefix") in {None, "0.0.0.0/0", "::/0"} and not rule.get("remote_group_id")
    prefix = "any" if anywhere else rule.get("remote_ip_prefix")
    return (*(rule.get(key) for key in _SAME[:-1]), prefix, rule.get("remote_group_id") == group)
