"""The types that are always there: the normative ones and ours, read once per process and never changed.

The normative definitions are tosca-parser's YAML files, taken as data (its code is not imported: it keeps state in
class attributes). `normative.yaml` beside this file adds what TOSCA 1.1 to 1.3 have and tosca-parser has not.
"""

import importlib.util
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Final

from im_client.template.findings import Findings
from im_client.tosca.source import Map, Seq, parse
from im_client.tosca.types import Kind, Library, RawType, section_kinds
from infracore.errors import Misconfigured

__all__ = ["PROFILES", "VERSIONS", "builtin_library"]

VERSIONS: Final = (
    "tosca_simple_yaml_1_0",
    "tosca_simple_yaml_1_1",
    "tosca_simple_yaml_1_2",
    "tosca_simple_yaml_1_3",
)
PROFILES: Final[Mapping[str, str]] = {
    "tosca_simple_profile_for_nfv_1_0_0": "extensions/nfv/TOSCA_nfv_definition_1_0_0.yaml",
    "tosca_simple_profile_for_mec_1_0_0": "extensions/mec/TOSCA_mec_definition_1_0_0.yaml",
}
"""Profiles that tosca-parser knows besides: the file with their types."""

_lock = Lock()


def builtin_library(version: str, content: tuple[str, ...]) -> Library:
    """Return the normative types of a version with those of our own type files (absolute paths) above them."""
    with _lock:
        base = _normative(PROFILES.get(version, ""))
        return _with_content(PROFILES.get(version, ""), content) if content else base


@lru_cache(maxsize=4)
def _normative(profile: str) -> Library:
    spec = importlib.util.find_spec("toscaparser")
    if spec is None or not spec.submodule_search_locations:
        raise Misconfigured("tosca-parser is not installed", "install the package again")
    parser = Path(next(iter(spec.submodule_search_locations)))
    types: dict[Kind, dict[str, RawType]] = {}
    _read(parser / "elements" / "TOSCA_definition.yaml", types)
    _read(Path(__file__).parent / "normative.yaml", types)
    if profile:
        _read(parser / profile, types)
    return Library(types)


@lru_cache(maxsize=16)
def _with_content(profile: str, content: tuple[str, ...]) -> Library:
    types: dict[Kind, dict[str, RawType]] = {}
    seen: set[Path] = set()
    queue = [Path(c) for c in content]
    while queue:
        path = queue.pop(0)
        if path in seen:
            continue
        seen.add(path)
        body = _read(path, types)
        imports = body.get("imports")
        for item in imports if isinstance(imports, Seq) else ():
            said = next(iter(item.values())) if isinstance(item, Map) and item else item
            if isinstance(said, str) and (path.parent / said).is_file():
                queue.append((path.parent / said).resolve())
    return Library(types, _normative(profile))


def _read(path: Path, types: dict[Kind, dict[str, RawType]]) -> Map:
    findings = Findings()
    try:
        body = parse(path.read_bytes(), str(path), findings)
    except OSError as error:
        raise Misconfigured(f"cannot read the type definitions {path}: {error.strerror}", "install again") from error
    if body is None or findings.has_errors:
        raise Misconfigured(f"the type definitions are broken: {'; '.join(str(p) for p in findings.all())}")
    for section, kind in section_kinds():
        definitions = body.get(section)
        if isinstance(definitions, Map):
            for name, definition in definitions.items():
                inner = definition if isinstance(definition, Map) else Map(definitions.at)
                types.setdefault(kind, {})[name] = RawType(name, kind, inner, definitions.keys_at[name])
    return body
