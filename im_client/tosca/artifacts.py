"""Artifacts: what an operation runs, and the roles and collections that it needs."""

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from im_client.template.findings import Findings, Place
from im_client.template.problems import Code
from im_client.topology.model import Artifact, ArtifactKind
from im_client.tosca.locations import Origin, Refused, locate_artifact
from im_client.tosca.model import Node
from im_client.tosca.source import Map, Yaml, key_place
from im_client.tosca.types import Library
from infracore.errors import InfraError

__all__ = ["Artifacts"]

_ROLE: Final = "tosca.artifacts.AnsibleGalaxy.role"
_COLLECTION: Final = "tosca.artifacts.AnsibleGalaxy.collection"
_KEYS: Final = frozenset(
    {"file", "type", "repository", "deploy_path", "description", "version", "properties", "artifact_version"}
    | {"checksum", "checksum_algorithm", "name", "primary", "dependencies", "timeout", "operation_host"}
)


class _Reads(Protocol):
    def read(self, location: str, /) -> bytes: ...
    def digest(self, location: str, /) -> str: ...


@dataclass(slots=True)
class Artifacts:
    """Resolves artifacts of one template; each file is looked for once."""

    reader: _Reads
    library: Library
    repositories: Mapping[str, str]
    findings: Findings
    _exists: dict[str, str] = field(default_factory=dict)
    """Location -> why it cannot be read, "" where it can."""
    _required: dict[str, tuple[Artifact, ...]] = field(default_factory=dict)

    def location(self, raw: Yaml, place: Place) -> str | None:
        """Return where an artifact's file lies: an absolute path or an https address. None with a problem."""
        file = raw.get("file") if isinstance(raw, Map) else raw
        if not isinstance(file, str) or not file.strip():
            self.findings.add(Code.UNKNOWN_ARTIFACT, place, "an artifact has no file", "write: file: playbook.yml")
            return None
        said = file.strip()
        repository = raw.get("repository") if isinstance(raw, Map) else None
        if isinstance(repository, str):
            url = self.repositories.get(repository)
            if url is None:
                self.findings.add(
                    Code.UNKNOWN_ARTIFACT, place, f'the artifact {said} names the unknown repository "{repository}"'
                )
                return None
            said = f"{url.rstrip('/')}/{said.lstrip('/')}"
        try:
            target = locate_artifact(said, place.source.file)
        except Refused as refusal:
            self.findings.add(Code.UNKNOWN_ARTIFACT, place, f"artifact refused: {refusal.message}", refusal.hint)
            return None
        if target.location.startswith("https://"):
            return target.location
        why = self._exists.get(target.location)
        if why is None:
            why = self._exists[target.location] = self._look(target.location)
        if why and target.origin is Origin.CONTENT:
            said_ours = f"this installation lacks {said}: {why}"
            self.findings.add(Code.UNKNOWN_ARTIFACT, place, said_ours, "install the package again")
            return None
        if why:
            self.findings.add(
                Code.UNKNOWN_ARTIFACT,
                place,
                f"the file {said} of an operation cannot be read: {why}",
                f"paths are relative to {posixpath.basename(place.source.file)}",
            )
            return None
        return target.location

    def _look(self, location: str) -> str:
        try:
            self.reader.read(location)
        except InfraError as error:
            return error.message
        return ""

    def implementation(
        self, raw: Yaml, place: Place, named: Mapping[str, tuple[Yaml, Place]]
    ) -> tuple[Artifact, tuple[Artifact, ...]] | None:
        """Return what an operation runs and what it needs besides. A name may be one of the node's artifacts."""
        primary, at = raw, place
        needs: list[Artifact] = []
        if isinstance(raw, Map) and "primary" in raw:
            primary, at = raw["primary"], raw.values_at["primary"]
            listed = raw.get("dependencies")
            for dependency in listed if isinstance(listed, list) else ():
                found = named.get(dependency) if isinstance(dependency, str) else None
                needed = self._needed(*found) if found else self._needed(dependency, at)
                if needed is not None:
                    needs.append(needed)
        if isinstance(raw, Map):
            for key in raw:
                if key not in _KEYS:
                    self.findings.add(
                        Code.UNKNOWN_KEY, key_place(raw, key), f'an implementation has the unknown key "{key}"'
                    )
        if isinstance(primary, str) and primary in named:
            primary, at = named[primary]
        where = self.location(primary, at)
        if where is None:
            return None
        kind = self._kind(primary, where)
        body = primary if isinstance(primary, Map) else Map(at)
        sha256 = body.get("checksum")
        return (
            Artifact(
                kind,
                where,
                version=_text(body.get("version")),
                sha256=sha256 if isinstance(sha256, str) else None,
                digest=self.reader.digest(where),
            ),
            tuple(needs),
        )

    def _kind(self, raw: Yaml, where: str) -> ArtifactKind:
        said = raw.get("type") if isinstance(raw, Map) else None
        full = self.library.full_name("artifact", said) if isinstance(said, str) else None
        if full in {"tosca.artifacts.Implementation.Bash", "tosca.artifacts.Implementation.Python"}:
            return ArtifactKind.SHELL
        name = where.split("?", maxsplit=1)[0].lower()
        return ArtifactKind.PLAYBOOK if name.endswith((".yml", ".yaml")) else ArtifactKind.SHELL

    def _needed(self, raw: Yaml, place: Place) -> Artifact | None:
        if not isinstance(raw, Map):
            return None
        said = raw.get("type")
        if not isinstance(said, str):
            return None
        definition = self.library.find("artifact", said)
        if definition is None:
            hint = self.library.meant("artifact", said)
            self.findings.add(Code.UNKNOWN_TYPE, place, f"an artifact has the unknown type {said}", hint)
            return None
        kinds = {_ROLE: ArtifactKind.ROLE, _COLLECTION: ArtifactKind.COLLECTION}
        kind = next((k for name, k in kinds.items() if name in definition.lineage), None)
        file = raw.get("file")
        if kind is None or not isinstance(file, str):
            return None
        return _galaxy(kind, file.strip(), _text(raw.get("version")), _text(raw.get("name")))

    def required(self, node: Node) -> tuple[Artifact, ...]:
        """Return the roles and collections among a node's artifacts."""
        known = self._required.get(node.name)
        if known is None:
            found = (self._needed(raw, place) for raw, place in node.artifacts.values())
            known = self._required[node.name] = tuple(a for a in found if a is not None)
        return known


def _galaxy(kind: ArtifactKind, file: str, version: str | None, name: str | None) -> Artifact:
    """Read `name`, `name,version`, `git+https://...|name` and `git+https://...,version|name`."""
    source, bar, alias = file.partition("|")
    location, comma, said = source.partition(",")
    return Artifact(kind, location, version=said if comma else version, name=alias if bar else name)


def _text(value: Yaml) -> str | None:
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else None
