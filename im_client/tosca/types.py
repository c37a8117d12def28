"""The type hierarchy: raw definitions by name, flattened along `derived_from` when they are asked for.

A `Library` is immutable but for its memory of flattened types, which any thread may fill: the same input gives
the same value, and a dict takes it at once. The libraries of the normative types and of our own are shared by all
analyses of a process; a template with types of its own gets a library on top of them.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code
from im_client.tosca.interfaces import Interface, read_interfaces
from im_client.tosca.schema import Constraint, Schema, read_constraints, read_schema
from im_client.tosca.source import Map, Seq, Yaml, key_place, value_place

__all__ = [
    "CapabilityDefinition",
    "Kind",
    "Library",
    "RawType",
    "RequirementDefinition",
    "TypeDefinition",
    "section_kinds",
]

Kind = str
"""`node`, `capability`, `relationship`, `data`, `interface`, `artifact`, `policy` or `group`."""

_KINDS: Final = ("node", "capability", "relationship", "data", "interface", "artifact", "policy", "group")
_SPACES: Final[Mapping[Kind, tuple[str, ...]]] = {
    "node": ("tosca.nodes.", "tosca.nodes.network.", "tosca.nodes.Storage."),
    "capability": ("tosca.capabilities.", "tosca.capabilities.network."),
    "relationship": ("tosca.relationships.", "tosca.relationships.network."),
    "data": ("tosca.datatypes.", "tosca.datatypes.network."),
    "interface": ("tosca.interfaces.", "tosca.interfaces.node.lifecycle.", "tosca.interfaces.relationship."),
    "artifact": ("tosca.artifacts.",),
    "policy": ("tosca.policies.",),
    "group": ("tosca.groups.",),
}
MAX_ANCESTORS: Final = 40


def section_kinds() -> Iterator[tuple[str, Kind]]:
    """Yield each section of a file that defines types, with the kind of them: `node_types`, `node`."""
    return ((f"{kind}_types", kind) for kind in _KINDS)


@dataclass(frozen=True, slots=True, eq=False)
class RawType:
    """A type as a file defines it. `scope` is the namespace prefix of its import, `origin` the file."""

    name: str
    kind: Kind
    body: Map
    place: Place
    scope: str = ""


@dataclass(frozen=True, slots=True)
class CapabilityDefinition:
    """What a node type offers."""

    name: str
    type: str
    properties: Mapping[str, Schema]
    attributes: Mapping[str, Schema]
    lineage: frozenset[str]
    place: Place


@dataclass(frozen=True, slots=True)
class RequirementDefinition:
    """What a node type needs. `occurrences` is None where the type does not say: at least one."""

    name: str
    capability: str
    node: str | None
    relationship: str | None
    occurrences: tuple[int, int | None] | None
    relationship_interfaces: Map | None
    node_filter: Map | None
    place: Place

    @property
    def least(self) -> int:
        """How many there must be."""
        return 1 if self.occurrences is None else self.occurrences[0]

    @property
    def most(self) -> int | None:
        """How many there may be; None for any number."""
        return None if self.occurrences is None else self.occurrences[1]


@dataclass(frozen=True, slots=True, eq=False)
class TypeDefinition:
    """A type with all that it inherits. `lineage` holds its own name and those of its ancestors."""

    name: str
    kind: Kind
    place: Place
    ancestors: tuple[str, ...]
    lineage: frozenset[str]
    properties: Mapping[str, Schema] = field(default_factory=dict)
    attributes: Mapping[str, Schema] = field(default_factory=dict)
    capabilities: Mapping[str, CapabilityDefinition] = field(default_factory=dict)
    requirements: Mapping[str, RequirementDefinition] = field(default_factory=dict)
    interfaces: Mapping[str, Interface] = field(default_factory=dict)
    artifacts: Mapping[str, tuple[Yaml, Place]] = field(default_factory=dict)
    base: str | None = None
    """The simple type that a data type refines."""
    constraints: tuple[Constraint, ...] = ()
    valid_targets: tuple[str, ...] = ()
    problems: tuple[tuple[Code, Place, str, str], ...] = ()

    def derives_from(self, name: str) -> bool:
        """Say whether it is this type or one derived from it."""
        return name in self.lineage


class Library:
    """Types by kind and name."""

    def __init__(self, types: Mapping[Kind, Mapping[str, RawType]], below: "Library | None" = None) -> None:
        self._own = types
        self._below = below
        self._flat: dict[tuple[Kind, str], TypeDefinition] = {}
        self._names: dict[tuple[Kind, str, str], str | None] = {}
        # A type below may be derived from one that is defined anew here: then nothing flattened below holds.
        self._overrides = below is not None and any(below.has(k, n) for k, names in types.items() for n in names)

    def has(self, kind: Kind, name: str) -> bool:
        """Say whether a type of exactly this name is defined."""
        return name in self._own.get(kind, ()) or (self._below is not None and self._below.has(kind, name))

    def raw(self, kind: Kind, name: str) -> RawType | None:
        """Return the definition as written, of the exact name."""
        found = self._own.get(kind, {}).get(name)
        return found if found is not None or self._below is None else self._below.raw(kind, name)

    def names(self, kind: Kind) -> set[str]:
        """Return the names of all types of a kind."""
        below = self._below.names(kind) if self._below is not None else set()
        return below | set(self._own.get(kind, {}))

    def own(self) -> Iterator[RawType]:
        """Yield the types of this library alone, without those below."""
        for names in self._own.values():
            yield from names.values()

    def full_name(self, kind: Kind, name: str, scope: str = "") -> str | None:
        """Return the whole name of a type that may be written short (`Compute`, `tosca:Compute`, `ns:Type`)."""
        wanted = (kind, name, scope)
        if wanted not in self._names:
            self._names[wanted] = self._look_up(kind, name, scope)
        return self._names[wanted]

    def _look_up(self, kind: Kind, name: str, scope: str) -> str | None:
        plain = name.removeprefix("tosca:").replace(":", ".")
        candidates = [f"{scope}.{plain}"] if scope else []
        candidates += [plain, *(space + plain for space in _SPACES[kind])]
        return next((c for c in candidates if self.has(kind, c)), None)

    def find(self, kind: Kind, name: str, scope: str = "") -> TypeDefinition | None:
        """Return the flattened type, or None where there is none of the name."""
        full = self.full_name(kind, name, scope)
        return None if full is None else self._flatten(kind, full)

    def meant(self, kind: Kind, name: str) -> str:
        """Return a hint for a type that does not exist."""
        hint = meant(name, self.names(kind)) if len(name) < 200 else ""
        return hint if hint.startswith("did") else "check the name, or import the file that defines it"

    def _flatten(self, kind: Kind, name: str) -> TypeDefinition:
        known = self._flat.get((kind, name))
        if known is not None:
            return known
        if self._below is not None and not self._overrides and name not in self._own.get(kind, ()):
            return self._below._flatten(kind, name)
        lineage, problems = self._lineage(kind, name)
        made = _Flattening(self, kind, problems).flatten(lineage)
        return self._flat.setdefault((kind, name), made)

    def _lineage(self, kind: Kind, name: str) -> tuple[list[RawType], list[tuple[Code, Place, str, str]]]:
        """Return a type and its ancestors, nearest first, and what is wrong with the chain."""
        chain: list[RawType] = []
        problems: list[tuple[Code, Place, str, str]] = []
        current = self.raw(kind, name)
        while current is not None:
            chain.append(current)
            parent = current.body.get("derived_from")
            if parent is None or (kind == "data" and _simple(parent) is not None):
                break
            at = value_place(current.body, "derived_from")
            if not isinstance(parent, str):
                problems.append((Code.WRONG_TYPE, at, f'"derived_from" of {current.name} is no type name', ""))
                break
            full = self.full_name(kind, parent, current.scope)
            if full is None:
                said = f"{current.name} is derived from the unknown {kind} type {parent}"
                problems.append((Code.UNKNOWN_TYPE, at, said, self.meant(kind, parent)))
                break
            if any(c.name == full for c in chain) or len(chain) >= MAX_ANCESTORS:
                said = f"{chain[0].name} is derived from itself: {' -> '.join([c.name for c in chain] + [full])}"
                problems.append((Code.TYPE_CYCLE, at, said, "remove one derived_from"))
                break
            current = self.raw(kind, full)
        return chain, problems


class _Flattening:
    """Flattens one type; problems are kept with the type, as reports of it come whenever it is used."""

    def __init__(self, library: Library, kind: Kind, problems: list[tuple[Code, Place, str, str]]) -> None:
        self._library = library
        self._kind = kind
        self._problems = problems
        self._findings = Findings()

    def flatten(self, chain: list[RawType]) -> TypeDefinition:
        """Put the parts of a type and its ancestors together; the nearer wins."""
        nearest = chain[0]
        properties: dict[str, Schema] = {}
        attributes: dict[str, Schema] = {}
        capabilities: dict[str, CapabilityDefinition] = {}
        requirements: dict[str, RequirementDefinition] = {}
        interfaces: dict[str, Interface] = {}
        artifacts: dict[str, tuple[Yaml, Place]] = {}
        constraints: tuple[Constraint, ...] = ()
        base: str | None = None
        targets: tuple[str, ...] = ()
        for raw in reversed(chain):
            properties |= self._schemas(raw, "properties")
            attributes |= self._schemas(raw, "attributes")
            if self._kind == "node":
                capabilities |= self._capabilities(raw)
                requirements |= self._requirements(raw)
            if self._kind in {"node", "relationship", "group"}:
                interfaces = read_interfaces(
                    raw.body.get("interfaces"), value_place(raw.body, "interfaces"), interfaces, self._findings
                )
            artifacts |= self._artifacts(raw)
            if self._kind == "data":
                kind = raw.body.get("type")
                base = kind if isinstance(kind, str) else base
                constraints += read_constraints(
                    raw.name,
                    raw.body.get("constraints"),
                    value_place(raw.body, "constraints"),
                    self._findings,
                )
                base = base or _simple(raw.body.get("derived_from"))
            valid = raw.body.get("valid_target_types")
            targets = tuple(v for v in valid if isinstance(v, str)) if isinstance(valid, Seq) else targets
        problems = [(p.code, p.place, p.message, p.hint) for p in self._findings.placed()]
        names = tuple(raw.name for raw in chain)
        return TypeDefinition(
            name=nearest.name,
            kind=self._kind,
            place=nearest.place,
            ancestors=names,
            lineage=frozenset(names),
            properties=properties,
            attributes=attributes,
            capabilities=capabilities,
            requirements=requirements,
            interfaces=interfaces,
            artifacts=artifacts,
            base=base,
            constraints=constraints,
            valid_targets=targets,
            problems=(*self._problems, *problems),
        )

    def _section(self, raw: RawType, key: str) -> Map | None:
        section = raw.body.get(key)
        if section is None or isinstance(section, Map):
            return section
        self._findings.add(Code.NOT_A_MAP, value_place(raw.body, key), f'"{key}" of {raw.name} is no mapping')
        return None

    def _schemas(self, raw: RawType, key: str) -> dict[str, Schema]:
        section = self._section(raw, key)
        if section is None:
            return {}
        return self._read_schemas(section, raw)

    def _read_schemas(self, section: Map, raw: RawType) -> dict[str, Schema]:
        found: dict[str, Schema] = {}
        for name, body in section.items():
            schema = read_schema(name, body, value_place(section, name), self._findings, raw.scope)
            if schema is not None:
                found[name] = schema
        return found

    def _capabilities(self, raw: RawType) -> dict[str, CapabilityDefinition]:
        section = self._section(raw, "capabilities")
        found: dict[str, CapabilityDefinition] = {}
        if section is None:
            return found
        for name, body in section.items():
            at = key_place(section, name)
            kind = body.get("type") if isinstance(body, Map) else body
            definition = self._library.find("capability", kind, raw.scope) if isinstance(kind, str) else None
            if definition is None:
                said = f'the capability "{name}" of {raw.name} has the unknown type {kind}'
                self._findings.add(Code.UNKNOWN_TYPE, at, said, self._library.meant("capability", str(kind)))
                continue
            more = body if isinstance(body, Map) else Map(at)
            refined = more.get("properties")
            attributes = more.get("attributes")
            found[name] = CapabilityDefinition(
                name=name,
                type=definition.name,
                properties=dict(definition.properties)
                | (self._read_schemas(refined, raw) if isinstance(refined, Map) else {}),
                attributes=dict(definition.attributes)
                | (self._read_schemas(attributes, raw) if isinstance(attributes, Map) else {}),
                lineage=definition.lineage,
                place=at,
            )
        return found

    def _requirements(self, raw: RawType) -> dict[str, RequirementDefinition]:
        section = raw.body.get("requirements")
        if section is None:
            return {}
        at = value_place(raw.body, "requirements")
        if isinstance(section, Map):  # TOSCA has a list; a mapping reads the same
            pairs = [(name, body, key_place(section, name)) for name, body in section.items()]
        elif isinstance(section, Seq):
            pairs = []
            for item in section:
                if isinstance(item, Map):
                    pairs += [(name, body, key_place(item, name)) for name, body in item.items()]
                else:
                    self._findings.add(Code.NOT_A_MAP, at, f"a requirement of {raw.name} is no mapping")
        else:
            self._findings.add(Code.WRONG_TYPE, at, f'"requirements" of {raw.name} is no list')
            return {}
        return {name: self._requirement(raw, name, body, place) for name, body, place in pairs}

    def _requirement(self, raw: RawType, name: str, body: Yaml, at: Place) -> RequirementDefinition:
        more = body if isinstance(body, Map) else Map(at)
        capability = more.get("capability") if isinstance(body, Map) else body
        node = more.get("node")
        relationship = more.get("relationship")
        interfaces: Map | None = None
        if isinstance(relationship, Map):
            inner = relationship.get("interfaces")
            interfaces = inner if isinstance(inner, Map) else None
            relationship = relationship.get("type")
        library = self._library

        def whole(kind: Kind, said: Yaml) -> str | None:
            return library.full_name(kind, said, raw.scope) or said if isinstance(said, str) else None

        node_filter = more.get("node_filter")
        return RequirementDefinition(
            name=name,
            capability=whole("capability", capability) or "tosca.capabilities.Node",
            node=whole("node", node),
            relationship=whole("relationship", relationship),
            occurrences=_occurrences(more.get("occurrences")),
            relationship_interfaces=interfaces,
            node_filter=node_filter if isinstance(node_filter, Map) else None,
            place=at,
        )

    def _artifacts(self, raw: RawType) -> dict[str, tuple[Yaml, Place]]:
        section = raw.body.get("artifacts")
        if not isinstance(section, Map):
            return {}
        return {name: (body, value_place(section, name)) for name, body in section.items()}


def _occurrences(raw: Yaml) -> tuple[int, int | None] | None:
    if not isinstance(raw, Seq) or len(raw) != 2:
        return None
    low, high = raw
    least = low if isinstance(low, int) else 0
    return least, high if isinstance(high, int) else None


def _simple(parent: Yaml) -> str | None:
    simple = {"string", "integer", "float", "boolean", "timestamp", "version", "range", "list", "map"}
    return parent if isinstance(parent, str) and (parent in simple or parent.startswith("scalar-unit.")) else None
