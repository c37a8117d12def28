"""A document -> RADL in JSON: sizes in bytes, bounds as keys that end with `_min` and `_max`, as servers have it."""

from collections.abc import Iterable
from typing import TypeAlias

from im_client.radl.features import UNITS, size_of
from im_client.radl.model import Contextualize, Document, Feature, FeatureValue, Operator, Section, Step, Unknown

__all__ = ["Json", "write"]

Json: TypeAlias = "str | int | float | bool | list[Json] | dict[str, Json] | None"


def write(document: Document) -> list[Json]:
    """Return a document as the list of objects that JSON makes of it: sizes in bytes, bounds as `_min` and `_max`."""
    found: list[Json] = []
    for kind, sections in (
        ("description", document.descriptions),
        ("ansible", document.ansibles),
        ("network", document.networks),
        ("system", document.systems),
    ):
        found += [_section_json(kind, section) for section in sections]
    for recipe in document.recipes:
        made: dict[str, Json] = {"class": "configure", "id": recipe.name}
        made |= {"reference": True} if recipe.is_reference else {"recipes": f"{recipe.text}\n" if recipe.text else None}
        found.append(made)
    for deploy in document.deploys:
        count = f"@input.{deploy.count.name}@" if isinstance(deploy.count, Unknown) else deploy.count
        made = {"class": "deploy", "system": deploy.system, "vm_number": count}
        found.append(made | ({"cloud": deploy.cloud} if deploy.cloud else {}))
    if document.contextualize is not None:
        found.append(_order_json(document.contextualize))
    return found


def _section_json(kind: str, section: Section) -> dict[str, Json]:
    made: dict[str, Json] = {"class": kind, "id": section.name}
    if section.is_reference:
        return made | {"reference": True}
    made |= _features_json(section.features)
    if section.softs:
        made["softs"] = [{"weight": s.weight, "items": dict(_features_json(s.features))} for s in section.softs]
    return made


def _features_json(features: Iterable[Feature]) -> dict[str, Json]:
    made: dict[str, Json] = {}
    for feature in features:
        value = feature.value
        if feature.operator is Operator.CONTAINS and isinstance(value, tuple):
            listed = made.setdefault(feature.name, [])
            inner = _features_json(f for f in value if isinstance(f, Feature))
            if isinstance(listed, list):
                listed.append(inner)
            continue
        key = feature.name
        if feature.operator in {Operator.GE, Operator.GT} and not isinstance(value, str):
            key += "_min"
        elif feature.operator in {Operator.LE, Operator.LT} and not isinstance(value, str):
            key += "_max"
        made[key] = _scalar_json(value, feature.unit)
    return made


def _scalar_json(value: FeatureValue, unit: str) -> Json:
    match value:
        case Unknown(name):
            return f"@input.{name}@"
        case tuple():
            return [item for item in value if isinstance(item, str)]
        case int() | float() if unit.upper() in UNITS and unit:
            size = size_of(value, unit)
            return value if size is None else size
        case _:
            return value


def _order_json(order: Contextualize) -> dict[str, Json]:
    made: dict[str, Json] = {"class": "contextualize"}
    if order.max_time_s is not None:
        made["max_time"] = order.max_time_s
    if order.options:
        made["options"] = dict(_features_json(order.options))
    if order.steps:
        made["items"] = [_step_json(step) for step in order.steps]
    return made


def _step_json(step: Step) -> dict[str, Json]:
    made: dict[str, Json] = {"system": step.system, "configure": step.recipe}
    made |= {"step": step.number} if step.number is not None else {}
    return made | ({"ctxt_tool": step.tool} if step.tool else {})
