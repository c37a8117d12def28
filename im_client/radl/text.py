"""A document -> RADL text in its normal form: reading it again gives an equal document."""

import re
from collections.abc import Iterable, Iterator
from typing import Final

from im_client.radl.model import Contextualize, Document, Feature, FeatureValue, Operator, Recipe, Section, Unknown

__all__ = ["quoted", "write"]

_BACKSLASHES: Final = re.compile(r"(\\*)('|\Z)")


def write(document: Document) -> str:
    """Write a document: descriptions, ansible hosts, networks, systems, recipes, deploys, contextualize."""
    parts: list[str] = []
    for kind, sections in (
        ("description", document.descriptions),
        ("ansible", document.ansibles),
        ("network", document.networks),
        ("system", document.systems),
    ):
        parts += [_section(kind, section) for section in sections]
    parts += [_recipe(recipe) for recipe in document.recipes]
    if document.contextualize is not None:
        parts.append(_order(document.contextualize))
    deploys = "".join(
        f"deploy {d.system} {_scalar(d.count)}{f' {d.cloud}' if d.cloud else ''}\n" for d in document.deploys
    )
    return "\n".join([*parts, *([deploys] if deploys else [])])


def _section(kind: str, section: Section) -> str:
    if section.is_reference:
        return f"{kind} {section.name}\n"
    softs = [f"soft {soft.weight} (\n{_joined(soft.features, '    ')}\n  )" for soft in section.softs]
    body = [*_features(section.features), *softs]
    if not body:
        return f"{kind} {section.name} ()\n"
    inner = " and\n".join(f"  {one}" for one in body)
    return f"{kind} {section.name} (\n{inner}\n)\n"


def _joined(features: Iterable[Feature], indent: str) -> str:
    return " and\n".join(f"{indent}{one}" for one in _features(features))


def _features(features: Iterable[Feature]) -> Iterator[str]:
    for feature in features:
        yield f"{feature.name} {feature.operator.value} {_value(feature)}"


def _value(feature: Feature) -> str:
    value = feature.value
    if feature.operator is Operator.CONTAINS and isinstance(value, tuple):
        return f"({' and '.join(_features(f for f in value if isinstance(f, Feature)))})"
    if isinstance(value, tuple):
        return f"[{', '.join(quoted(v) for v in value if isinstance(v, str))}]"
    return f"{_scalar(value)}{feature.unit}"


def _scalar(value: FeatureValue) -> str:
    match value:
        case Unknown(name):
            return f"@input.{name}@"
        case str():
            return quoted(value)
        case float():
            return _decimal(value)
        case _:
            return str(value)


def _decimal(number: float) -> str:
    """Write a number without an exponent, which RADL does not have."""
    plain = repr(number)
    return plain if "e" not in plain else f"{number:.20f}".rstrip("0").ljust(3, "0")


def quoted(text: str) -> str:
    """Write a text in quotes; a backslash is doubled in front of a quote only."""

    def escape(match: re.Match[str]) -> str:
        return match[1] * 2 + ("\\'" if match[2] else "")

    return f"'{_BACKSLASHES.sub(escape, text)}'"


def _recipe(recipe: Recipe) -> str:
    if recipe.is_reference:
        return f"configure {recipe.name}\n"
    if not recipe.text:
        return f"configure {recipe.name} ()\n"
    return f"configure {recipe.name} (\n@begin\n{recipe.text}\n@end\n)\n"


def _order(order: Contextualize) -> str:
    head = "contextualize" if order.max_time_s is None else f"contextualize {order.max_time_s}"
    lines = [f"  option {one}" for one in _features(order.options)]
    for step in order.steps:
        line = f"  system {step.system} configure {step.recipe}"
        line += f" step {step.number}" if step.number is not None else ""
        lines.append(line + (f" with {step.tool}" if step.tool else ""))
    inner = "".join(f"{line}\n" for line in lines)
    return f"{head} (\n{inner})\n" if lines else f"{head} ()\n"
