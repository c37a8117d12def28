"""Laying an add-on over its parent, as the dashboard of the Infrastructure Manager offers it.

Mappings are merged key by key and the add-on wins; a function (`{ get_input: x }`) and a list are taken whole. Three
lists are merged: `imports` and `policies` by name, `requirements` by name and target, but a node has one `host`.
What a template says of itself (`metadata`, `description`) stays the parent's.
"""

from typing import Final

from im_client.tosca.calls import FUNCTIONS
from im_client.tosca.source import Map, Seq, Yaml, key_place, value_place

__all__ = ["merge"]

_OF_PARENT: Final = frozenset({"metadata", "description", "tosca_definitions_version"})


def merge(parent: Map, add_on: Map) -> Map:
    """Return the parent with the add-on laid over it; neither is changed."""
    merged = parent.copy()
    for key, value in add_on.items():
        if key in _OF_PARENT and key in parent:
            continue
        merged.put(
            key,
            _over(key, parent[key], value) if key in parent else value,
            key_place(add_on, key),
            value_place(add_on, key),
        )
    return merged


def _over(key: str, old: Yaml, new: Yaml) -> Yaml:
    if isinstance(old, Map) and isinstance(new, Map):
        if _is_function(old) or _is_function(new):
            return new
        merged = old.copy()
        for name, value in new.items():
            inner = _over(name, old[name], value) if name in old else value
            merged.put(name, inner, key_place(new, name), value_place(new, name))
        return merged
    if isinstance(old, Seq) and isinstance(new, Seq):
        if key == "requirements":
            return _requirements(old, new)
        if key in {"imports", "policies"}:
            return _by_name(old, new)
    return new


def _is_function(value: Map) -> bool:
    return len(value) == 1 and next(iter(value)) in FUNCTIONS


def _requirements(old: Seq, new: Seq) -> Seq:
    """Keep the parent's requirements but those that the add-on says anew."""
    said = {_requirement_key(item) for item in new}
    hosts = any(isinstance(item, Map) and "host" in item for item in new)
    merged = Seq(new.at)
    for item, at in zip(old, old.items_at, strict=True):
        if _requirement_key(item) in said or (hosts and isinstance(item, Map) and "host" in item):
            continue
        merged.put(item, at)
    for item, at in zip(new, new.items_at, strict=True):
        merged.put(item, at)
    return merged


def _requirement_key(item: Yaml) -> tuple[str, str]:
    if not isinstance(item, Map) or not item:
        return "", repr(item)
    name, body = next(iter(item.items()))
    target = body.get("node") if isinstance(body, Map) else body
    return name, str(target)


def _by_name(old: Seq, new: Seq) -> Seq:
    said = {_name(item) for item in new}
    merged = Seq(new.at)
    for item, at in zip(old, old.items_at, strict=True):
        if _name(item) not in said:
            merged.put(item, at)
    for item, at in zip(new, new.items_at, strict=True):
        merged.put(item, at)
    return merged


def _name(item: Yaml) -> str:
    if isinstance(item, Map) and len(item) == 1:
        return next(iter(item))
    return repr(item)
