"""Requirements of node templates: what fulfils them, by which relationship, and whether the graph makes sense."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code, Level
from im_client.tosca.functions import Evaluator
from im_client.tosca.header import section
from im_client.tosca.interfaces import read_interfaces
from im_client.tosca.model import HOSTED_ON, Node, Relationship, Requirement
from im_client.tosca.nodefilter import fits
from im_client.tosca.source import Map, Seq, Yaml, key_place, value_place
from im_client.tosca.types import Library, TypeDefinition

__all__ = ["RequirementResolver"]

_KEYS: Final = frozenset(
    {"node", "capability", "relationship", "node_filter", "occurrences", "description", "directives"}
)
_DEPENDS_ON: Final = "tosca.relationships.DependsOn"
_NO_FILTER: Final = frozenset({"tosca.nodes.Root"})


@dataclass(slots=True)
class RequirementResolver:
    """Resolves the requirements of all nodes of one template."""

    nodes: Mapping[str, Node]
    broken: frozenset[str]
    relationship_templates: Map
    library: Library
    findings: Findings
    evaluator: Evaluator

    def resolve(self) -> None:
        """Fill the requirements and hosts of all nodes: named targets first, then those that a filter looks for."""
        waiting: list[tuple[Node, Requirement, Map]] = []
        for node in self.nodes.values():
            for name, body, at in self._said(node):
                self._one(node, name, body, at, waiting)
        self._set_hosts()
        for node, requirement, body in waiting:
            self._search(node, requirement, body)
        self._set_hosts()
        for node in self.nodes.values():
            self._count(node)
        self._cycles()

    def _said(self, node: Node) -> list[tuple[str, Yaml, Place]]:
        raw = node.body.get("requirements")
        if raw is None:
            return []
        pairs: list[tuple[str, Yaml, Place]] = []
        if isinstance(raw, Map):
            pairs = [(name, body, key_place(raw, name)) for name, body in raw.items()]
        elif isinstance(raw, Seq):
            for item, at in zip(raw, raw.items_at, strict=True):
                if isinstance(item, Map):
                    pairs += [(name, body, key_place(item, name)) for name, body in item.items()]
                else:
                    self.findings.add(
                        Code.WRONG_TYPE, at, f'a requirement of "{node.name}" is no mapping', "write: - host: name"
                    )
        else:
            at = value_place(node.body, "requirements")
            self.findings.add(Code.WRONG_TYPE, at, f'"requirements" of "{node.name}" is no list', "write: - host: name")
        return pairs

    def _one(self, node: Node, name: str, body: Yaml, at: Place, waiting: list[tuple[Node, Requirement, Map]]) -> None:
        definition = node.type.requirements.get(name)
        if definition is None:
            # tosca-parser lets any name pass in the long form.
            level = Level.WARNING if isinstance(body, Map) else Level.ERROR
            said = f'"{node.name}" has no requirement "{name}": {node.type.name} does not state it'
            self.findings.add(Code.UNKNOWN_REQUIREMENT, at, said, meant(name, node.type.requirements), level)
        requirement = Requirement(name, at, definition)
        node.requirements.append(requirement)
        if isinstance(body, Map):
            for key in body:
                if key not in _KEYS:
                    said = f'the requirement "{name}" of "{node.name}" has the unknown key "{key}"'
                    self.findings.add(Code.UNKNOWN_KEY, key_place(body, key), said, meant(key, _KEYS))
            more = body
            target, target_at = body.get("node"), value_place(body, "node")
        else:
            more = Map(at)
            more.put("node", body, at, at)
            target, target_at = body, at
        if target is None:
            waiting.append((node, requirement, more))
            return
        found = self.nodes.get(target) if isinstance(target, str) else None
        if found is not None:
            self._link(node, requirement, found, more)
            wanted = more.get("node_filter")
            if isinstance(wanted, Map) and not fits(found, wanted, self.evaluator, self.findings):
                said = f'"{found.name}" does not fit the node_filter of the requirement "{name}" of "{node.name}"'
                self.findings.add(Code.NO_MATCH, key_place(more, "node_filter"), said, "change the filter or the node")
        elif isinstance(target, str) and self.library.full_name("node", target) is not None:
            waiting.append((node, requirement, more))
        elif not (isinstance(target, str) and target in self.broken):
            said = f'the requirement "{name}" of "{node.name}" names "{target}", which does not exist'
            self.findings.add(Code.DANGLING_TARGET, target_at, said, meant(target, self.nodes))

    def _search(self, node: Node, requirement: Requirement, body: Map) -> None:
        """Find a node template of a type, or one that fits a filter."""
        definition = requirement.definition
        said_type = body.get("node")
        wanted = self.library.full_name("node", said_type) if isinstance(said_type, str) else None
        if wanted is None and definition is not None:
            wanted = definition.node
        capability = body.get("capability")
        if not isinstance(capability, str):
            capability = definition.capability if definition else None
        full = self.library.full_name("capability", capability) if capability else None
        node_filter = body.get("node_filter") or (definition.node_filter if definition else None)
        candidates = [
            n
            for n in self.nodes.values()
            if n is not node
            and (wanted is None or wanted in n.type.lineage)
            and (full is None or any(full in c.lineage for c in n.type.capabilities.values()))
        ]
        if isinstance(node_filter, Map):
            candidates = [n for n in candidates if fits(n, node_filter, self.evaluator, self.findings)]
        elif wanted is None or wanted in _NO_FILTER:
            self.findings.add(
                Code.WRONG_TYPE,
                requirement.place,
                f'the requirement "{requirement.name}" of "{node.name}" names no node',
                f"write: - {requirement.name}: NODE",
            )
            return
        if not candidates:
            said = f'no node template fits the requirement "{requirement.name}" of "{node.name}"'
            with_filter = " and its node_filter" if isinstance(node_filter, Map) else ""
            hint = f"add one of type {wanted}{with_filter}" if wanted else "name the node"
            self.findings.add(Code.NO_MATCH, requirement.place, said, hint)
            return
        self._link(node, requirement, candidates[0], body)

    def _link(self, node: Node, requirement: Requirement, target: Node, body: Map) -> None:
        requirement.target = target
        definition = requirement.definition
        self._check_capability(node, requirement, target, body)
        said = body.get("relationship")
        more = said if isinstance(said, Map) else Map(requirement.place)
        name = said.get("type") if isinstance(said, Map) else said
        at = value_place(body, "relationship")
        template = self.relationship_templates.get(name) if isinstance(name, str) else None
        if isinstance(template, Map):
            more, name = template, template.get("type")
        if name is None and definition is not None:
            name = definition.relationship
        if name is None:
            name = _DEPENDS_ON
        kind = self.library.find("relationship", name) if isinstance(name, str) else None
        if kind is None:
            said_wrong = f'the requirement "{requirement.name}" of "{node.name}" has the unknown relationship {name}'
            hint = self.library.meant("relationship", str(name))
            self.findings.add(Code.UNKNOWN_TYPE, at, said_wrong, hint)
            return
        requirement.relationship = self._relationship(node, requirement, target, kind, more)

    def _relationship(
        self,
        node: Node,
        requirement: Requirement,
        target: Node,
        kind: TypeDefinition,
        body: Map,
    ) -> Relationship:
        definition = requirement.definition
        for code, place, message, hint in kind.problems:
            self.findings.add(code, place, message, hint)
        interfaces = dict(kind.interfaces)
        if definition is not None and definition.relationship_interfaces is not None:
            raw = definition.relationship_interfaces
            interfaces = read_interfaces(raw, raw.at, interfaces, self.findings)
        interfaces = read_interfaces(body.get("interfaces"), value_place(body, "interfaces"), interfaces, self.findings)
        properties = section(body, "properties", self.findings)
        owner = f'the relationship of "{node.name}" to "{target.name}"'
        for name in properties:
            if name not in kind.properties:
                said = f'{owner} has no property "{name}": {kind.name} does not know it'
                hint = meant(name, kind.properties)
                self.findings.add(Code.UNKNOWN_PROPERTY, key_place(properties, name), said, hint)
        for name, schema in kind.properties.items():
            if schema.required and schema.default is None and name not in properties:
                said = f'{owner} lacks the property "{name}", which {kind.name} requires'
                self.findings.warn(Code.MISSING_PROPERTY, requirement.place, said, f"add: {name}: ...")
        return Relationship(kind, node, target, requirement.name, properties, requirement.place, interfaces)

    def _check_capability(self, node: Node, requirement: Requirement, target: Node, body: Map) -> None:
        """Record a target that does not offer what is required; a capability may be named or be a type."""
        definition = requirement.definition
        said = body.get("capability")
        if isinstance(said, str) and said in target.type.capabilities:
            return
        wanted = said if isinstance(said, str) else definition.capability if definition else None
        full = self.library.full_name("capability", wanted) if wanted else None
        if full is None:
            if isinstance(said, str):
                hint = meant(said, target.type.capabilities)
                text = f'"{target.name}" offers no capability "{said}"'
                self.findings.add(Code.UNKNOWN_CAPABILITY, value_place(body, "capability"), text, hint)
            return
        if not any(full in c.lineage for c in target.type.capabilities.values()):
            text = (
                f'the requirement "{requirement.name}" of "{node.name}" wants {full}, '
                f'and "{target.name}" ({target.type.name}) does not offer it'
            )
            hint = f"name a node of type {definition.node}" if definition and definition.node else ""
            self.findings.add(Code.REQUIREMENT_MISMATCH, requirement.place, text, hint)

    def _set_hosts(self) -> None:
        """A node's host is the target of `host`, else of its first requirement that hosts it."""
        for node in self.nodes.values():
            hosting = [r for r in node.requirements if r.target is not None and (r.name == "host" or r.is_hosting)]
            hosting.sort(key=lambda r: r.name != "host")
            if hosting:
                node.host = hosting[0].target

    def _count(self, node: Node) -> None:
        for name, definition in node.type.requirements.items():
            count = sum(1 for r in node.requirements if r.name == name)
            if count < definition.least:
                kind = definition.node or definition.capability
                if count == 0:
                    said = f'"{node.name}" lacks the requirement "{name}", which {node.type.name} states'
                    hint = f"add to its requirements: - {name}: NODE ({kind})"
                    self.findings.add(Code.MISSING_REQUIREMENT, node.place, said, hint)
                else:
                    said = f'"{node.name}" has the requirement "{name}" {count} times; at least {definition.least}'
                    self.findings.add(Code.OCCURRENCES, node.place, said)
            elif name == "host" and definition.occurrences is None:
                self._one_host(node)
            elif definition.most is not None and count > definition.most:
                at = [r.place for r in node.requirements if r.name == name][definition.most]
                said = f'"{node.name}" has the requirement "{name}" {count} times; {definition.most} is the most'
                self.findings.add(Code.OCCURRENCES, at, said, "remove what is too much")

    def _one_host(self, node: Node) -> None:
        """A node runs on one other; tosca-parser lets a type that states no number have more."""
        hosts = list(dict.fromkeys(r.target for r in node.requirements if r.name == "host" and r.target is not None))
        if len(hosts) > 1:
            at = next(r.place for r in node.requirements if r.name == "host" and r.target is hosts[1])
            names = " and ".join(f'"{h.name}"' for h in hosts)
            self.findings.add(Code.OCCURRENCES, at, f'"{node.name}" has more than one host: {names}', "keep one")

    def _cycles(self) -> None:
        reported: set[str] = set()
        for node in self.nodes.values():
            chain = [node]
            while chain[-1].host is not None and chain[-1].host not in chain:
                chain.append(chain[-1].host)
            if chain[-1].host is node and not reported & {n.name for n in chain}:
                reported |= {n.name for n in chain}
                circle = " -> ".join([*(n.name for n in chain), node.name])
                at = next((r.place for r in node.requirements if r.target is node.host), node.place)
                self.findings.add(
                    Code.CYCLIC_HOST, at, f"nothing runs on itself: {circle}", "name a machine as one of the hosts"
                )
        self._dependency_cycles(reported)

    def _dependency_cycles(self, reported: set[str]) -> None:
        """Find circles of DependsOn and HostedOn: there is no order to configure them in."""
        state: dict[str, int] = {}
        for start in self.nodes.values():
            if start.name in state:
                continue
            stack: list[tuple[Node, list[tuple[Place, Node]]]] = [(start, _ordering(start))]
            state[start.name] = 1
            while stack:
                node, left = stack[-1]
                if not left:
                    state[node.name] = 2
                    stack.pop()
                    continue
                at, target = left.pop()
                if state.get(target.name) == 1:
                    names = [n.name for n, _ in stack]
                    circle = [*names[names.index(target.name) :], target.name]
                    if not reported & set(circle):
                        reported |= set(circle)
                        said = f"no node can be configured first: {' -> '.join(circle)}"
                        self.findings.add(Code.CYCLIC_DEPENDENCY, at, said, "remove one requirement")
                elif target.name not in state:
                    state[target.name] = 1
                    stack.append((target, _ordering(target)))


def _ordering(node: Node) -> list[tuple[Place, Node]]:
    wanted = {_DEPENDS_ON, HOSTED_ON}
    return [
        (r.place, r.target)
        for r in node.requirements
        if r.target is not None and r.relationship is not None and wanted & r.relationship.type.lineage
    ]
