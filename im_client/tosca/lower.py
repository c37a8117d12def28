"""From a checked template to the topology: groups, networks, operations, outputs."""

import posixpath
from collections.abc import Iterator, Mapping

from im_client.template.findings import Findings, Place
from im_client.template.problems import Code
from im_client.topology.model import Group, Network, Operation, Output, Topology
from im_client.topology.values import Concat, Join, Token, Value
from im_client.tosca.calls import FUNCTIONS
from im_client.tosca.functions import Evaluator
from im_client.tosca.inputs import Inputs, is_secret_name
from im_client.tosca.model import Context, Node
from im_client.tosca.operations import with_own_scope
from im_client.tosca.source import Map, Yaml, key_place, value_place
from im_client.tosca.values import plain
from infracore.secrets import Secret

__all__ = ["attribute_defaults", "lower_outputs", "make_topology"]


def lower_outputs(raw: Map, evaluator: Evaluator, nodes: Mapping[str, Node], findings: Findings) -> tuple[Output, ...]:
    """Check and evaluate the outputs."""
    outputs: list[Output] = []
    for name, body in raw.items():
        at = key_place(raw, name)
        if not isinstance(body, Map):
            findings.add(Code.NOT_A_MAP, at, f'the output "{name}" is no mapping', "write: value: ...")
            continue
        for key in body:
            if key not in {"description", "value", "type", "metadata", "status", "required", "entry_schema"}:
                hint = "known: value, description, type"
                said = f'the output "{name}" has the unknown key "{key}"'
                if key in FUNCTIONS:
                    hint = f"write: value: {{ {key}: ... }}"
                findings.add(Code.UNKNOWN_KEY, key_place(body, key), said, hint)
        if body.get("value") is None:
            findings.add(Code.MISSING_PROPERTY, at, f'the output "{name}" has no value', "add: value: ...")
            continue
        value = evaluator.evaluate(body["value"], value_place(body, "value"), Context())
        description = body.get("description")
        outputs.append(
            Output(
                name,
                with_own_scope(value, None, nodes),
                str(description or "").strip(),
                secret=is_secret_name(name) or _has_secret(value) or _reads_credential(body["value"]),
            )
        )
    return tuple(outputs)


def _has_secret(value: Value) -> bool:
    match value:
        case Secret():
            return True
        case Concat(parts):
            return _has_secret(parts)
        case Join(parts, _) | Token(parts, _, _):
            return _has_secret(parts)
        case tuple():
            return any(_has_secret(v) for v in value)
        case Mapping():
            return any(_has_secret(v) for v in value.values())
        case _:
            return False


def _reads_credential(raw: Yaml) -> bool:
    if not isinstance(raw, Map):
        return False
    path = raw.get("get_attribute")
    return isinstance(path, list) and "credential" in path


def attribute_defaults(nodes: Mapping[str, Node], evaluator: Evaluator) -> dict[str, dict[str, Value]]:
    """Return what attributes are before anything runs: by the template, else by the type."""
    found: dict[str, dict[str, Value]] = {}
    for node in nodes.values():
        values: dict[str, Value] = {}
        for name, schema in node.type.attributes.items():
            if schema.default is not None:
                values[name] = plain(schema.default)
        for name, raw in node.attributes.items():
            values[name] = evaluator.evaluate(raw, value_place(node.attributes, name), Context(node))
        if node.is_machine:
            values |= _no_certificates(node, evaluator)
        if values:
            found[node.name] = values
    return found


def _no_certificates(node: Node, evaluator: Evaluator) -> dict[str, Value]:
    """A machine whose endpoint has no TLS has no certificates, rather than some that are not known yet."""
    endpoint = node.type.capabilities.get("endpoint")
    if endpoint is None or "tls_certificates" not in endpoint.attributes:
        return {}
    if "tls" in endpoint.properties and evaluator.capability_property(node, "endpoint", "tls") is True:
        return {}
    return {"endpoint": {"tls_certificates": {}}}


def make_topology(
    body: Map,
    topology: Map,
    *,
    nodes: Mapping[str, Node],
    groups: Mapping[str, Group],
    networks: Mapping[str, Network],
    operations: tuple[Operation, ...],
    outputs: tuple[Output, ...],
    attributes: Mapping[str, Mapping[str, Value]],
    inputs: Inputs,
) -> Topology:
    """Put the parts together."""
    metadata = body.get("metadata")
    said = metadata if isinstance(metadata, Map) else Map(body.at)
    name = said.get("template_name") or body.get("template_name")
    description = body.get("description") or topology.get("description")
    return Topology(
        name=str(name) if isinstance(name, str) and name.strip() else _file_name(body.at),
        description=str(description or "").strip(),
        groups=groups,
        networks=networks,
        operations=operations,
        outputs=outputs,
        components={n.name: n.machine.name for n in nodes.values() if not n.is_machine and n.machine is not None},
        attributes=attributes,
        input_count=len(inputs.schemas),
        metadata=dict(_plain_items(said)),
    )


def _file_name(place: Place) -> str:
    return posixpath.splitext(posixpath.basename(place.source.file))[0] or "template"


def _plain_items(raw: Map) -> Iterator[tuple[str, Value]]:
    for key, value in raw.items():
        yield key, plain(value)
