"""The front door of the RADL front end: one call from files to problems and a topology."""

import posixpath
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final, TypeVar

from im_client.radl import jsonreader, marks, parser
from im_client.radl.check import check_document, check_duplicates
from im_client.radl.lexer import PARAMETER, decode, tokens
from im_client.radl.machines import groups, networks, requirements
from im_client.radl.model import Document, Feature, Operator, Recipe, Section
from im_client.radl.order import operations
from im_client.radl.recipes import look_at_all
from im_client.template.analysis import Analysis, InputDefinition, Reader
from im_client.template.findings import Findings, Place, Source, meant
from im_client.template.problems import Code, Level
from im_client.topology.model import Topology
from im_client.topology.values import Value
from infracore.errors import InfraError
from infracore.secrets import Secret

__all__ = ["analyse", "is_radl", "merged", "read_document", "recipe_texts", "recorded", "renamed"]

_BEGINS: Final = re.compile(
    r"(?:\s|#[^\n]*\n)*"
    r"(?:(?:network|system|ansible|description|configure)\s+[^\W\d][\w.\-]*\s*(?:\(|\n|\Z)"
    r"|deploy\s+[^\W\d][\w.\-]*\s+[\d@]|contextualize\s*\d*\s*\()"
)
_SECRET_NAMES: Final = re.compile(r"password|secret|token|private_key|passwd", re.IGNORECASE)


def is_radl(location: str, text: bytes) -> bool:
    """Say whether a file is RADL, as text or JSON: by its name, else by how it begins."""
    name = location.split("?", maxsplit=1)[0].lower()
    if name.endswith(".radl"):
        return True
    if name.endswith((".yaml", ".yml", ".csar", ".zip")):
        return False
    head = text[:65536].removeprefix(b"\xef\xbb\xbf").lstrip()
    if head[:1] == b"[":
        return True
    if head[:1] == b"{":
        return re.match(rb'\{\s*"class"\s*:', head) is not None or name.endswith((".json", ".jsn"))
    return _BEGINS.match(head.decode("utf-8", "replace")) is not None


def read_document(
    text: bytes, location: str, inputs: Mapping[str, str], findings: Findings
) -> tuple[Document, dict[str, Place]] | None:
    """Read one document and the parameters in it; None with a problem recorded where it cannot be read at all."""
    source = decode(text, location, findings)
    if source is None:
        return None
    if not _is_json(source):
        found, parameters = tokens(source, inputs, findings)
        return parser.parse(found, findings), parameters
    root = marks.parse(source, findings)
    if root is None:
        return None
    places: dict[str, Place] = {}
    for number, line in enumerate(source.lines, start=1):
        for match in PARAMETER.finditer(line):
            places.setdefault(match[1], Place(source, number, match.start() + 1))
    return jsonreader.read(root, inputs, findings), places


def _is_json(source: Source) -> bool:
    for line in source.lines:
        if line.strip():
            return line.lstrip()[0] in "[{"
    return False


def analyse(
    template: str,
    reader: Reader,
    *,
    add_ons: tuple[str, ...] = (),
    inputs: Mapping[str, Value] | None = None,
    counts: Mapping[str, int] | None = None,
    require_inputs: bool = True,
) -> Analysis:
    """Read a document with its add-ons, check it and lower it; the arguments are those of `tosca.front.analyse`.

    An add-on defines further sections, or others in place of those of the same name; its deploys come on top.
    """
    findings = Findings()
    files: dict[str, str] = {}
    given = _texts(inputs or {})
    documents: list[Document] = []
    parameters: dict[str, Place] = {}
    for location in (template, *add_ons):
        text = _open(location, reader, findings, files)
        read = None if text is None else read_document(text, location, given, findings)
        if read is not None:
            check_duplicates(read[0], findings)
            documents.append(read[0])
            parameters = {**read[1], **parameters}
    definitions = {name: _definition(name) for name in parameters}
    if len(documents) < 1 + len(add_ons):
        return Analysis(findings.all(), None, definitions, files)
    _check_inputs(parameters, given, template, findings, require=require_inputs)
    document = merged(documents)
    check_document(document, findings)
    looked = look_at_all(document, findings)
    nets = networks(document)
    machines, of_system = groups(document, nets, counts or {}, findings)
    for name in counts or {}:
        if name not in machines:
            place = Place(Source(template), 1, 1)
            findings.add(Code.UNKNOWN_NODE, place, f'there are no machines "{name}" to count')
    steps = operations(document, of_system, looked, requirements(document), findings)
    topology = Topology(
        name=_name(document, template),
        description=_description(document),
        groups=machines,
        networks=nets,
        operations=steps,
        input_count=len(definitions),
    )
    return Analysis(findings.all(), None if findings.has_errors else topology, definitions, files)


def _open(location: str, reader: Reader, findings: Findings, files: dict[str, str]) -> bytes | None:
    try:
        text = reader.read(location)
    except InfraError as error:
        findings.add(Code.UNREADABLE, Place(Source(location), 1, 1), error.message, error.hint)
        return None
    files[location] = text.decode("utf-8", "replace")
    return text


def _texts(inputs: Mapping[str, Value]) -> dict[str, str]:
    """Return the values of parameters as text: they are put into the document as they are."""
    found: dict[str, str] = {}
    for name, value in inputs.items():
        if isinstance(value, Secret):
            found[name] = value.reveal()
        elif isinstance(value, bool):
            found[name] = "yes" if value else "no"
        elif isinstance(value, str | int | float):
            found[name] = str(value)
    return found


def _definition(name: str) -> InputDefinition:
    return InputDefinition(name, "string", secret=_SECRET_NAMES.search(name) is not None)


def _check_inputs(
    parameters: Mapping[str, Place], given: Mapping[str, str], template: str, findings: Findings, *, require: bool
) -> None:
    for name, place in parameters.items():
        if name not in given:
            level = Level.ERROR if require else Level.WARNING
            said = f'the parameter "{name}" has no value'
            findings.add(Code.MISSING_INPUT, place, said, f"give one: -i {name}=VALUE", level)
    for name in given:
        if name not in parameters:
            said = f'there is no parameter "{name}"'
            findings.add(Code.UNKNOWN_INPUT, Place(Source(template), 1, 1), said, meant(name, parameters))


_S = TypeVar("_S", Section, Recipe)


def merged(documents: Iterable[Document]) -> Document:
    """Put documents one on another: a later definition takes the place of an earlier one, deploys come on top."""
    whole = Document()
    for document in documents:
        order, more = whole.contextualize, document.contextualize
        if order is not None and more is not None:
            more = replace(
                more,
                max_time_s=more.max_time_s or order.max_time_s,
                options=(*order.options, *more.options),
                steps=(*order.steps, *more.steps),
            )
        whole = Document(
            descriptions=(*whole.descriptions, *document.descriptions),
            ansibles=_defined(whole.ansibles, document.ansibles),
            networks=_defined(whole.networks, document.networks),
            systems=_defined(whole.systems, document.systems),
            recipes=_defined(whole.recipes, document.recipes),
            deploys=(*whole.deploys, *document.deploys),
            contextualize=more or order,
        )
    return whole


def _defined(before: tuple[_S, ...], after: tuple[_S, ...]) -> tuple[_S, ...]:
    found = {one.name: one for one in before}
    for one in after:
        if not one.is_reference or one.name not in found:
            found[one.name] = one
    return tuple(found.values())


def _name(document: Document, template: str) -> str:
    if document.descriptions:
        return document.descriptions[0].name
    return posixpath.splitext(posixpath.basename(template))[0] or "radl"


def _description(document: Document) -> str:
    for section in document.descriptions:
        for name in ("short", "name", "content"):
            for feature in section.features:
                if feature.name == name and isinstance(feature.value, str):
                    return feature.value.strip()
    return ""


def recorded(files: Iterable[tuple[str, str]], inputs: Mapping[str, Value]) -> Document:
    """Read documents (location, text) that were checked before, and put them one on another."""
    findings = Findings()
    given = _texts(inputs)
    read = (read_document(text.encode(), location, given, findings) for location, text in files)
    return merged(one[0] for one in read if one is not None)


def renamed(document: Document, name: str) -> Document:
    """Return a document whose description says another name."""
    nowhere = Place(Source(""), 1, 1)
    said = document.descriptions[0] if document.descriptions else Section("template", at=nowhere)
    kept = tuple(feature for feature in said.features if feature.name != "name")
    called = Feature("name", Operator.EQ, name, at=nowhere, value_at=nowhere)
    return replace(document, descriptions=(replace(said, features=(called, *kept)),))


def recipe_texts(files: Iterable[tuple[str, str]], inputs: Mapping[str, Value]) -> dict[str, str]:
    """Return the recipes of documents (location, text) by name, later ones in place of earlier ones.

    Ansible finds a recipe that another one includes as NAME.yml beside it.
    """
    return {recipe.name: recipe.text for recipe in recorded(files, inputs).recipes if not recipe.is_reference}
