"""The front door of the TOSCA front end: one call from files to problems and a topology."""

import base64
from collections.abc import Mapping
from typing import Final

from im_client.template.analysis import Analysis, InputDefinition, Reader
from im_client.template.findings import Findings, Place, Source
from im_client.template.problems import Code
from im_client.topology.values import Value
from im_client.tosca.analysis import analyse_document
from im_client.tosca.csar import Archive, ArchiveReader, is_archive
from im_client.tosca.header import version_of
from im_client.tosca.imports import Importer
from im_client.tosca.inputs import Inputs, random_length
from im_client.tosca.locations import INSIDE
from im_client.tosca.merge import merge
from im_client.tosca.source import Map, parse
from im_client.tosca.values import plain
from infracore.errors import InfraError

__all__ = ["Analysis", "InputDefinition", "Reader", "analyse"]


def analyse(
    template: str,
    reader: Reader,
    *,
    add_ons: tuple[str, ...] = (),
    inputs: Mapping[str, Value] | None = None,
    counts: Mapping[str, int] | None = None,
    require_inputs: bool = True,
) -> Analysis:
    """Read, merge, validate and lower a template with its add-ons.

    Without `require_inputs` a missing required input is a warning (`im validate`).
    `counts` replaces the number of machines of groups. Safe under threads; pure but for `reader`.
    """
    findings = Findings()
    files: dict[str, str] = {}
    documents: list[tuple[str, Map]] = []
    for location in (template, *add_ons):
        opened = _open(location, reader, findings, files)
        if opened is not None:
            where, body, reader = opened
            documents.append((where, body))
    if len(documents) < 1 + len(add_ons):
        return Analysis(findings.all(), None, {}, files)
    merged = documents[0][1]
    for _, add_on in documents[1:]:
        merged = merge(merged, add_on)
    importer = Importer(reader, findings, files)
    library = importer.library(version_of(merged), documents)
    topology, read = analyse_document(
        merged,
        library,
        reader,
        findings,
        documents=frozenset(where for where, _ in documents),
        given=dict(inputs or {}),
        counts=dict(counts or {}),
        require_inputs=require_inputs,
    )
    definitions = _definitions(read)
    return Analysis(findings.all(), None if findings.has_errors else topology, definitions, files)


_PACKED: Final = "csar;base64,"
"""Begins the text that `Analysis.files` holds of an archive, which `Reader.read` may give back as it is."""


def _open(location: str, reader: Reader, findings: Findings, files: dict[str, str]) -> tuple[str, Map, Reader] | None:
    """Read a template, or the entry of a CSAR; return its location, its body and the reader to go on with."""
    start = Place(Source(location), 1, 1)
    try:
        text = reader.read(location)
        if text.startswith(_PACKED.encode()):
            text = base64.b64decode(text.removeprefix(_PACKED.encode()))
    except InfraError as error:
        findings.add(Code.UNREADABLE, start, error.message, error.hint)
        return None
    except ValueError:
        findings.add(Code.BAD_ARCHIVE, start, "the recorded archive is broken")
        return None
    if not is_archive(text):
        files[location] = text.decode("utf-8", "replace")
        body = parse(text, location, findings)
        return None if body is None else (location, body, reader)
    files[location] = _PACKED + base64.b64encode(text).decode()
    try:
        archive = Archive(text)
        entry = archive.entry()
        inner = archive.read(entry)
    except InfraError as error:
        findings.add(Code.BAD_ARCHIVE, start, error.message, error.hint)
        return None
    where = f"{location}{INSIDE}{entry}"
    body = parse(inner, where, findings)
    return None if body is None else (where, body, ArchiveReader(location, archive, reader))


def _definitions(inputs: Inputs) -> dict[str, InputDefinition]:
    return {
        name: InputDefinition(
            name=name,
            type=schema.type,
            description=schema.description,
            required=schema.required,
            default=plain(schema.default),
            has_default=schema.default is not None,
            secret=inputs.is_secret(name),
            random=random_length(schema.default),
            constraints=tuple((c.clause.value, plain(c.argument)) for c in schema.constraints),
            entry=schema.entry.type if schema.entry is not None else "",
            file=schema.place.source.file,
            line=schema.place.line,
        )
        for name, schema in inputs.schemas.items()
    }
