"""From interfaces to operations in the order in which they run.

The order is the Infrastructure Manager's: by dependency level of the component; within one component create, the
relationships' pre_configure hooks, configure, the post_configure hooks, start, add_target, add_source and
target_changed. stop, delete and the remove hooks run when a machine goes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from im_client.template.findings import Findings, Place, meant
from im_client.template.problems import Code
from im_client.topology.model import Artifact, Operation, OperationPhase, SourceRef
from im_client.topology.values import Attribute, Concat, Join, OperationOutput, Scope, Token, Value
from im_client.tosca.artifacts import Artifacts
from im_client.tosca.functions import Evaluator
from im_client.tosca.interfaces import CONFIGURE, HOOKS, STANDARD, STANDARD_OPERATIONS, OperationDefinition
from im_client.tosca.model import ATTACHES_TO, Context, Node, Relationship
from im_client.tosca.source import Yaml

__all__ = ["Operations", "tiers", "with_own_scope"]

_ORDER: Final = (
    "create",
    "pre_configure_source",
    "pre_configure_target",
    "configure",
    "post_configure_source",
    "post_configure_target",
    "start",
    "add_target",
    "add_source",
    "target_changed",
    "stop",
    "remove_target",
    "remove_source",
    "delete",
)
_PHASES: Final = {
    "stop": OperationPhase.STOP,
    "remove_target": OperationPhase.STOP,
    "remove_source": OperationPhase.STOP,
    "delete": OperationPhase.DELETE,
}
_ON_TARGET: Final = frozenset({"pre_configure_target", "post_configure_target", "add_source", "remove_source"})


def tiers(nodes: Mapping[str, Node]) -> dict[str, int]:
    """Return the dependency level of each node: 0 where it needs nothing. Circles are cut.

    A disk that is attached is there with its machine and makes no level: else the machines with disks of a
    cluster would be configured after those without.
    """
    known: dict[str, int] = {}
    running: set[str] = set()

    for start in nodes.values():
        stack = [(start, False)]
        while stack:
            node, done = stack.pop()
            targets = _needed_before(node)
            if done:
                running.discard(node.name)
                known[node.name] = max((known.get(t.name, -1) + 1 for t in targets), default=0)
            elif node.name not in known and node.name not in running:
                running.add(node.name)
                stack.append((node, True))
                stack += [(t, False) for t in targets if t.name not in known and t.name not in running]
    return known


def _needed_before(node: Node) -> list[Node]:
    return [
        r.target
        for r in node.requirements
        if r.target is not None and not (r.relationship and ATTACHES_TO in r.relationship.type.lineage)
    ]


@dataclass(frozen=True, slots=True)
class _Site:
    """Where an operation belongs: whose it is, who evaluates its inputs, and the machines it runs on."""

    id: str
    component: str
    interface: str
    context: Context
    machine: Node
    tier: int
    artifacts: Mapping[str, tuple[Yaml, Place]]
    """Those that an implementation may name."""
    chain: tuple[Node, ...]
    """The nodes whose roles and collections it needs."""


@dataclass(slots=True)
class Operations:
    """Lowers the operations of one template. `documents` names the files of the template and its add-ons."""

    nodes: Mapping[str, Node]
    evaluator: Evaluator
    artifacts: Artifacts
    findings: Findings
    documents: frozenset[str]

    def lower(self) -> tuple[Operation, ...]:
        """Return all operations in their order."""
        levels = tiers(self.nodes)
        found: list[tuple[tuple[int, int, int], Operation]] = []
        for position, node in enumerate(self.nodes.values()):
            tier = levels[node.name]
            made = (*self._of_node(node, tier), *self._of_links(node, tier))
            found += [((tier, position, _ORDER.index(o.operation)), o) for o in made]
        found.sort(key=lambda pair: pair[0])  # stable: equals stay in the order of the template
        return _unique([operation for _, operation in found])

    def _of_node(self, node: Node, tier: int) -> Iterator[Operation]:
        for interface in node.interfaces.values():
            for definition in interface.operations.values():
                if definition.implementation is None:
                    continue
                if interface.name != STANDARD or definition.name not in STANDARD_OPERATIONS:
                    if interface.name != STANDARD and interface.name in node.type.interfaces:
                        said = f'"{interface.name}.{definition.name}" of "{node.name}" has no effect'
                        why = "only operations of Standard run by themselves"
                        self.findings.warn(Code.IGNORED, definition.place, f"{said}: {why}")
                    continue
                machine = node.machine
                if machine is None:
                    self._no_host(node, definition)
                    continue
                name = f"{node.name}.{STANDARD}.{definition.name}"
                chain = (node, *node.hosts())
                site = _Site(name, node.name, STANDARD, Context(node), machine, tier, node.artifacts, chain)
                made = self._operation(definition, site)
                if made is not None:
                    yield made

    def _no_host(self, node: Node, definition: OperationDefinition) -> None:
        said = f'"{node.name}" has operations and no machine to run them on'
        if node.host is not None:
            last = [node, *node.hosts()][-1]
            hint = f"give {last.name} a host"
            self.findings.add(Code.NO_HOST, node.place, f"{said}: {last.name} runs on nothing", hint)
        elif "host" not in node.type.requirements:
            self.findings.warn(Code.NO_HOST, node.place, f"{said}: {definition.name} is left out", "add: - host: NODE")

    def _of_links(self, node: Node, tier: int) -> Iterator[Operation]:
        for requirement in node.requirements:
            link = requirement.relationship
            if link is None:
                continue
            for interface in link.interfaces.values():
                for definition in interface.operations.values():
                    if definition.implementation is None:
                        continue
                    made = self._hook(link, definition, tier)
                    if made is not None:
                        yield made

    def _hook(self, link: Relationship, definition: OperationDefinition, tier: int) -> Operation | None:
        where = link.target if definition.name in _ON_TARGET else link.source
        machine = where.machine
        owner = f'the relationship "{link.source.name}" to "{link.target.name}"'
        if definition.name not in HOOKS:
            said = f'"{definition.name}" of {owner} has no effect: it is no hook of Configure'
            self.findings.warn(Code.IGNORED, definition.place, said, meant(definition.name, HOOKS))
            return None
        if machine is None:
            said = f'"{definition.name}" of {owner} is left out: no machine hosts "{where.name}"'
            self.findings.warn(Code.NO_HOST, definition.place, said)
            return None
        name = f"{link.source.name}>{link.target.name}.{CONFIGURE}.{definition.name}"
        named = {**link.target.artifacts, **link.source.artifacts}
        chain = (link.source, link.target, *link.source.hosts())
        context = Context(link.source, link)
        return self._operation(definition, _Site(name, where.name, CONFIGURE, context, machine, tier, named, chain))

    def _operation(self, definition: OperationDefinition, site: _Site) -> Operation | None:
        at = definition.implementation_at or definition.place
        found = self.artifacts.implementation(definition.implementation, at, site.artifacts)
        if found is None:
            return None
        implementation, needs = found
        requires: dict[Artifact, None] = dict.fromkeys(needs)
        for node in site.chain:
            requires |= dict.fromkeys(self.artifacts.required(node))
        inputs: dict[str, Value] = {}
        for key, (raw, place) in definition.inputs.items():
            # What a type says of nodes that a template may lack is no error of the template.
            context = replace(site.context, lenient=place.source.file not in self.documents)
            value = self.evaluator.evaluate(raw, place, context)
            inputs[key] = with_own_scope(value, site.machine.name, self.nodes)
        return Operation(
            id=site.id,
            component=site.component,
            interface=site.interface,
            operation=definition.name,
            group=site.machine.name,
            phase=_PHASES.get(definition.name, OperationPhase.CONFIGURE),
            tier=site.tier,
            implementation=implementation,
            inputs=inputs,
            requires=tuple(requires),
            where=SourceRef(at.source.file, at.line, at.column),
        )


def _unique(operations: list[Operation]) -> tuple[Operation, ...]:
    """Number the ids of hooks that two relationships between the same nodes share."""
    seen: dict[str, int] = {}
    unique: list[Operation] = []
    for operation in operations:
        count = seen[operation.id] = seen.get(operation.id, 0) + 1
        unique.append(operation if count == 1 else replace(operation, id=f"{operation.id}#{count}"))
    return tuple(unique)


def with_own_scope(value: Value, machine: str | None, nodes: Mapping[str, Node]) -> Value:
    """Leave scope OWN only where an attribute is of the machine that an operation runs on, or of software there."""
    match value:
        case Attribute(node=name, scope=Scope.OWN) | OperationOutput(node=name, scope=Scope.OWN):
            where = nodes[name].machine if name in nodes else None
            if machine is not None and where is not None and where.name == machine:
                return value
            return replace(value, scope=Scope.GROUP)
        case Concat(parts):
            return Concat(tuple(with_own_scope(p, machine, nodes) for p in parts))
        case Join(parts, delimiter):
            return Join(with_own_scope(parts, machine, nodes), delimiter)
        case Token(text, separator, index):
            return Token(with_own_scope(text, machine, nodes), separator, index)
        case tuple():
            return tuple(with_own_scope(v, machine, nodes) for v in value)
        case Mapping():
            return {k: with_own_scope(v, machine, nodes) for k, v in value.items()}
        case _:
            return value
