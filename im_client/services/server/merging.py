"""What becomes of a TOSCA template when a client sends another one for the same infrastructure.

The Infrastructure Manager merges the new one over the old one, key by key; what is not said stays. Clients make use
of it in two ways: they send the whole template with another `count`, or only what they want to add.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from im_client.template.findings import Findings
from im_client.template.problems import InvalidTemplate
from infracore.errors import NotFound

__all__ = ["Merged", "merge_templates", "template_name", "with_counts"]


@dataclass(frozen=True, slots=True)
class Merged:
    """The template to be recorded, and what the new one says of numbers of machines."""

    text: str
    counts: Mapping[str, int] = field(default_factory=dict)
    """Node template -> the `count`, else `default_instances`, that the new template states."""
    removal: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Node template -> names of machines that are to go first."""


def merge_templates(before: str, change: str, vms: Mapping[int, str]) -> Merged:
    """Merge a template over the recorded one. `vms` gives the names of the VMs that a `removal_list` numbers.

    Raises:
        InvalidTemplate: the new one is no YAML mapping. NotFound: a VM of a removal_list does not exist.
    """
    old, new = _read(before, "template.yaml"), _read(change, "change.yaml")
    counts: dict[str, int] = {}
    removal: dict[str, tuple[str, ...]] = {}
    for name, scalable in _scalable(new).items():
        count = scalable.get("count", scalable.get("default_instances"))
        if isinstance(count, int) and not isinstance(count, bool):
            counts[name] = count
        listed = scalable.pop("removal_list", None)
        if isinstance(listed, list) and listed:
            removal[name] = tuple(_name(entry, vms) for entry in listed)
    for scalable in _scalable(old).values():
        scalable.pop("removal_list", None)
    merged = _over(old, new)
    for name, names in removal.items():
        _scalable(merged)[name]["removal_list"] = list(names)
    if merged == new and not removal:
        return Merged(change, counts)  # the client's own text: its lines are those that problems speak of
    return Merged(_write(merged), counts, removal)


def with_counts(text: str, counts: Mapping[str, int]) -> str:
    """Return a template as a client may send it back: with the numbers of machines that are wanted now."""
    template = _read(text, "template.yaml")
    nodes = _nodes(template)
    is_changed = False
    for scalable in _scalable(template).values():
        is_changed |= scalable.pop("removal_list", None) is not None
    for name, count in counts.items():
        node = nodes.get(name)
        if isinstance(node, dict):
            properties = node.setdefault("capabilities", {}).setdefault("scalable", {}).setdefault("properties", {})
            # `count` is no property of the normative type; of ours `default_instances` is the next that counts
            properties["count" if "count" in properties else "default_instances"] = count
            is_changed = True
    return _write(template) if is_changed else text


_TEMPLATE_NAME: Final = re.compile(
    r"^\s*(?:template_name|name)\s*:\s*['\"]?([^'\"#\n]{1,200}?)['\"]?\s*(?:#.*)?$", re.MULTILINE
)


def template_name(text: str) -> str:
    """Return the name that a template gives itself, "" where it has none; the text is searched, not parsed."""
    found = _TEMPLATE_NAME.search(text[:100_000])
    return found[1].strip() if found else ""


def _name(entry: object, vms: Mapping[int, str]) -> str:
    said = str(entry)
    if said in vms.values():
        return said
    name = vms.get(int(said)) if said.isascii() and said.isdigit() and len(said) < 10 else None
    if name is None:
        raise NotFound(f"removal_list: there is no VM {said[:80]!r}")
    return name


def _read(text: str, name: str) -> dict[str, Any]:
    from im_client.tosca.source import parse

    findings = Findings()
    body = parse(text.encode(), name, findings)
    if body is None:
        raise InvalidTemplate(findings.all())
    plain: dict[str, Any] = _plain(body)
    return plain


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _nodes(template: Mapping[str, Any]) -> Mapping[str, Any]:
    topology = template.get("topology_template")
    nodes = topology.get("node_templates") if isinstance(topology, dict) else None
    return nodes if isinstance(nodes, dict) else {}


def _scalable(template: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the properties of the scalable capabilities that are written out, by node template."""
    found: dict[str, dict[str, Any]] = {}
    for name, node in _nodes(template).items():
        at = node
        for key in ("capabilities", "scalable", "properties"):
            at = at.get(key) if isinstance(at, dict) else None
        if isinstance(at, dict):
            found[name] = at
    return found


def _over(old: Any, new: Any) -> Any:
    if isinstance(old, dict) and isinstance(new, dict):
        return {
            **{key: _over(value, new[key]) if key in new else value for key, value in old.items()},
            **{key: value for key, value in new.items() if key not in old},
        }
    return new


def _write(template: Mapping[str, Any]) -> str:
    written: str = yaml.dump(template, Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=True, width=120)
    return written
