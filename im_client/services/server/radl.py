"""What becomes of a RADL document, or of a TOSCA template, when a client sends RADL for the same infrastructure.

The original adds what `deploy` says to what there is, and defines what the document defines. Clients of elastic
clusters send references only (`system worker`, `deploy worker 2`), also to infrastructures that were made from TOSCA.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from im_client.radl.front import merged, read_document
from im_client.radl.model import Deploy, Document, Feature, Section
from im_client.radl.text import write
from im_client.template.findings import Findings
from im_client.template.problems import InvalidTemplate, Level
from im_client.topology.model import Topology
from infracore.errors import InvalidUsage

__all__ = ["Change", "altered", "altered_host", "merge_radl", "more_of"]


@dataclass(frozen=True, slots=True)
class Change:
    """What a document asks to be added."""

    text: str | None = None
    """The whole document to be recorded; None: as before."""
    more: Mapping[str, int] = field(default_factory=dict)
    """Group -> machines that come on top."""


def merge_radl(before: str, change: str, topology: Topology) -> Change:
    """Put a document on the recorded one, whose topology is given.

    Raises:
        InvalidTemplate: the new document has errors.
    """
    new = _read(change, "change.radl")
    more, rest = _known(new, topology)
    if not rest and not _defines(new):
        return Change(more=more)
    whole = merged((_read(before, "template.radl"), replace(new, deploys=tuple(rest))))
    return Change(write(whole), more)


def more_of(change: str, topology: Topology) -> Change:
    """Read a document that only asks for more machines of groups that there are.

    Raises:
        InvalidTemplate: it has errors. InvalidUsage: it defines something, or names no group.
    """
    new = _read(change, "change.radl")
    if _defines(new):
        raise InvalidUsage(
            "this infrastructure was made from TOSCA: RADL can only ask for more of its machines",
            "write `system NAME` and `deploy NAME 1`, or send TOSCA",
        )
    more, rest = _known(new, topology)
    if rest:
        there = ", ".join(sorted(topology.groups)) or "none"
        raise InvalidUsage(f"there are no machines {rest[0].system!r} to add to", f"there are: {there}")
    return Change(more=more)


def altered(before: str, change: str, system: str) -> str:
    """Return the recorded document with the features that another one gives its (only) system, for one of ours.

    Raises:
        InvalidTemplate: the new document has errors. InvalidUsage: it has not exactly one system with features.
    """
    features = {feature.name: feature for feature in _features(change)}
    old = _read(before, "template.radl")
    systems = tuple(_over(section, features) if section.name == system else section for section in old.systems)
    return write(replace(old, systems=systems))


def altered_host(change: str) -> Mapping[str, int | str]:
    """Return properties of a TOSCA host capability that a document asks for.

    Raises:
        InvalidTemplate, InvalidUsage: as `altered`; and for a feature that has no property here.
    """
    found: dict[str, int | str] = {}
    for feature in _features(change):
        if feature.name == "cpu.count" and isinstance(feature.value, int):
            found["num_cpus"] = feature.value
        elif feature.name in {"memory.size", "disk.0.size"} and isinstance(feature.value, int | float):
            name = "mem_size" if feature.name == "memory.size" else "disk_size"
            found[name] = f"{feature.value} {_unit(feature.unit)}"
        else:
            raise InvalidUsage(
                f"{feature.name} cannot be altered by RADL: the infrastructure was made from TOSCA", "send TOSCA"
            )
    return found


def _unit(said: str) -> str:
    """Return TOSCA's word for a unit of RADL."""
    word = said.upper().removesuffix("B")
    return "B" if not word else f"{word[0]}iB" if word.endswith("I") else f"{word}B"


def _features(change: str) -> tuple[Feature, ...]:
    systems = [section for section in _read(change, "change.radl").systems if section.features]
    if len(systems) != 1:
        raise InvalidUsage(f"{len(systems)} systems with features: to alter a VM send exactly one")
    return systems[0].features


def _over(section: Section, features: Mapping[str, Feature]) -> Section:
    kept = tuple(feature for feature in section.features if feature.name not in features)
    return replace(section, features=(*kept, *features.values()))


def _read(text: str, name: str) -> Document:
    findings = Findings()
    found = read_document(text.encode(), name, {}, findings)
    problems = findings.all()
    if found is None or any(problem.level is Level.ERROR for problem in problems):
        raise InvalidTemplate(problems)
    return found[0]


def _defines(document: Document) -> bool:
    sections = (*document.networks, *document.systems, *document.ansibles)
    return (
        any(not section.is_reference for section in sections)
        or any(not recipe.is_reference for recipe in document.recipes)
        or document.contextualize is not None
    )


def _known(document: Document, topology: Topology) -> tuple[dict[str, int], list[Deploy]]:
    """Split the deploys into those of groups that there are, and others."""
    more: dict[str, int] = {}
    rest: list[Deploy] = []
    for deploy in document.deploys:
        group = _group(deploy, topology)
        if group is None or not isinstance(deploy.count, int):
            rest.append(deploy)
        else:
            more[group] = more.get(group, 0) + deploy.count
    return more, rest


def _group(deploy: Deploy, topology: Topology) -> str | None:
    if deploy.cloud is None:
        return deploy.system if deploy.system in topology.groups else None
    special = f"{deploy.system}-{deploy.cloud}"
    if special in topology.groups:
        return special
    group = topology.groups.get(deploy.system)
    return deploy.system if group is not None and group.placement.cloud_id == deploy.cloud else None
