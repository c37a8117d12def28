"""From recipes and contextualize to operations, in the order of the steps."""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from im_client.radl.jsonwriter import write
from im_client.radl.model import Document, Recipe, Step
from im_client.radl.recipes import Looked, with_included
from im_client.template.findings import Findings, Place
from im_client.template.problems import Code
from im_client.topology.model import Artifact, ArtifactKind, Operation, OperationPhase, SourceRef
from im_client.topology.values import Value

__all__ = ["INSIDE", "INTERFACE", "operations"]

INSIDE: Final = "!/"
"""Separates a document's location from a recipe in it, as in archives: `app.radl!/front.yml`."""
INTERFACE: Final = "configure"
_SECRET: Final = re.compile(r"credentials|password|proxy_")
"""Features that are not shown to recipes."""


@dataclass(frozen=True, slots=True)
class _Call:
    system: str
    recipe: Recipe
    step: int
    at: Place


def operations(
    document: Document,
    of_system: Mapping[str, tuple[str, ...]],
    looked: Mapping[str, Looked],
    requires: tuple[Artifact, ...],
    findings: Findings,
) -> tuple[Operation, ...]:
    """Return what runs: as contextualize says; without it on each system the recipe of its name.

    `of_system` has the names of the groups of each system.
    """
    recipes = {r.name: r for r in document.recipes if not r.is_reference}
    systems = [s.name for s in document.systems if not s.is_reference]
    order = document.contextualize
    if order is None:
        calls = [_Call(s, recipes[s], 1, recipes[s].at) for s in systems if s in recipes]
    else:
        calls = list(_calls(order.steps, recipes))
    _unused(recipes, calls, looked, findings, is_off=order is not None and not order.steps)
    texts = {name: recipe.text for name, recipe in recipes.items()}
    seen: dict[str, int] = {}
    found: list[Operation] = []
    for call in sorted(calls, key=lambda c: c.step):  # stable: equals stay in the order of the document
        if not call.recipe.text:
            continue
        for group in of_system.get(call.system, ()):
            name = f"{group}.{INTERFACE}.{call.recipe.name}"
            count = seen[name] = seen.get(name, 0) + 1
            found.append(
                Operation(
                    id=name if count == 1 else f"{name}#{count}",
                    component=group,
                    interface=INTERFACE,
                    operation=call.recipe.name,
                    group=group,
                    phase=OperationPhase.CONFIGURE,
                    tier=call.step,
                    implementation=_artifact(call.recipe, texts, looked),
                    inputs=_inputs(call.recipe, document, looked),
                    requires=requires,
                    where=SourceRef(call.at.source.file, call.at.line, call.at.column),
                )
            )
    return tuple(found)


def _calls(steps: Iterable[Step], recipes: Mapping[str, Recipe]) -> Iterable[_Call]:
    for step in steps:
        recipe = recipes.get(step.recipe)
        if recipe is not None and step.tool is None:
            yield _Call(step.system, recipe, step.number or 1, step.at)


def _unused(
    recipes: Mapping[str, Recipe],
    calls: Iterable[_Call],
    looked: Mapping[str, Looked],
    findings: Findings,
    *,
    is_off: bool,
) -> None:
    used: set[str] = set()
    for name in dict.fromkeys(call.recipe.name for call in calls):
        used |= set(with_included(name, looked))
    for name, recipe in recipes.items():
        if name in used or not recipe.text:
            continue
        said = f'the recipe "{name}" runs nowhere'
        why = ": contextualize is empty" if is_off else ""
        hint = "" if is_off else f"add to contextualize: system NAME configure {name}"
        findings.warn(Code.IGNORED, recipe.at, said + why, hint)


def _artifact(recipe: Recipe, texts: Mapping[str, str], looked: Mapping[str, Looked]) -> Artifact:
    """Return where the recipe lies: in its document. What it includes counts for the digest."""
    whole = hashlib.sha256()
    for name in with_included(recipe.name, looked):
        whole.update(f"{name}\0{texts.get(name, '')}\0".encode())
    location = f"{recipe.at.source.file}{INSIDE}{recipe.name}.yml"
    return Artifact(ArtifactKind.PLAYBOOK, location, digest=whole.hexdigest())


def _inputs(recipe: Recipe, document: Document, looked: Mapping[str, Looked]) -> dict[str, Value]:
    """Return what the recipe reads of the document itself; what it reads of machines is in the inventory."""
    words = {word for name in with_included(recipe.name, looked) for word in looked[name].variables}
    return {"IM_INFRASTRUCTURE_RADL": _plain(document)} if "IM_INFRASTRUCTURE_RADL" in words else {}


def _plain(document: Document) -> Value:
    """Return networks, systems and deploys with `_` for the dots in names, and without credentials."""
    shown = Document(networks=document.networks, systems=document.systems, deploys=document.deploys)
    return tuple(_value(item) for item in write(shown))


def _value(said: object) -> Value:
    match said:
        case dict():
            return {str(k).replace(".", "_"): _value(v) for k, v in said.items() if not _SECRET.search(str(k))}
        case list():
            return tuple(_value(v) for v in said)
        case str() | int() | float() | None:
            return said
        case _:
            return str(said)
