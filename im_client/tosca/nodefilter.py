"""Node filters: whether a node template has the properties that a requirement asks for. TOSCA 1.3, section 3.6.6."""

from collections.abc import Iterator

from im_client.template.findings import Findings
from im_client.template.problems import Code
from im_client.topology.values import Value
from im_client.tosca.functions import Evaluator
from im_client.tosca.model import Node
from im_client.tosca.schema import Clause, Constraint, Schema, read_constraints
from im_client.tosca.source import Map, Seq, Yaml, key_place, value_place
from im_client.tosca.values import Mismatch, is_runtime, violated

__all__ = ["fits"]


def fits(node: Node, wanted: Map, evaluator: Evaluator, findings: Findings) -> bool:
    """Say whether a node template fits a filter. A capability is named, or any of a type."""
    for name, constraints in _entries(wanted.get("properties")):
        schema = node.type.properties.get(name)
        if schema is None:
            return False
        if not _keeps(evaluator.property_of(node, name), schema, name, constraints, findings):
            return False
    for capability, body in _entries(wanted.get("capabilities")):
        names = [n for n, c in node.type.capabilities.items() if capability in {n, c.type} or capability in c.lineage]
        if not names:
            return False
        asked = list(_entries(body.get("properties") if isinstance(body, Map) else None))
        for name, constraints in asked:
            schema = node.type.capabilities[names[0]].properties.get(name)
            if schema is None:
                return False
            value = evaluator.capability_property(node, names[0], name)
            if not _keeps(value, schema, name, constraints, findings):
                return False
    return True


def _entries(raw: Yaml) -> Iterator[tuple[str, Yaml]]:
    """Yield the pairs of a list of one-key mappings, or of a mapping."""
    for part in raw if isinstance(raw, Seq) else (raw,):
        if isinstance(part, Map):
            yield from part.items()


def _keeps(value: Value, schema: Schema, name: str, asked: Yaml, findings: Findings) -> bool:
    if value is None:
        return False
    if is_runtime(value):
        return True
    if isinstance(asked, Map | Seq):
        at = asked.at
        if isinstance(asked, Map):
            for clause in asked:
                if clause not in Clause.__members__.values():
                    said = f'the node_filter asks for "{name}" with the unknown constraint "{clause}"'
                    findings.add(Code.BAD_CONSTRAINT, key_place(asked, clause), said)
        constraints = (
            tuple(
                Constraint(Clause(k), v, value_place(asked, k))
                for k, v in asked.items()
                if k in Clause.__members__.values()
            )
            if isinstance(asked, Map)
            else read_constraints(name, asked, at, findings)
        )
    else:
        constraints = (Constraint(Clause.EQUAL, asked, schema.place),)
    for constraint in constraints:
        try:
            if violated(value, schema.type, constraint):
                return False
        except Mismatch as mismatch:
            findings.add(Code.BAD_CONSTRAINT, constraint.place, f'the node_filter on "{name}": {mismatch.message}')
            return False
    return True
