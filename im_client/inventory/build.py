"""Machines as an Ansible inventory: JSON for runs, YAML and INI for people."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import yaml

from im_client.topology.values import Value
from infracore.secrets import Secret

__all__ = ["Entry", "document", "plain", "text_ini", "text_json", "text_yaml"]

Plain: TypeAlias = bool | int | float | str | list["Plain"] | dict[str, "Plain"] | None

_NOT_IN_A_NAME: Final = re.compile(r"[^A-Za-z0-9_]")
"""Group names of a template may hold anything; in an INI file they must not end their line."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One machine of an inventory. Variables are resolved values."""

    name: str
    groups: tuple[str, ...]
    variables: Mapping[str, Value] = field(default_factory=dict)


def plain(value: object, *, reveal: bool = False) -> Plain:
    """Return a resolved value as JSON can hold it.

    With `reveal` a secret becomes text that Ansible never takes for a template
    (`__ansible_unsafe`, the JSON form of `!unsafe`); else it becomes None.

    Raises:
        ValueError: a part is not resolved yet.
    """
    match value:
        case None | bool() | int() | float() | str():
            return value
        case Secret():
            return {"__ansible_unsafe": value.reveal()} if reveal else None
        case Mapping():
            return {str(k): plain(v, reveal=reveal) for k, v in value.items()}
        case tuple() | list():
            return [plain(v, reveal=reveal) for v in value]
        case _:
            raise ValueError(f"a value of the inventory is not known yet: {type(value).__name__}")


def document(
    entries: Sequence[Entry],
    *,
    variables: Mapping[str, Value] | None = None,
    extra_groups: Mapping[str, Iterable[str]] | None = None,
    reveal: bool = False,
) -> dict[str, Plain]:
    """Return an inventory as Ansible's yaml plugin reads it. Hosts keep their order."""
    hosts: dict[str, Plain] = {
        e.name: {k: plain(v, reveal=reveal) for k, v in e.variables.items() if reveal or not _is_secret(v)}
        for e in entries
    }
    members: dict[str, list[str]] = {}
    for entry in entries:
        for group in entry.groups:
            members.setdefault(group, []).append(entry.name)
    for group, names in (extra_groups or {}).items():
        members.setdefault(group, []).extend(names)
    children: dict[str, Plain] = {g: {"hosts": dict.fromkeys(names)} for g, names in members.items()}
    top: dict[str, Plain] = {"hosts": hosts, "children": children}
    if variables:
        top["vars"] = {k: plain(v, reveal=reveal) for k, v in variables.items()}
    return {"all": top}


def text_json(inventory: Mapping[str, Plain]) -> str:
    """Return an inventory file that Ansible reads quickly (its yaml plugin tries JSON first)."""
    return json.dumps(inventory, ensure_ascii=False, separators=(",", ":"))


def text_yaml(entries: Sequence[Entry], *, comment: str = "") -> str:
    """Return an inventory for people and `ansible -i`, without secrets."""
    body = yaml.safe_dump(document(entries), sort_keys=False, allow_unicode=True, width=110)
    return _comment(comment) + body


def text_ini(entries: Sequence[Entry], *, comment: str = "") -> str:
    """Return an inventory in INI form, without secrets. Variables that are no plain scalar are left out."""
    lines = []
    members: dict[str, list[str]] = {}
    for entry in entries:
        words = [entry.name]
        for name, value in entry.variables.items():
            if isinstance(value, bool | int | float | str):
                words.append(f"{name}={_ini(value)}")
        lines.append(" ".join(words))
        for group in entry.groups:
            members.setdefault(group, []).append(entry.name)
    for group, names in members.items():
        lines += ["", f"[{_NOT_IN_A_NAME.sub('_', group)}]", *names]
    return _comment(comment) + "\n".join(lines) + "\n"


def _comment(text: str) -> str:
    return "".join(f"# {line}\n" for line in text.splitlines())


def _ini(value: bool | int | float | str) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(c.isspace() or c in "\"'#;=[]" for c in text) else text


def _is_secret(value: Value) -> bool:
    return isinstance(value, Secret)
