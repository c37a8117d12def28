"""What is known of machines at run time, as far as values of a topology may ask for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from im_client.topology.values import Value

__all__ = ["Facts", "NodeFacts"]


@dataclass(frozen=True, slots=True)
class NodeFacts:
    """One machine. Addresses are text, None while unknown.

    `outputs` holds what playbooks set: `component` -> `operation` -> name -> value.
    """

    name: str
    group: str
    index: int
    private_address: str | None = None
    public_address: str | None = None
    provider_id: str | None = None
    attributes: Mapping[str, Value] = field(default_factory=dict)
    """Further attributes: `tosca_id`, `tosca_name`, `ssh_port`, `endpoint.credential` (a mapping), ..."""
    outputs: Mapping[str, Mapping[str, Mapping[str, Value]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Facts:
    """All machines of an infrastructure, by name, and the topology's `components` for finding hosts."""

    nodes: Mapping[str, NodeFacts] = field(default_factory=dict)
    components: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """The topology's `attributes`: what an attribute is while no machine has set it."""

    def of_group(self, group: str) -> tuple[NodeFacts, ...]:
        """Return the machines of a group in the order of their index."""
        return tuple(sorted((n for n in self.nodes.values() if n.group == group), key=lambda n: n.index))
