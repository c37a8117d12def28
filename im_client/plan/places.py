"""Which sites can give the machines of a group."""

from collections.abc import Mapping

from im_client.plan.model import Limits
from im_client.plan.specs import asked_fields, describe_field, spec_of, title
from im_client.topology.model import Group, Topology
from infracore.errors import InfraError, Several, Unsupported

__all__ = ["places_of"]


def places_of(topology: Topology, limits: Limits, sites: Mapping[str, Limits]) -> dict[str, tuple[str, ...]]:
    """Return the sites that can give the machines of each group, in the template's order; none where it names none.

    Raises:
        Unsupported: no site can honour what a group asks for (`Several` where it is more than one thing).
    """
    errors: list[InfraError] = []
    places: dict[str, tuple[str, ...]] = {}
    for group in topology.groups.values():
        wanted = group.placement.sites or (limits.provider,)
        lacks = {site: _lacking(group, topology, sites[site]) if group.count else [] for site in wanted}
        able = tuple(site for site in wanted if not lacks[site])
        if not able:
            errors += [error for site in wanted for error in lacks[site]]
        if group.placement.sites:
            places[group.name] = able
    if len(errors) == 1:
        raise errors[0]
    if errors:
        raise Several(errors)
    return places


def _lacking(group: Group, topology: Topology, limits: Limits) -> list[InfraError]:
    """Return what a group asks for and a site cannot give."""
    if not limits.unsupported:
        return []
    spec = spec_of(group, topology, 1)
    return [
        Unsupported(
            f"{group.name} asks for {title(name)} {describe_field(name, getattr(spec, name))}, "
            f"which {limits.provider} cannot give",
            f"remove it from {group.name} in the template, or choose another provider",
        )
        for name in asked_fields(spec)
        if name in limits.unsupported
    ]
