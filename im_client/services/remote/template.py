"""A template of this computer made into one text that a server can read: add-ons, inputs and the name are in it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from im_client.radl import front as radl
from im_client.radl import text as radl_text
from im_client.services.analysis import analyse
from im_client.services.model import DeployRequest
from im_client.services.templates import FileReader, StoredReader, absolute, settle
from im_client.settings import Settings
from im_client.template.analysis import Analysis, InputDefinition, Reader
from im_client.template.findings import Findings
from im_client.template.problems import InvalidTemplate, Level, Problem
from im_client.topology.model import Topology
from im_client.topology.values import Value
from im_client.tosca.locations import SENT, Origin, Refused, locate
from im_client.tosca.merge import merge
from im_client.tosca.source import Map, parse
from infracore.content import content_folder
from infracore.errors import InfraError, InvalidUsage, Several, Unsupported
from infracore.im_rest import RADL, TOSCA, Body
from infracore.secrets import Secret

__all__ = [
    "Composed",
    "compose",
    "compose_sent",
    "refuse_here",
    "same_template",
    "sent_inputs",
    "sent_topology",
]

_CATALOGUE: Final = "https://raw.githubusercontent.com/grycap/tosca/main"
"""Where servers find the type definitions: the original fetches them, ours has them."""


@dataclass(frozen=True, slots=True)
class Composed:
    """What is sent, and what it means."""

    name: str
    body: Body
    topology: Topology
    warnings: tuple[Problem, ...] = ()
    is_radl: bool = False


def compose(settings: Settings, cwd: Path, request: DeployRequest, *, makes_values: bool = False) -> Composed:
    """Read and check a template here, and write what the server gets.

    `makes_values`: the server makes those of `random(N)` itself, and they stay out of the text.

    Raises:
        InvalidTemplate: with all problems. Unsupported: it names files of this computer, which a server cannot read,
            or something is asked that no server takes.
    """
    refuse_here(request)
    location = absolute(request.template, cwd)
    add_ons = tuple(absolute(add_on, cwd) for add_on in request.add_ons)
    return _composed(_reader(settings), location, add_ons, request, makes_values=makes_values)


def compose_sent(settings: Settings, text: str, language: str, request: DeployRequest) -> Composed:
    """Write a text that a server has sent anew, with other inputs and another name. `language`: `yaml` or `radl`.

    What it names is read as for a template that came over the network: no file of this computer.

    Raises:
        InvalidTemplate, Unsupported: as `compose`.
    """
    refuse_here(request)
    location = f"{SENT}template.{language}"
    return _composed(StoredReader({location: text}, _reader(settings)), location, (), request)


def sent_inputs(settings: Settings, text: str, language: str) -> Mapping[str, InputDefinition]:
    """Return the inputs of a template that a server has sent."""
    location = f"{SENT}template.{language}"
    return analyse(location, StoredReader({location: text}, _reader(settings)), require_inputs=False).inputs


def sent_topology(settings: Settings, radl: str) -> Topology:
    """Return what a server says in RADL that there would be.

    Raises:
        InvalidTemplate: it is none.
    """
    location = f"{SENT}planned.radl"
    analysis = analyse(location, StoredReader({location: radl}, _reader(settings)))
    if analysis.topology is None:
        raise InvalidTemplate(analysis.problems)
    return analysis.topology


def _reader(settings: Settings) -> FileReader:
    return FileReader(settings.cache_dir, offline=settings.ansible.offline)


def _composed(
    reader: Reader, location: str, add_ons: tuple[str, ...], request: DeployRequest, *, makes_values: bool = False
) -> Composed:
    analysis = analyse(location, reader, add_ons=add_ons, require_inputs=False)
    inputs = settle(request.inputs, analysis.inputs)
    if inputs or analysis.inputs:
        analysis = analyse(location, reader, add_ons=add_ons, inputs=inputs)
    warnings = tuple(problem for problem in analysis.problems if problem.level is Level.WARNING)
    topology = analysis.topology
    if topology is None or len(warnings) != len(analysis.problems):
        raise InvalidTemplate(analysis.problems)
    name = request.name or topology.name or os.path.splitext(location.rsplit("/", 1)[-1])[0]  # noqa: PTH122
    main = (location, *add_ons)
    if radl.is_radl(location, analysis.files[location].encode()):
        return Composed(name, _radl(analysis, main, inputs, name), topology, warnings, is_radl=True)
    _refuse_files(analysis, topology, main)
    if makes_values:
        inputs = {key: value for key, value in inputs.items() if key in request.inputs}
    return Composed(name, _tosca(analysis, main, inputs, name), topology, warnings)


def refuse_here(request: DeployRequest) -> None:
    """Refuse what no server takes. Raises Unsupported, InvalidUsage, Several."""
    errors: list[InfraError] = []
    if request.provider or request.provider_settings:
        hint = "the clouds of --auth-file, and the server's settings, say where machines come from"
        errors.append(Unsupported("--provider and --set are not for a server: it chooses by your credentials", hint))
    if not request.configure:
        errors.append(Unsupported("a server configures what it makes: --no-configure is not there for it"))
    if request.name is not None and (not request.name.isprintable() or "'" in request.name or len(request.name) > 63):
        errors.append(InvalidUsage(f"{request.name!r} is no name for an infrastructure"))
    if errors:
        raise errors[0] if len(errors) == 1 else Several(errors)


def _refuse_files(analysis: Analysis, topology: Topology, main: tuple[str, ...]) -> None:
    """Refuse what only this computer has; what comes with this program a server has too."""
    ours = f"{content_folder()}/"
    local = {name for name in analysis.files if "://" not in name and name not in main}
    for operation in topology.operations:
        for artifact in (operation.implementation, *operation.requires):
            if artifact.location.startswith("/") and not artifact.location.startswith(ours):
                local.add(artifact.location)
    if local:
        raise Unsupported(
            f"the template names files of this computer, which a server cannot read: {', '.join(sorted(local)[:5])}",
            "put them where an https address names them",
        )


def _tosca(analysis: Analysis, main: tuple[str, ...], inputs: Mapping[str, Value], name: str) -> Body:
    whole: Map | None = None
    findings = Findings()
    for location in main:
        text = analysis.files[location]
        if text.startswith("csar;base64,"):
            raise Unsupported(f"{location} is an archive, and servers take templates only", "send its template")
        document = parse(text.encode(), location, findings)
        if document is None:
            raise InvalidTemplate(findings.all())
        plain = _plain(document)
        _imports(plain, location)
        fresh = parse(yaml.safe_dump(plain, sort_keys=False, allow_unicode=True).encode(), location, findings)
        whole = fresh if whole is None or fresh is None else merge(whole, fresh)
    template: dict[str, Any] = _plain(whole)
    defined = template.setdefault("topology_template", {}).get("inputs") or {}
    for key, value in inputs.items():
        if isinstance(defined.get(key), dict):
            defined[key]["default"] = _said(value)
    metadata = template.get("metadata")
    said = metadata if isinstance(metadata, dict) else {}
    # the original reads infra_name, ours template_name
    template["metadata"] = {**said, "template_name": name, "infra_name": name}
    return Body(yaml.safe_dump(template, sort_keys=False, allow_unicode=True, width=120), TOSCA)


def _imports(template: dict[str, Any], location: str) -> None:
    """Name our own type definitions so that every server knows them."""
    found = template.get("imports")
    if isinstance(found, list):
        template["imports"] = [_import(item, location) for item in found]


def _import(item: Any, location: str) -> Any:
    """Return one import: a name, `{file: name}`, or either below a name of the template's own."""
    if isinstance(item, dict):
        return {
            key: _import(value, location) if key == "file" or len(item) == 1 else value for key, value in item.items()
        }
    if not isinstance(item, str) or "://" in item:
        return item
    try:
        target = locate(item, location)
    except Refused:  # the front end has said so
        return item
    return f"{_CATALOGUE}/{target.location.rsplit('/', 1)[-1]}" if target.origin is Origin.CONTENT else item


def _radl(analysis: Analysis, main: tuple[str, ...], inputs: Mapping[str, Value], name: str) -> Body:
    document = radl.recorded([(one, analysis.files[one]) for one in main], inputs)
    return Body(radl_text.write(radl.renamed(document, name)), RADL)


def same_template(mine: str, theirs: str) -> bool:
    """Whether two TOSCA templates say the same but for numbers of machines and names of the whole."""
    findings = Findings()
    one, other = parse(mine.encode(), "mine", findings), parse(theirs.encode(), "theirs", findings)
    return one is not None and other is not None and bool(_core(_plain(one)) == _core(_plain(other)))


def _core(template: Any) -> Any:
    if not isinstance(template, dict):
        return template
    kept = {key: value for key, value in template.items() if key != "metadata"}
    topology = kept.get("topology_template")
    nodes = topology.get("node_templates") if isinstance(topology, dict) else None
    for node in nodes.values() if isinstance(nodes, dict) else ():
        at = node
        for key in ("capabilities", "scalable", "properties"):
            at = at.get(key) if isinstance(at, dict) else None
        if isinstance(at, dict):
            for key in ("count", "default_instances", "removal_list"):
                at.pop(key, None)
    return _without_empty(kept)


def _without_empty(value: Any) -> Any:
    """Leave out what holds nothing: servers write `capabilities: {}` where a count has stood."""
    if isinstance(value, dict):
        found = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in found.items() if item not in ({}, None)}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value


def _said(value: Value) -> Any:
    """Return an input as YAML writes it; secrets in clear, for the server."""
    if isinstance(value, Secret):
        return value.reveal()
    if isinstance(value, Mapping):
        return {key: _said(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_said(item) for item in value]
    return str(value) if isinstance(value, str) else value
