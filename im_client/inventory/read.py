"""A simple Ansible inventory, YAML or INI, as machines with their groups and variables.

Host names and groups, their variables, children: what an inventory of one's own hosts has. What only Ansible can
resolve (ranges, templates, plugins) is refused, so that nothing is silently understood otherwise than Ansible does.
"""

import re
import shlex
from collections.abc import Mapping
from typing import Any

import yaml

from im_client.inventory.build import Entry
from infracore.errors import Misconfigured

__all__ = ["read_ini", "read_yaml"]

_SECTION = re.compile(r"\[\s*([^\]:\s]+)\s*(?::\s*(vars|children)\s*)?\]")


def read_yaml(document: object) -> tuple[Entry, ...]:
    """Read the document of a YAML inventory: groups at the top, each with `hosts`, `vars` and `children`.

    Raises:
        Misconfigured: it is built otherwise.
    """
    reader = _Reader()
    for name, body in _mapping(document, "the inventory").items():
        reader.group(str(name), body, {}, ())
    return reader.entries()


def read_ini(text: str) -> tuple[Entry, ...]:
    """Read an INI inventory.

    Raises:
        Misconfigured: a line that is not understood; the message names it.
    """
    hosts: dict[str, dict[str, Any]] = {}
    members: dict[str, list[str]] = {"ungrouped": []}
    children: dict[str, list[str]] = {}
    group_vars: dict[str, dict[str, Any]] = {}
    section, kind = "ungrouped", "hosts"
    for number, line in enumerate(text.splitlines(), 1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            raise Misconfigured(f"line {number} of the inventory: {error}") from error
        if not words or line.lstrip().startswith(";"):
            continue
        head = _SECTION.fullmatch(line.partition("#")[0].strip())
        if head:
            section, kind = head[1], head[2] or "hosts"
            members.setdefault(section, [])
        elif kind == "children":
            children.setdefault(section, []).append(words[0])
        elif kind == "vars":
            group_vars.setdefault(section, {}).update([_pair(line.strip(), number)])
        else:
            host = _host(words[0])
            hosts.setdefault(host, {}).update(_pair(word, number) for word in words[1:])
            members[section].append(host)
    reader = _Reader()
    nested = {child for names in children.values() for child in names}

    def tree(name: str, above: tuple[str, ...]) -> dict[str, Any]:
        if name in above:
            raise Misconfigured(f"the group {name} of the inventory contains itself")
        inner = {child: tree(child, (*above, name)) for child in children.get(name, ())}
        own = {host: hosts[host] for host in members.get(name, ())}
        return {"hosts": own, "vars": {} if name == "all" else group_vars.get(name, {}), "children": inner}

    tops = {name: tree(name, ()) for name in members if name not in nested}
    top = {"all": {"vars": group_vars.get("all", {}), "children": tops}}
    reader.group("all", top["all"], {}, ())
    return reader.entries()


class _Reader:
    """Collects machines over all groups; variables of inner groups win, those of a machine most."""

    def __init__(self) -> None:
        self._groups: dict[str, dict[str, None]] = {}
        self._inherited: dict[str, dict[str, Any]] = {}
        self._own: dict[str, dict[str, Any]] = {}

    def group(self, name: str, body: object, inherited: Mapping[str, Any], above: tuple[str, ...]) -> None:
        if name in above:
            raise Misconfigured(f"the group {name} of the inventory contains itself")
        parts = _mapping(body, f"the group {name}")
        unknown = parts.keys() - {"hosts", "vars", "children"}
        if unknown:
            raise Misconfigured(f"the group {name} of the inventory has the unknown key {sorted(map(str, unknown))[0]}")
        variables = {**inherited, **_mapping(parts.get("vars"), f"vars of {name}")}
        groups = above if name in ("all", "ungrouped") else (*above, name)
        for host, own in _mapping(parts.get("hosts"), f"hosts of {name}").items():
            key = _host(str(host))
            self._groups.setdefault(key, {}).update(dict.fromkeys(groups))
            self._inherited.setdefault(key, {}).update(variables)
            self._own.setdefault(key, {}).update(_mapping(own, f"variables of {key}"))
        for child, inner in _mapping(parts.get("children"), f"children of {name}").items():
            self.group(str(child), inner, variables, groups)

    def entries(self) -> tuple[Entry, ...]:
        return tuple(
            Entry(host, tuple(groups), {**self._inherited[host], **self._own[host]})
            for host, groups in self._groups.items()
        )


def _mapping(value: object, what: str) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise Misconfigured(f"{what} is no mapping", "an inventory has groups with hosts, vars and children")
    return value


def _host(name: str) -> str:
    if any(sign in name for sign in "[]{}*:,"):
        raise Misconfigured(f"the host pattern {name} is not understood", "write each host on a line of its own")
    return name


def _pair(text: str, number: int) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals:
        raise Misconfigured(f"line {number} of the inventory: {text!r} is no name=value")
    try:
        return name.strip(), yaml.safe_load(value.strip())
    except yaml.YAMLError:
        return name.strip(), value.strip()
