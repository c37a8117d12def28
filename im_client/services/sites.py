"""The places where the machines of one infrastructure are or may be made.

A site is a name of the setting `sites` (a provider with settings of its own) or the name of a provider. One is the
infrastructure's own; groups of machines may name others, which are asked when the first has no room. Each machine is
recorded with its site, and is looked for, changed and deleted there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from im_client.plan.model import Limits
from im_client.providers.base import Provider
from im_client.services.context import Context
from im_client.state.store import InfrastructureRecord, NodeRecord
from im_client.topology.model import Topology

__all__ = ["Sites", "site_names", "with_places"]


@dataclass(frozen=True, slots=True)
class Sites:
    """The sites of an infrastructure, each opened when it is first needed. Safe under threads."""

    ctx: Context
    infrastructure: InfrastructureRecord
    _opened: dict[str, Provider] = field(default_factory=dict, repr=False, compare=False)

    @property
    def own(self) -> str:
        """The site where the infrastructure is."""
        return self.infrastructure.provider

    def at(self, name: str) -> Provider:
        """Return the provider of a site; the infrastructure's own settings are for its own site only.

        Raises:
            InvalidUsage: there is no such site any more. Misconfigured: one of its settings is wrong.
        """
        found = self._opened.get(name)
        if found is None:  # two threads may both ask: the context gives them the same one
            own = self.infrastructure.provider_settings if name == self.own else None
            found = self._opened[name] = self.ctx.provider(name, own)
        return found

    def limits(self, names: Iterable[str]) -> Mapping[str, Limits]:
        """Return what each site can do, under the site's name; the infrastructure's own site is always among them."""
        return {name: replace(self.at(name).limits(), provider=name) for name in dict.fromkeys((self.own, *names))}


def site_names(topology: Topology | None, nodes: Iterable[NodeRecord]) -> tuple[str, ...]:
    """Return the sites that a topology names or that recorded machines are at."""
    named = [site for group in topology.groups.values() for site in group.placement.sites] if topology else []
    return tuple(dict.fromkeys([node.provider for node in nodes] + named))


def with_places(topology: Topology, ctx: Context, own: str) -> Topology:
    """Return a topology in which each name that stands for several sites is written out, in their order.

    Raises:
        InfraError: as `Context.places`.
    """
    groups = dict(topology.groups)
    for name, group in topology.groups.items():
        said = group.placement
        listed = [one for one in (said.cloud_id, *said.sites) if one] or [own]
        found = tuple(dict.fromkeys(place for one in listed for place in ctx.places(one)))
        if found != tuple(dict.fromkeys(listed)):
            groups[name] = replace(group, placement=replace(said, cloud_id=None, sites=found))
    return replace(topology, groups=groups)
