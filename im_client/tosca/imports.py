"""From a template's `imports` to the library of types that it may use."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code
from im_client.tosca.builtin import builtin_library
from im_client.tosca.locations import Origin, Refused, Target, locate, own_types
from im_client.tosca.source import Map, Seq, Yaml, key_place, parse, value_place
from im_client.tosca.types import Kind, Library, RawType, section_kinds
from infracore.errors import InfraError, Misconfigured, NotFound, Unauthorised

__all__ = ["Importer", "collect_types", "read_repositories"]

MAX_IMPORTS: Final = 200
_KEYS: Final = frozenset({"file", "repository", "namespace_prefix", "namespace_uri", "checksum", "sha256"})


class _Reads(Protocol):
    def read(self, location: str, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class _Import:
    """One import as it is said."""

    file: str
    place: Place
    prefix: str = ""
    sha256: str = ""


@dataclass(slots=True)
class Importer:
    """Follows imports. One object serves one analysis."""

    reader: _Reads
    findings: Findings
    files: dict[str, str]
    """What was read, by location; filled here."""
    _content: set[str] = field(default_factory=set)
    _types: dict[Kind, dict[str, RawType]] = field(default_factory=dict)
    _done: set[tuple[str, str]] = field(default_factory=set)

    def library(self, version: str, documents: list[tuple[str, Map]]) -> Library:
        """Return the types that these documents (location, body) define and import, over the normative ones."""
        for location, body in documents:
            self._follow(location, body, "", (location,))
        for _, body in documents:
            self._define(body, "")
        base = builtin_library(version, tuple(sorted(self._content)))
        return Library(self._types, base) if self._types else base

    def _follow(self, location: str, body: Map, prefix: str, trail: tuple[str, ...]) -> None:
        for wanted in _read_imports(body, self.findings):
            inner = ".".join(p for p in (prefix, wanted.prefix) if p)
            target = self._locate(wanted, location)
            if target is None:
                continue
            if target.location in trail:
                chain = " -> ".join(t.rsplit("/", 1)[-1] for t in (*trail, target.location))
                self.findings.add(
                    Code.IMPORT_CYCLE, wanted.place, f"the import comes back to itself: {chain}", "remove one import"
                )
                continue
            if target.origin is Origin.CONTENT and not inner and not wanted.sha256:
                self._content.add(target.location)
                continue
            if (target.location, inner) in self._done:
                continue
            self._done.add((target.location, inner))
            if len(self._done) > MAX_IMPORTS:
                self.findings.add(Code.TOO_LARGE, wanted.place, f"more than {MAX_IMPORTS} imports")
                return
            imported = self._read(target, wanted)
            if imported is None:
                continue
            self._check(target.location, imported, wanted)
            self._follow(target.location, imported, inner, (*trail, target.location))
            self._define(imported, inner)

    def _locate(self, wanted: _Import, base: str) -> Target | None:
        try:
            return locate(wanted.file, base)
        except Refused as refusal:
            self.findings.add(Code.IMPORT_REFUSED, wanted.place, f"import refused: {refusal.message}", refusal.hint)
            return None

    def _read(self, target: Target, wanted: _Import) -> Map | None:
        try:
            text = self.reader.read(target.location)
        except NotFound as error:
            ours = own_types(wanted.file)
            if ours is not None and not wanted.prefix:
                self._content.add(ours.location)
                return None
            self._missing(Code.IMPORT_NOT_FOUND, wanted, error)
            return None
        except (Misconfigured, Unauthorised) as error:
            self._missing(Code.IMPORT_REFUSED, wanted, error)
            return None
        except InfraError as error:
            self._missing(Code.IMPORT_NOT_FOUND, wanted, error)
            return None
        digest = hashlib.sha256(text).hexdigest()
        if wanted.sha256 and digest != wanted.sha256.lower().removeprefix("sha256:"):
            self.findings.add(
                Code.IMPORT_REFUSED,
                wanted.place,
                f"{wanted.file} has not the checksum that the import states: its SHA-256 is {digest}",
                "look at what changed before you take the new checksum over",
            )
            return None
        body = parse(text, target.location, self.findings)
        if target.origin is not Origin.CONTENT:
            self.files[target.location] = text.decode("utf-8", "replace")
        return body

    def _missing(self, code: Code, wanted: _Import, error: InfraError) -> None:
        hint = error.hint or "write a path relative to this file, or an https address"
        self.findings.add(code, wanted.place, f"cannot import {wanted.file}: {error.message}", hint)

    def _check(self, location: str, body: Map, wanted: _Import) -> None:
        if "topology_template" in body:
            self.findings.warn(
                Code.IGNORED,
                wanted.place,
                f"only types are imported; the topology_template of {location.rsplit('/', 1)[-1]} is left out",
                "give it as an add-on: --add FILE",
            )

    def _define(self, body: Map, prefix: str) -> None:
        for kind, name, raw in collect_types(body, prefix, self.findings):
            names = self._types.setdefault(kind, {})
            earlier = names.get(name)
            if earlier is not None and earlier.body != raw.body:
                first = f"{earlier.place.source.file.rsplit('/', 1)[-1]}, line {earlier.place.line}"
                self.findings.warn(
                    Code.TYPE_CONFLICT,
                    raw.place,
                    f"{name} is defined twice, and not alike; the first is in {first}",
                    "this one counts; use namespace_prefix to keep both",
                )
            names[name] = raw


def collect_types(body: Map, prefix: str, findings: Findings) -> Iterator[tuple[Kind, str, RawType]]:
    """Yield the types that a document defines, by kind and whole name."""
    for section, kind in section_kinds():
        types = body.get(section)
        if types is None:
            continue
        if not isinstance(types, Map):
            findings.add(Code.NOT_A_MAP, value_place(body, section), f'"{section}" is no mapping')
            continue
        for name, body_of in types.items():
            at = key_place(types, name)
            definition = Map(at) if body_of is None else body_of
            if not isinstance(definition, Map):
                findings.add(Code.NOT_A_MAP, at, f"the definition of {name} is no mapping")
                continue
            whole = f"{prefix}.{name}" if prefix else name
            yield kind, whole, RawType(whole, kind, definition, at, prefix)


def _read_imports(body: Map, findings: Findings) -> Iterator[_Import]:
    raw = body.get("imports")
    if raw is None:
        return
    repositories = read_repositories(body, findings)
    if isinstance(raw, Map):
        items: list[tuple[Yaml, Place]] = []
        for name, value in raw.items():
            single = Map(key_place(raw, name))
            single.put(name, value, key_place(raw, name), value_place(raw, name))
            items.append((single, single.at))
    elif isinstance(raw, Seq):
        items = list(zip(raw, raw.items_at, strict=True))
    else:
        findings.add(
            Code.WRONG_TYPE, value_place(body, "imports"), '"imports" is no list', "write: imports: [ types.yaml ]"
        )
        return
    for written, place in items:
        item, at = written, place
        if isinstance(written, Map) and "file" not in written and len(written) == 1:
            ((name, item),) = written.items()
            at = value_place(written, name)
        if isinstance(item, str) and item.strip():
            yield _Import(item.strip(), at)
        elif isinstance(item, Map):
            found = _long_import(item, at, repositories, findings)
            if found is not None:
                yield found
        else:
            findings.add(
                Code.WRONG_TYPE, at, "an import is a file name or a mapping with the key file", "write: - types.yaml"
            )


def _long_import(item: Map, at: Place, repositories: Mapping[str, str], findings: Findings) -> _Import | None:
    for key in item:
        if key not in _KEYS:
            findings.add(
                Code.UNKNOWN_KEY, key_place(item, key), f'an import has the unknown key "{key}"', meant(key, _KEYS)
            )
    file = item.get("file")
    if not isinstance(file, str) or not file.strip():
        findings.add(Code.MISSING_PROPERTY, at, "an import has no file", "write: file: types.yaml")
        return None
    prefix = item.get("namespace_prefix")
    sha256 = item.get("sha256", item.get("checksum"))
    repository = item.get("repository")
    if repository is not None:
        url = repositories.get(str(repository))
        if url is None:
            findings.add(
                Code.IMPORT_NOT_FOUND,
                value_place(item, "repository"),
                f'an import names the unknown repository "{repository}"',
                meant(repository, repositories),
            )
            return None
        file = f"{url.rstrip('/')}/{file.lstrip('/')}"
    if sha256 is not None and not re.fullmatch(r"(?i)(sha256:)?[0-9a-f]{64}", str(sha256)):
        findings.add(Code.IMPORT_REFUSED, at, f"the checksum of {file} is not a SHA-256 of 64 hexadecimal digits")
        return None
    return _Import(file.strip(), value_place(item, "file"), str(prefix or ""), str(sha256 or ""))


def read_repositories(body: Map, findings: Findings) -> dict[str, str]:
    raw = body.get("repositories")
    found: dict[str, str] = {}
    if raw is None:
        return found
    if not isinstance(raw, Map):
        findings.add(Code.NOT_A_MAP, value_place(body, "repositories"), '"repositories" is no mapping')
        return found
    for name, value in raw.items():
        url = value.get("url") if isinstance(value, Map) else value
        if isinstance(url, str):
            found[name] = url
        else:
            findings.add(Code.MISSING_PROPERTY, key_place(raw, name), f'the repository "{name}" has no url')
    return found
