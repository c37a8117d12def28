"""A RADL document as frozen values. Where a thing stands takes no part in comparing it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeAlias

from im_client.template.findings import Place

__all__ = [
    "Contextualize",
    "Deploy",
    "Document",
    "Feature",
    "FeatureValue",
    "Operator",
    "Recipe",
    "Section",
    "Soft",
    "Step",
    "Unknown",
    "tool_of",
]


class Operator(StrEnum):
    """How a feature is asked for."""

    EQ = "="
    GE = ">="
    LE = "<="
    GT = ">"
    LT = "<"
    CONTAINS = "contains"


@dataclass(frozen=True, slots=True)
class Unknown:
    """The value of a parameter `@input.NAME@` that nobody has given."""

    name: str


FeatureValue: TypeAlias = str | int | float | tuple[str, ...] | tuple["Feature", ...] | Unknown
"""Numbers are as written, before their unit. Features stand behind `contains`."""


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature of a section: `memory.size >= 2 GB`."""

    name: str
    operator: Operator
    value: FeatureValue
    unit: str = ""
    at: Place = field(kw_only=True, compare=False)
    value_at: Place = field(kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class Soft:
    """Features that are wished for; the weight says how much."""

    weight: int
    features: tuple[Feature, ...]
    at: Place = field(kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class Section:
    """A network, system, ansible or description. `is_reference`: it is only named, and defined elsewhere."""

    name: str
    features: tuple[Feature, ...] = ()
    softs: tuple[Soft, ...] = ()
    is_reference: bool = False
    at: Place = field(kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class Recipe:
    """A configure section; `text` is what stands between `@begin` and `@end`, without blank lines round it."""

    name: str
    text: str = ""
    is_reference: bool = False
    at: Place = field(kw_only=True, compare=False)
    text_at: Place = field(kw_only=True, compare=False)
    """The first line of the text."""
    is_folded: bool = field(default=False, kw_only=True, compare=False)
    """Whether all lines of the text stand in one, as in JSON."""


@dataclass(frozen=True, slots=True)
class Deploy:
    """Machines that are asked for."""

    system: str
    count: int | Unknown
    cloud: str | None = None
    at: Place = field(kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One line of contextualize: which recipe runs on the machines of which system, and when."""

    system: str
    recipe: str
    number: int | None = None
    tool: str | None = None
    """None is Ansible, also where it is named: readers of others do not take a step and a tool together in text."""
    at: Place = field(kw_only=True, compare=False)


def tool_of(said: str | None) -> str | None:
    """Return the tool of a step that names one."""
    return None if said is None or said.lower() == "ansible" else said


@dataclass(frozen=True, slots=True)
class Contextualize:
    """The order of recipes. With no steps and no options nothing is run."""

    max_time_s: int | None = None
    options: tuple[Feature, ...] = ()
    steps: tuple[Step, ...] = ()
    at: Place = field(kw_only=True, compare=False)


@dataclass(frozen=True, slots=True)
class Document:
    """A whole document, or several merged."""

    descriptions: tuple[Section, ...] = ()
    ansibles: tuple[Section, ...] = ()
    networks: tuple[Section, ...] = ()
    systems: tuple[Section, ...] = ()
    recipes: tuple[Recipe, ...] = ()
    deploys: tuple[Deploy, ...] = ()
    contextualize: Contextualize | None = None
