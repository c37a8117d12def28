"""Clusters that scale themselves: whether a template leaves it to the server to say where its front-end asks.

What the server says is recorded beside the template, never in it, and comes into the topology here, on its way to a
plan; so all who plan from the same record plan the same.
"""

import dataclasses
from typing import Final

from im_client.state.store import Endpoint, Source
from im_client.topology.model import Operation, Topology
from im_client.topology.values import Value
from infracore.content import content_folder
from infracore.secrets import Secret

__all__ = ["ENDPOINT_INPUTS", "WATCHES_ONLY", "asks_for_endpoint", "front_ends", "settled", "with_endpoint"]

_PLAYBOOK: Final = "elastic_cluster.yml"
"""What tosca.nodes.ec3.ElasticCluster runs, and types derived of it. Only our own playbook is given a token."""
ENDPOINT_INPUTS: Final = ("im_url", "im_infrastructure", "im_token")
WATCHES_ONLY: Final = (
    "cluesd will only watch and order no workers: nobody says where it asks for them. Deploy through an im serve that "
    "has server.public_url set, or give im_url, im_infrastructure and im_token"
)


def asks_for_endpoint(topology: Topology) -> bool:
    """Return whether some front-end is to ask for machines, and the template does not say where."""
    return any(_asks(operation) for operation in topology.operations)


def front_ends(topology: Topology) -> frozenset[str]:
    """Return the ids of the operations that ask."""
    return frozenset(operation.id for operation in topology.operations if _asks(operation))


def settled(source: Source, topology: Topology) -> Source:
    """Return a source without an endpoint that nothing in its topology asks for."""
    if source.endpoint is None or asks_for_endpoint(topology):
        return source
    return dataclasses.replace(source, endpoint=None)


def with_endpoint(topology: Topology, infrastructure: str, endpoint: Endpoint | None) -> Topology:
    """Return a topology whose front-ends know where to ask, where the server has said so."""
    if endpoint is None or not asks_for_endpoint(topology):
        return topology
    said: dict[str, Value] = {
        "im_url": endpoint.url,
        "im_infrastructure": infrastructure,
        "im_token": endpoint.token,
        **({"im_authorities": endpoint.authorities} if endpoint.authorities else {}),
    }
    operations = tuple(
        dataclasses.replace(operation, inputs={**operation.inputs, **said}) if _asks(operation) else operation
        for operation in topology.operations
    )
    return dataclasses.replace(topology, operations=operations)


def _asks(operation: Operation) -> bool:
    """All three or none: a token is not handed to an address that the template names."""
    is_ours = operation.implementation.location == str(content_folder() / "playbooks" / _PLAYBOOK)
    return is_ours and all(_is_empty(operation.inputs.get(name)) for name in ENDPOINT_INPUTS)


def _is_empty(value: Value) -> bool:
    return value is None or value == "" or (isinstance(value, Secret) and not value.reveal())
